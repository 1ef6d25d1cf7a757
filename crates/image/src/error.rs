//! What can be wrong with an image's documents and archives.

use std::io;

use crate::Digest;
use crate::platform::NoSuchPlatform;
use crate::reference::InvalidReference;

/// Why an image could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on a file, an archive or the place where blobs are kept.
    #[error("failed to {what}")]
    Io { what: String, source: io::Error },
    /// A document that is not JSON, or not of the expected shape.
    #[error("invalid {what}")]
    Json { what: String, source: serde_json::Error },
    /// A document that is too large to be what it claims to be.
    #[error("{what} has {size} bytes, more than the {limit} allowed")]
    TooLarge { what: String, size: u64, limit: u64 },
    /// A manifest or an index that cannot be used.
    #[error("unusable manifest {digest}: {reason}")]
    Manifest { digest: Digest, reason: String },
    /// A configuration and a manifest that do not belong together.
    #[error("the configuration has {diff_ids} layers, the manifest {layers}")]
    LayerCount { layers: usize, diff_ids: usize },
    /// A blob that an image needs is not there.
    #[error("blob {digest} is missing, needed as {role}")]
    MissingBlob { digest: Digest, role: String },
    /// A blob that has another size than the image says.
    #[error("blob {digest} has {actual} bytes where its descriptor says {expected}")]
    BlobSize { digest: Digest, expected: u64, actual: u64 },
    /// A layer that is not the one the configuration names.
    #[error("layer `{layer}` has the diff ID {actual} where the configuration says {expected}")]
    DiffId { layer: String, expected: Digest, actual: Digest },
    /// A file or directory that is not an archive or layout of images.
    #[error("not an image archive: {0}")]
    NotAnArchive(String),
    /// A member of an archive that must not be there or is damaged.
    #[error("archive member `{name}` {reason}")]
    Member { name: String, reason: String },
    /// None of several images was chosen, or a choice that is not there.
    #[error("{wanted}; there is {available}")]
    Choice { wanted: String, available: String },
    #[error(transparent)]
    Platform(#[from] NoSuchPlatform),
    #[error(transparent)]
    Reference(#[from] InvalidReference),
}

impl Error {
    /// Returns a function for `map_err` that says what was being done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn json(what: impl Into<String>) -> impl FnOnce(serde_json::Error) -> Self {
        let what = what.into();
        move |source| Self::Json { what, source }
    }
}
