//! Layers: what is in one, and the ways in and out of a directory and a tar.
//!
//! ```text
//! tar ──decompress──► apply ──► directory + Index ──► pack ──compress──► tar
//!                                    ▲
//! an overlay's upper directory ────scan
//! ```
//!
//! An [`Index`] says everything about a layer but the data of its files, which stays in the directory beside it. That
//! directory can be a lower of an overlay as it is: whiteouts are character devices 0:0, opaque directories have
//! overlay's attribute.

mod apply;
mod codec;
mod compress;
mod content;
mod decompress;
mod entry;
mod flatten;
mod fs;
mod pack;
mod path;
mod scan;
mod stack;
mod tar;
mod target;

pub use apply::{ApplyError, ApplyOptions, Limits, Names, apply};
pub use compress::{Compressed, Compression, Compressor};
pub use decompress::{Expansion, Format, ReadAhead, decompress};
pub use entry::{DamagedIndex, Entry, Index, Kind, Metadata, Timestamp, Xattrs};
pub use flatten::{FlattenError, flatten};
pub use pack::{PackOptions, Packed, pack, pack_with, write_tar};
pub use path::LayerPath;
pub use scan::{Lower, Scan, ScanError, ScanOptions, scan, scan_tree};
pub use stack::Stack;
pub use tar::{Data, Member, MemberKind, TarError, TarReader, TarWriter, WriteError};

/// Whose attributes overlayfs reads in the mount that will use a layer.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum OverlayXattr {
    /// `trusted.overlay.*`: mounted by root of the initial user namespace.
    #[default]
    Trusted,
    /// `user.overlay.*`: mounted with `userxattr`, as inside a user namespace.
    User,
}

impl OverlayXattr {
    /// Returns the full name of overlay's attribute `name`.
    fn name(self, name: &str) -> Vec<u8> {
        let prefix = match self {
            Self::Trusted => "trusted.overlay.",
            Self::User => "user.overlay.",
        };
        [prefix, name].concat().into_bytes()
    }
}

/// True for attributes that are no part of an image: overlay's own of either kind, and the label that the security
/// policy of the machine put on a file.
fn is_foreign_xattr(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") || name == b"security.selinux"
}

/// What is done with owners.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Ids {
    /// Files on disk belong to whom the layer says.
    #[default]
    Keep,
    /// Files on disk all belong to the caller, who has a single id; the index alone knows the owners.
    Ignore,
}
