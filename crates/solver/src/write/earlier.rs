//! Files taken over from the layer that the same op gave before, instead of being copied once more.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use image::layer::Ids;
use image::{Entry, Index, Kind, LayerPath, Metadata};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};

use crate::layout::{Layout, NewFile, What};

/// A finished layer to take files from. Its files are shared, never written to.
#[derive(Debug)]
pub(crate) struct Earlier {
    tree: OwnedFd,
    index: Arc<Index>,
}

/// What an earlier layer has of a planned file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Same {
    /// Its data.
    Data,
    /// All that an inode holds, so that it can be the same inode.
    File,
}

impl Earlier {
    /// Opens a layer; `None` if it cannot be used.
    pub(crate) fn open(layer: &store::Layer) -> Option<Self> {
        Some(Self { tree: open_tree(layer.tree())?, index: layer.index().ok()? })
    }

    /// Returns what is here of each planned file, by its number. A file that the new layer has under several names is not
    /// looked for: those are to be one file that nobody else has.
    pub(super) fn compare(&self, layout: &Layout) -> Vec<Option<Same>> {
        let mut named = vec![0u32; layout.files.len()];
        let mut found = vec![None; layout.files.len()];
        let mut entries = self.index.entries().iter().peekable();
        for (path, planned) in &layout.planned {
            let What::File(number) = planned.what else { continue };
            named[number] += 1;
            while entries.next_if(|entry| entry.path < *path).is_some() {}
            if let Some(entry) = entries.next_if(|entry| entry.path == *path) {
                found[number] = compare(entry, &planned.metadata, &layout.files[number]);
            }
        }
        for (found, _) in found.iter_mut().zip(named).filter(|(_, names)| *names > 1) {
            *found = None;
        }
        found
    }

    /// Opens a directory of the layer.
    pub(super) fn directory(&self, path: &LayerPath) -> Option<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.tree, path.as_path(), flags, Mode::empty(), resolve).ok()
    }
}

fn compare(entry: &Entry, metadata: &Metadata, file: &NewFile) -> Option<Same> {
    let same = entry.kind == Kind::File { size: file.size, content: file.content };
    // Extended attributes may not be on the disk: not everybody can set them all.
    let whole = entry.metadata == *metadata && metadata.xattrs.is_empty();
    same.then_some(if whole { Same::File } else { Same::Data })
}

fn open_tree(tree: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(tree, flags, Mode::empty()).ok()
}

/// Makes `name` in `to` another name of the file `name` in `from`, if that is on the disk what its index says. False if
/// not, or if it has as many names as it can have (ext4: 65,000).
pub(super) fn link(
    from: &OwnedFd,
    to: &OwnedFd,
    name: &std::ffi::OsStr,
    size: u64,
    metadata: &Metadata,
    ids: Ids,
) -> bool {
    let Ok(stat) = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    is_intact(&stat, size)
        && has(&stat, metadata, ids)
        && rustix::fs::linkat(from, name, to, name, AtFlags::empty()).is_ok()
}

/// Opens the file `name` in `from` to clone its data, if it is as long as its index says.
pub(super) fn open(from: &OwnedFd, name: &std::ffi::OsStr, size: u64) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(from, name, flags, Mode::empty()).ok()?;
    is_intact(&rustix::fs::fstat(&file).ok()?, size).then(|| file.into())
}

fn is_intact(stat: &Stat, size: u64) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && u64::try_from(stat.st_size) == Ok(size)
}

/// True if an inode has these attributes, as far as they are kept on the disk.
fn has(stat: &Stat, metadata: &Metadata, ids: Ids) -> bool {
    let owner = match ids {
        Ids::Keep => (metadata.uid, metadata.gid),
        Ids::Ignore => (rustix::process::geteuid().as_raw(), stat.st_gid),
    };
    (stat.st_uid, stat.st_gid) == owner
        && stat.st_mode & 0o7777 == metadata.mode
        && stat.st_mtime == metadata.mtime.seconds
        && stat.st_mtime_nsec == u64::from(metadata.mtime.nanoseconds)
}

/// True if the file system of `tree`, a directory of the store, lets files share their blocks.
pub(super) fn can_clone(tree: &OwnedFd) -> bool {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let temporary = || rustix::fs::openat(tree, ".", flags, Mode::RUSR | Mode::WUSR);
    let (Ok(from), Ok(to)) = (temporary(), temporary()) else { return false };
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}
