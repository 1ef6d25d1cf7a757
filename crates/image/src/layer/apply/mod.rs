//! Applying a layer: a tar from anywhere becomes a directory that can be a lower of an overlay, and its index.
//!
//! Nothing in the tar is trusted. Every name is resolved beneath the root by the kernel, through no symbolic link; what
//! stands in the way of a name is removed, not followed; and there are limits on everything that can grow.
//!
//! Decisions, where the specification leaves room:
//! - A leading `/` is dropped. A name or a hard link's target with `..` is an error, and so is a parent that is a symbolic
//!   link or no directory.
//! - Of several members with one name the last wins; a directory over a directory takes its attributes and keeps what is
//!   in it. A whiteout hides lower layers only, whatever else the tar says about its name (layer.md, Whiteouts): a
//!   directory is then opaque, anything else replaces what was there anyway.
//! - Parents that no member names have the attributes they have in the layers below, else 0755, owner 0 and time 0.
//! - Attributes and devices that the kernel does not let this process make (`EPERM`, `ENOTSUP`, in a user namespace above
//!   all) are in the index but not on the disk; how many is logged.
//! - Sockets do not exist in tars. Global PAX headers are ignored, as are AUFS's own files (`.wh..wh.*`).

mod disk;
mod hardlink;
mod record;

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use self::disk::Disk;
use self::record::Record;
use super::fs::io_error;
use super::tar::{Data, Member, MemberKind, TarError, TarReader};
use super::{Ids, Index, Kind, LayerPath, Metadata, OverlayXattr};

/// How to apply a layer.
#[derive(Clone, Debug, Default)]
pub struct ApplyOptions {
    pub overlay: OverlayXattr,
    pub ids: Ids,
    pub names: Names,
    /// Who owns everything, instead of whom the members name.
    pub owner: Option<(u32, u32)>,
    pub limits: Limits,
}

/// What `.wh.` in a name means.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Names {
    /// The tar is a layer: whiteouts.
    #[default]
    Layer,
    /// The tar is any archive: nothing. The root's own member is ignored, too.
    Archive,
}

/// How much a layer may hold.
#[derive(Clone, Debug)]
pub struct Limits {
    pub entries: u64,
    /// Components of a path.
    pub depth: usize,
    /// Bytes of a path.
    pub path: usize,
    /// Names and values of one entry's extended attributes.
    pub xattr_bytes: usize,
    /// Data of all files, holes included.
    pub total_bytes: u64,
}

impl Default for Limits {
    /// What no image comes near, and a disk survives.
    fn default() -> Self {
        Self { entries: 10_000_000, depth: 512, path: 4_095, xattr_bytes: 256 << 10, total_bytes: 1 << 40 }
    }
}

/// A layer that could not be applied. What has been made of it stays in the directory.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("failed to read the layer archive")]
    Archive(#[from] TarError),
    #[error("archive entry `{}` climbs out of its root", .name.escape_ascii())]
    Climbs { name: Vec<u8> },
    #[error("archive entry `{}` has an improper name", .name.escape_ascii())]
    Name { name: Vec<u8> },
    #[error("hard link {path} to `{}`, which climbs out of its root", .target.escape_ascii())]
    LinkClimbs { path: LayerPath, target: Vec<u8> },
    #[error("hard link {path} to {target}, where no file is")]
    LinkTarget { path: LayerPath, target: LayerPath },
    #[error("{path} lies below a symbolic link")]
    BelowSymlink { path: LayerPath },
    #[error("{path} lies below what is no directory")]
    BelowFile { path: LayerPath },
    #[error("the root of the archive is no directory")]
    Root,
    #[error("{path} goes beyond the limit on {what}")]
    Limit { path: LayerPath, what: &'static str },
    #[error("failed to set owner {uid}:{gid} of {path}")]
    Owner { path: LayerPath, uid: u32, gid: u32, source: io::Error },
    #[error("failed to {doing} {path}")]
    Io { doing: &'static str, path: LayerPath, source: io::Error },
}

/// Unpacks the uncompressed `tar` of a layer into the empty directory `root`. `parents` are the layers below it, topmost
/// first, as far as they are at hand: hard links to their files and attributes of parents left out are taken from there.
pub fn apply(
    tar: impl Read,
    root: BorrowedFd<'_>,
    parents: &[BorrowedFd<'_>],
    options: &ApplyOptions,
) -> Result<Index, ApplyError> {
    let mut reader = TarReader::new(tar);
    let mut apply =
        Apply { disk: Disk::new(root, options), record: Record::default(), parents, options, entries: 0, bytes: 0 };
    while let Some(member) = reader.next_member()? {
        apply.member(&member, reader.data())?;
    }
    let index = apply.finish()?;
    // Whoever hashes the stream behind the reader is to see all of it.
    reader.drain()?;
    Ok(index)
}

struct Apply<'a> {
    disk: Disk<'a>,
    record: Record,
    parents: &'a [BorrowedFd<'a>],
    options: &'a ApplyOptions,
    entries: u64,
    bytes: u64,
}

impl Apply<'_> {
    fn member<R: Read>(&mut self, member: &Member, data: Data<'_, R>) -> Result<(), ApplyError> {
        let path = member_path(&member.path)?;
        self.check_limits(&path, member)?;
        if path.is_root() {
            return self.root(member);
        }
        if self.options.names == Names::Layer && self.marker(&path)? {
            return Ok(());
        }
        self.make_parents(&path)?;
        let metadata = self.metadata(member);
        match member.kind {
            MemberKind::Directory => self.directory(&path, metadata),
            MemberKind::File => {
                let content = self.disk.file(&path, &metadata, member.sparse, data)?;
                self.record.file(path, member.size, content, metadata);
                Ok(())
            }
            MemberKind::Hardlink => self.hardlink(path, &member.link),
            MemberKind::Symlink => self.other(path, Kind::Symlink { target: member.link.as_slice().into() }, metadata),
            MemberKind::Fifo => self.other(path, Kind::Fifo, metadata),
            // On disk this could be nothing but a whiteout.
            MemberKind::CharDevice if (member.major, member.minor) == (0, 0) => {
                self.record.whiteout(path);
                Ok(())
            }
            MemberKind::CharDevice => {
                self.other(path, Kind::CharDevice { major: member.major, minor: member.minor }, metadata)
            }
            MemberKind::BlockDevice => {
                self.other(path, Kind::BlockDevice { major: member.major, minor: member.minor }, metadata)
            }
        }
    }

    fn check_limits(&mut self, path: &LayerPath, member: &Member) -> Result<(), ApplyError> {
        let limits = &self.options.limits;
        let xattr_bytes: usize = member.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.count_entry(path)?;
        self.bytes = self.bytes.saturating_add(member.size);
        let what = if self.bytes > limits.total_bytes {
            "the size of all files"
        } else if path.as_bytes().len() > limits.path {
            "the length of a path"
        } else if path.depth() > limits.depth {
            "the depth of a path"
        } else if xattr_bytes > limits.xattr_bytes {
            "extended attributes"
        } else {
            return Ok(());
        };
        Err(ApplyError::Limit { path: path.clone(), what })
    }

    fn count_entry(&mut self, path: &LayerPath) -> Result<(), ApplyError> {
        self.entries += 1;
        if self.entries > self.options.limits.entries {
            return Err(ApplyError::Limit { path: path.clone(), what: "the number of entries" });
        }
        Ok(())
    }

    fn metadata(&self, member: &Member) -> Metadata {
        let (uid, gid) = self.options.owner.unwrap_or((member.uid, member.gid));
        let xattrs = member.xattrs.iter().filter(|(name, _)| !super::is_foreign_xattr(name)).cloned().collect();
        // Symbolic links have no mode of their own; Linux shows this one.
        let mode = if member.kind == MemberKind::Symlink { 0o777 } else { member.mode };
        Metadata { mode, uid, gid, mtime: member.mtime, xattrs }
    }

    fn root(&mut self, member: &Member) -> Result<(), ApplyError> {
        match (member.kind, self.options.names) {
            (MemberKind::Directory, Names::Layer) => {
                self.record.directory(LayerPath::root(), self.metadata(member));
                Ok(())
            }
            (MemberKind::Directory, Names::Archive) => Ok(()),
            _ => Err(ApplyError::Root),
        }
    }

    /// Takes note of a whiteout; true if `path` was one (image-spec layer.md, Whiteouts).
    fn marker(&mut self, path: &LayerPath) -> Result<bool, ApplyError> {
        let name = path.file_name();
        if name == b".wh..wh..opq" {
            let directory = path.parent().unwrap_or_default();
            self.make_parents(path)?;
            self.record.opaque(directory);
            return Ok(true);
        }
        if path.components().any(|name| name.starts_with(b".wh..wh.")) {
            return Ok(true);
        }
        let Some(hidden) = name.strip_prefix(b".wh.") else { return Ok(false) };
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(ApplyError::Name { name: path.as_bytes().to_vec() });
        }
        self.record.whiteout(path.parent().unwrap_or_default().join(hidden));
        Ok(true)
    }

    /// Makes what is missing of the directories above `path`.
    fn make_parents(&mut self, path: &LayerPath) -> Result<(), ApplyError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if self.record.is_directory(&parent) {
            return Ok(());
        }
        let exists = self.disk.has_directory(path, &parent)?;
        if exists && (parent.is_root() || self.options.names == Names::Archive) {
            return Ok(());
        }
        if self.record.contains(&parent) {
            // A device that could not be made on disk.
            return Err(ApplyError::BelowFile { path: path.clone() });
        }
        self.make_parents(&parent)?;
        self.count_entry(&parent)?;
        let metadata = hardlink::parent_metadata(self.parents, &parent, self.options);
        self.directory(&parent, metadata)
    }

    fn directory(&mut self, path: &LayerPath, metadata: Metadata) -> Result<(), ApplyError> {
        let made = self.disk.directory(path, metadata.mode)?;
        self.record.directory(path.clone(), metadata);
        if let Some(mode) = made {
            self.record.made_directory(path, mode);
        }
        Ok(())
    }

    fn other(&mut self, path: LayerPath, kind: Kind, metadata: Metadata) -> Result<(), ApplyError> {
        self.disk.other(&path, &kind, &metadata)?;
        self.record.other(path, kind, metadata);
        Ok(())
    }

    /// Removes by whiteouts, sets what must come last, and gives the index.
    fn finish(mut self) -> Result<Index, ApplyError> {
        self.whiteouts()?;
        let (index, made) = self.record.finish();
        self.disk.finish_directories(&index, &made)?;
        self.disk.log_skipped();
        Ok(index)
    }

    /// Makes the whiteouts, the deepest first: one below another makes a directory of the other.
    fn whiteouts(&mut self) -> Result<(), ApplyError> {
        for path in self.record.take_whiteouts().into_iter().rev() {
            if self.record.is_directory(&path) {
                self.record.opaque(path);
            } else if !self.record.contains(&path) {
                self.make_parents(&path)?;
                self.disk.other(&path, &Kind::Whiteout, &Metadata::default())?;
                self.record.other(path, Kind::Whiteout, Metadata::default());
            }
        }
        Ok(())
    }
}

/// Proves that `name` stays inside.
fn member_path(name: &[u8]) -> Result<LayerPath, ApplyError> {
    LayerPath::new(name).ok_or_else(|| {
        let name = name.to_vec();
        if name.contains(&0) { ApplyError::Name { name } } else { ApplyError::Climbs { name } }
    })
}

/// Gives an error what it was about.
fn io_failed(doing: &'static str, path: &LayerPath) -> impl FnOnce(rustix::io::Errno) -> ApplyError {
    move |errno| ApplyError::Io { doing, path: path.clone(), source: io_error(errno) }
}
