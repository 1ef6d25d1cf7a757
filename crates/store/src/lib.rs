//! Where the bytes are: blobs, layers, cache records, references; one root, one lock (shared to use, exclusive to
//! collect).
//!
//! ```text
//! <root>/
//!   format                     version of everything below
//!   lock                       held shared by whoever uses the store, exclusively by collection
//!   blobs/sha256/<hex>         manifests, configs, layer blobs exactly as received or emitted
//!   layers/<id>/tree/          one lower of an overlay
//!   layers/<id>/index          sorted entries (image::Index)
//!   layers/<id>/meta           content id, creation time, diff ID and packed descriptors once known
//!   diffs/<hex>                diff ID -> layer id: rebuildable from layers/*/meta
//!   records/<xx>/<key>         what a key gave: layer, content id, named inputs
//!   facts/<xx>/<key>           derived values that can be computed again: probes, content ids of selections
//!   refs/<registry>/<repository>/<tag>
//!   contexts/<id>              stat index of a build context
//!   builds/<id>                what each vertex did, why, and when
//!   locks/<key>                advisory locks of keys being computed
//!   containers/<id>/           upper, work, state
//!   tmp/  trash/
//! ```
//!
//! Everything is written under `tmp/` and renamed; what has a name does not change.

mod record;
mod layer;

pub use layer::{Layer, LayerDraft, LayerId, LayerMeta, Packed};
pub use record::{Record, RecordInput, RecordKey};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::layer::Index;
use image::{Descriptor, Digest, LayerPath, Reference};

/// A handle on a store; cheap to clone, safe to use from many threads. Holds the shared lock.
#[derive(Clone, Debug)]
pub struct Store {
    #[expect(dead_code, reason = "skeleton")]
    root: Arc<PathBuf>,
}

/// Skeleton of the error; variants say what was being done to what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("failed to {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Store {
    /// Opens the store at `root`, making it if missing, and takes the shared lock.
    pub fn open(root: &Path) -> Result<Self> {
        let _ = root;
        todo!()
    }

    /// Returns the directory of the store.
    pub fn root(&self) -> &Path {
        todo!()
    }

    // ---- blobs ----

    /// True if the blob is there.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        let _ = digest;
        todo!()
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<std::fs::File> {
        let _ = digest;
        todo!()
    }

    /// Reads a whole small blob (manifest, config); refuses more than `limit` bytes; verifies the digest.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let _ = (digest, limit);
        todo!()
    }

    /// Stores a blob, hashing as it is read; it gets its name only if `expected` (digest and size) holds.
    pub fn put_blob(&self, expected: Option<(Digest, u64)>, data: &mut dyn std::io::Read) -> Result<(Digest, u64)> {
        let _ = (expected, data);
        todo!()
    }

    // ---- layers ----

    /// Makes an empty layer directory under `tmp/`: fill `tree()`, then [`LayerDraft::commit`].
    pub fn new_layer(&self) -> Result<LayerDraft> {
        todo!()
    }

    /// Returns a layer by id.
    pub fn layer(&self, id: &LayerId) -> Result<Layer> {
        let _ = id;
        todo!()
    }

    /// Returns the layer with this diff ID, pulled or packed here.
    pub fn layer_of_diff_id(&self, diff_id: &Digest) -> Result<Option<LayerId>> {
        let _ = diff_id;
        todo!()
    }

    /// Unpacks a layer blob, which must be here, into a layer directory and verifies its diff ID. `parents`: the layers
    /// below, lowest first (hard links may lead there).
    pub fn unpack(&self, blob: &Descriptor, diff_id: &Digest, parents: &[LayerId]) -> Result<LayerId> {
        let _ = (blob, diff_id, parents);
        todo!()
    }

    /// Packs a layer into a blob, or returns what an earlier packing gave.
    pub fn pack(&self, id: &LayerId, options: &image::layer::PackOptions) -> Result<Packed> {
        let _ = (id, options);
        todo!()
    }

    /// Returns the merged view of a stack of layers, lowest first.
    pub fn tree(&self, layers: &[LayerId]) -> Result<Tree> {
        let _ = layers;
        todo!()
    }

    // ---- records and facts ----

    /// Returns what `key` gave, if it is known and its layer is still here.
    pub fn record(&self, key: &RecordKey) -> Result<Option<Record>> {
        let _ = key;
        todo!()
    }

    /// Remembers what `key` gave.
    pub fn put_record(&self, key: &RecordKey, record: &Record) -> Result<()> {
        let _ = (key, record);
        todo!()
    }

    /// Waits until no other thread or process computes `key`, and keeps others waiting until the guard is dropped.
    pub fn lock_key(&self, key: &RecordKey) -> Result<KeyLock> {
        let _ = key;
        todo!()
    }

    /// Returns a derived value.
    pub fn fact(&self, key: &RecordKey) -> Result<Option<Vec<u8>>> {
        let _ = key;
        todo!()
    }

    /// Remembers a derived value.
    pub fn put_fact(&self, key: &RecordKey, value: &[u8]) -> Result<()> {
        let _ = (key, value);
        todo!()
    }

    // ---- references ----

    /// Names a manifest (or index) that is in the store.
    pub fn tag(&self, name: &Reference, target: &Descriptor) -> Result<()> {
        let _ = (name, target);
        todo!()
    }

    /// Returns what a name (with a tag or a digest) stands for.
    pub fn resolve(&self, name: &Reference) -> Result<Option<Descriptor>> {
        let _ = name;
        todo!()
    }

    /// Returns all names, sorted.
    pub fn references(&self) -> Result<Vec<(Reference, Descriptor)>> {
        todo!()
    }

    /// Removes a name; false if it was not there.
    pub fn untag(&self, name: &Reference) -> Result<bool> {
        let _ = name;
        todo!()
    }

    // ---- contexts, containers, temporary files ----

    /// Returns the stat index last written for a context.
    pub fn context_index(&self, id: &str) -> Result<Option<Vec<u8>>> {
        let _ = id;
        todo!()
    }

    /// Replaces the stat index of a context.
    pub fn put_context_index(&self, id: &str, bytes: &[u8]) -> Result<()> {
        let _ = (id, bytes);
        todo!()
    }

    /// Writes the account of a finished build.
    pub fn put_build(&self, id: &str, bytes: &[u8]) -> Result<()> {
        let _ = (id, bytes);
        todo!()
    }

    /// Returns the directory of containers.
    pub fn containers(&self) -> PathBuf {
        todo!()
    }

    /// Makes a private directory under `tmp/` that is moved to `trash/` and deleted on drop.
    pub fn scratch(&self) -> Result<Scratch> {
        todo!()
    }

    /// Makes everything written so far survive a power loss (one `syncfs`), and marks what it covered.
    pub fn sync(&self) -> Result<()> {
        todo!()
    }
}

/// Keeps a key to one computer of it.
#[derive(Debug)]
pub struct KeyLock {}

/// A private temporary directory.
#[derive(Debug)]
pub struct Scratch {}

impl Scratch {
    /// Returns the directory.
    pub fn path(&self) -> &Path {
        todo!()
    }
}

/// A stack of layers seen as one file tree, by their indexes: no I/O but opening file data. Whiteouts and opaque
/// directories are resolved; entries never are [`image::Kind::Whiteout`] and hard links have their file's kind resolved
/// through [`Tree::data`].
#[derive(Clone, Debug)]
pub struct Tree {}

impl Tree {
    /// Returns what stands at exactly `path` (no symlink is followed). The root always exists.
    pub fn get(&self, path: &LayerPath) -> Option<image::Entry> {
        let _ = path;
        todo!()
    }

    /// Returns the children of a directory, sorted by name.
    pub fn children(&self, path: &LayerPath) -> Vec<image::Entry> {
        let _ = path;
        todo!()
    }

    /// Resolves all symlinks in `path` beneath the root, the last component too if `follow_last`; components that do not
    /// exist are kept as they are. `None` for a loop (more than 40 links).
    pub fn resolve(&self, path: &LayerPath, follow_last: bool) -> Option<LayerPath> {
        let _ = (path, follow_last);
        todo!()
    }

    /// Opens the data of the regular file (or hard link) at `path`.
    pub fn open(&self, path: &LayerPath) -> Result<std::fs::File> {
        let _ = path;
        todo!()
    }

    /// Returns the indexes of the layers, lowest first.
    pub fn indexes(&self) -> &[Arc<Index>] {
        todo!()
    }
}
