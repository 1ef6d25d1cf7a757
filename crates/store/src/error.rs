//! What can go wrong in a store.

use std::io;
use std::path::{Path, PathBuf};

use image::Digest;

use crate::{DraftId, LayerId};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says what was being done to what; the source says why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("failed to open the store {root} (--root or KILN_ROOT names another place)")]
    Open { root: PathBuf, source: io::Error },
    #[error(
        "{root} is not a store: it has no `format` file but holds `{found}` (--root or KILN_ROOT names another place)"
    )]
    NotAStore { root: PathBuf, found: String },
    #[error(
        "the store {root} has format `{found}`, this version reads {}; remove it or name another with --root or KILN_ROOT",
        crate::open::FORMAT
    )]
    Format { root: PathBuf, found: String },
    #[error("failed to {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "failed to {action} {path}: no space left; free some, or keep the store elsewhere with --root or KILN_ROOT"
    )]
    Full { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "failed to {action} {path}: the store is not writable; change its permissions, or use another with --root or KILN_ROOT"
    )]
    NotWritable { action: &'static str, path: PathBuf, source: io::Error },
    #[error("blob {0} is not in the store")]
    MissingBlob(Digest),
    /// The bytes under the blob's name are not its own.
    #[error("blob {digest} is damaged in the store: {reason}; it was dropped and has to be pulled or built again")]
    DamagedBlob { digest: Digest, reason: String },
    /// What came from outside is not what was announced.
    #[error("failed to store blob {digest}: {reason}")]
    WrongBlob { digest: Digest, reason: String },
    #[error("failed to store a blob: its data cannot be read")]
    Source(#[source] io::Error),
    #[error("blob {digest} has {size} bytes, more than the {limit} allowed here")]
    BlobTooLarge { digest: Digest, size: u64, limit: u64 },
    #[error("layer {0} is not in the store")]
    MissingLayer(LayerId),
    #[error("layer {id} is damaged in the store: {reason}")]
    DamagedLayer { id: LayerId, reason: String },
    #[error("failed to unpack layer {blob}")]
    Unpack { blob: Digest, source: image::layer::ApplyError },
    #[error("failed to flatten layers into {tree}")]
    Flatten { tree: PathBuf, source: image::layer::FlattenError },
    #[error("failed to unpack layer {blob}: its content has the diff ID {actual}, the image says {expected}")]
    WrongDiffId { blob: Digest, expected: Digest, actual: Digest },
    #[error("failed to pack layer {id}")]
    Pack { id: LayerId, source: image::layer::WriteError },
    #[error("failed to pack layer {id}: it gave {actual} now and {expected} before; its files were changed")]
    PackedDiffers { id: LayerId, expected: Digest, actual: Digest },
    #[error("layer {id} came from outside as blob {blob}, which is gone and has to be pulled again")]
    MissingSource { id: LayerId, blob: Digest },
    #[error("the draft {0} of an image is not in the store, or cannot be read; build the image again")]
    MissingDraft(DraftId),
    #[error("failed to make the documents of an image")]
    Draft(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("invalid {what} `{name}`")]
    InvalidName { what: &'static str, name: String },
    #[error("failed to name {name}: {reason}")]
    Tag { name: String, reason: String },
}

impl Error {
    /// Returns the variant that tells people what to do about `source`.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.as_ref().to_owned(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { action, path, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::NotWritable { action, path, source },
            io::ErrorKind::PermissionDenied if writes(action) => Self::NotWritable { action, path, source },
            _ => Self::Io { action, path, source },
        }
    }

    /// Returns the error of packing the layer at `path`.
    pub(crate) fn pack(id: &LayerId, path: PathBuf, source: image::layer::WriteError) -> Self {
        match source {
            image::layer::WriteError::Write(source) => Self::io("pack", path, source),
            source => Self::Pack { id: id.clone(), source },
        }
    }

    /// Returns the kind that callers who only know [`io::Error`] decide by.
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::MissingBlob(_) | Self::MissingLayer(_) | Self::MissingDraft(_) => io::ErrorKind::NotFound,
            Self::DamagedBlob { .. } | Self::WrongBlob { .. } | Self::BlobTooLarge { .. } => io::ErrorKind::InvalidData,
            Self::Io { source, .. } | Self::Full { source, .. } | Self::NotWritable { source, .. } => source.kind(),
            Self::Source(source) => source.kind(),
            _ => io::ErrorKind::Other,
        }
    }
}

fn writes(action: &str) -> bool {
    !matches!(action, "read" | "open" | "list" | "examine")
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}
