//! Where the bytes are: blobs, layers, cache records, references; one root, one lock (shared to use, exclusive to
//! collect).
//!
//! ```text
//! <root>/
//!   format                     version of everything below; locked shared by whoever uses the store, alone to collect
//!   dirty/                     marks of who has written since the last sync; absent if nobody has
//!   blobs/sha256/<hex>         manifests, configs, layer blobs exactly as received or emitted
//!   layers/<id>/tree/          one lower of an overlay
//!   layers/<id>/index          sorted entries (image::Index)
//!   layers/<id>/meta           content id, creation time, diff ID and packed descriptors once known
//!   diffs/<hex>                diff ID -> layer id: rebuildable from layers/*/meta
//!   records/<xx>/<key>         what a key gave: layer, content id, named inputs
//!   facts/<xx>/<key>           derived values that can be computed again: probes, content ids of selections
//!   flats/<id>/{tree,index}    what many layers of a deep stack show, made of their files; `layers` names them
//!   drafts/<id>                an image that was built but not packed, and its manifest once it is
//!   refs/<registry>/<repository>/:<tag>, …/@<digest>
//!   contexts/<id>              stat index of a build context
//!   builds/<id>                what each vertex did, why, and when
//!   locks/<key>                advisory locks of keys being computed
//!   cache/<key>/<number>/      what a cache mount shows; the lock beside it is held by whoever uses it
//!   containers/<id>/           upper, work, state
//!   tmp/p-<id>/                temporary files of one process, locked while it lives
//!   tmp/partial/<hex>          interrupted downloads
//!   points/                    the lowest lower of every box: where /proc, /etc/hosts and the like are mounted
//!   measured                   when its size was last looked at
//!   removed                    which records collection took, and when
//!   trash/                     what is to be deleted
//! ```
//!
//! Everything is written under `tmp/` and renamed; what has a name does not change, except that `refs/`, `contexts/`,
//! `diffs/`, `drafts/` and `layers/<id>/meta` are replaced whole, and that commands write to `cache/`.

mod blob;
mod cache;
mod check;
mod context;
#[cfg(test)]
mod crash_tests;
mod draft;
mod error;
mod fault;
mod files;
mod flat;
mod gc;
mod layer;
mod lock;
mod open;
mod pack;
mod partial;
mod points;
mod record;
mod recover;
mod reference;
mod scratch;
mod seal;
mod sync;
#[cfg(test)]
mod testing;
mod trash;
mod tree;
mod unpack;
mod verify;

pub use blob::BlobWriter;
pub use cache::{CacheDir, CacheUse};
pub use draft::{Draft, DraftId, DraftImage};
pub use error::{Error, Result};
pub use flat::FlatId;
pub use gc::{Collected, Holder, Item, Policy, What};
pub use layer::{Layer, LayerDraft, LayerId, LayerMeta};
pub use lock::KeyLock;
pub use open::Store;
pub use pack::Packed;
pub use partial::{Download, PartialBlob};
pub use record::{Record, RecordInput, RecordKey};
pub use reference::Target;
pub use scratch::Scratch;
pub use sync::sync_left;
pub use tree::Tree;
pub use unpack::layer_flavor;
pub use verify::Problem;
