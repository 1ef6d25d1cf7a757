//! What the bytes of an OCI image mean.
//!
//! Names (digests, references, platforms), the image configuration, layers (their index, applying a tar, reading an
//! overlay's upper directory, packing), and the archives an image travels in. Nothing here knows where bytes are kept.

pub mod archive;
pub mod blobs;
pub mod config;
pub mod descriptor;
pub mod digest;
pub mod error;
pub mod graph;
pub mod layer;
pub mod layout;
pub mod manifest;
pub mod media_type;
pub mod platform;
pub mod reference;
#[cfg(test)]
mod testing;

pub use blobs::{BlobSink, Blobs, MemoryBlobs};
pub use config::ImageConfig;
pub use digest::{ContentHash, ContentId, Digest};
pub use error::Error;
pub use layer::{Entry, Index, Kind, LayerPath, Metadata, Timestamp};
pub use layout::{Loaded, Named};
pub use manifest::Manifest;
pub use media_type::{LayerEncoding, Style};
pub use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
pub use platform::Platform;
pub use reference::Reference;
