//! Reaching files beneath a directory: no path leads out of it, and none through a symbolic link.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use image::{LayerPath, Timestamp};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, StatxTimestamp};
use rustix::io::Errno;

use super::node::{Node, NodeKind};

/// Opens `path` beneath `root`.
pub(super) fn open(root: impl AsFd, path: &LayerPath, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(root.as_fd(), path.as_path(), flags, Mode::empty(), resolve) {
            // A rename elsewhere made the kernel unsure (openat2(2)).
            Err(Errno::AGAIN) if !flags.contains(OFlags::NONBLOCK) => {}
            // An old kernel, a sandbox that does not know the call, or a path longer than the kernel takes at once.
            Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG) => return open_stepwise(root.as_fd(), path, flags),
            result => return result,
        }
    }
}

fn open_stepwise(root: BorrowedFd<'_>, path: &LayerPath, flags: OFlags) -> Result<OwnedFd, Errno> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Some(parent) = path.parent() else { return rustix::fs::openat(root, ".", flags, Mode::empty()) };
    let mut at = rustix::fs::openat(root, ".", step, Mode::empty())?;
    for name in parent.components() {
        at = rustix::fs::openat(&at, name, step, Mode::empty())?;
    }
    rustix::fs::openat(&at, path.file_name(), flags, Mode::empty())
}

/// Returns what stands at `path`; `None` if nothing does, or if something on the way is no directory.
pub(super) fn stat(root: impl AsFd, path: &LayerPath) -> Result<Option<Node>, Errno> {
    let Some(parent) = path.parent() else { return Ok(None) };
    let directory = match open(root, &parent, OFlags::PATH | OFlags::DIRECTORY) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        result => result?,
    };
    match node(&directory, path.file_name().into()) {
        Err((Errno::NOENT, _)) => Ok(None),
        result => result.map(Some).map_err(|(error, _)| error),
    }
}

/// Returns what stands at `name` in a directory; the name comes back with an error.
pub(super) fn node(directory: impl AsFd, name: Box<[u8]>) -> Result<Node, (Errno, Box<[u8]>)> {
    match rustix::fs::statx(directory, &*name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) {
        Ok(stat) => Ok(from_stat(name, &stat)),
        Err(error) => Err((error, name)),
    }
}

fn from_stat(name: Box<[u8]>, stat: &Statx) -> Node {
    let mode = u32::from(stat.stx_mode);
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => NodeKind::Directory,
        FileType::Symlink => NodeKind::Symlink,
        FileType::CharacterDevice => NodeKind::CharDevice,
        FileType::BlockDevice => NodeKind::BlockDevice,
        FileType::Fifo => NodeKind::Fifo,
        FileType::Socket => NodeKind::Socket,
        _ => NodeKind::File,
    };
    Node {
        name,
        kind,
        mode: mode & 0o7777,
        size: stat.stx_size,
        mtime: time(stat.stx_mtime),
        ctime: time(stat.stx_ctime),
        inode: stat.stx_ino,
        device: (stat.stx_dev_major, stat.stx_dev_minor),
        special: (stat.stx_rdev_major, stat.stx_rdev_minor),
        links: stat.stx_nlink,
        of_root: (stat.stx_uid, stat.stx_gid) == (0, 0),
        ignored: false,
        hits: None,
        fact: std::sync::OnceLock::new(),
        was_known: false,
    }
}

fn time(time: StatxTimestamp) -> Timestamp {
    Timestamp { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
}
