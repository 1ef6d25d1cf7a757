//! The file system beneath a directory descriptor: nothing here resolves a path outside it or through a symbolic link.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::{LayerPath, Metadata, Timestamp, Xattrs};

/// Longer paths are resolved in pieces: the kernel takes at most 4,096 bytes at once.
const PIECE: usize = 2048;

/// Opens `path` beneath `root`. A symbolic link on the way is `ELOOP`.
pub(super) fn open_beneath(root: BorrowedFd<'_>, path: &LayerPath, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut rest = path.as_bytes();
    let mut base: Option<OwnedFd> = None;
    while rest.len() > PIECE {
        let Some(end) = rest[..PIECE].iter().rposition(|&b| b == b'/') else { return Err(Errno::NAMETOOLONG) };
        let from = base.as_ref().map_or(root, AsFd::as_fd);
        base = Some(resolve(from, &rest[..end], OFlags::PATH | OFlags::DIRECTORY)?);
        rest = &rest[end + 1..];
    }
    resolve(base.as_ref().map_or(root, AsFd::as_fd), if rest.is_empty() { b"." } else { rest }, flags)
}

fn resolve(base: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    loop {
        match rustix::fs::openat2(base, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), beneath) {
            // A rename somewhere below made the kernel unsure (openat2(2), EAGAIN).
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// The directories used last, open: names relative to a descriptor are cheaper than whole paths.
#[derive(Debug)]
pub(super) struct DirCache<'a> {
    root: BorrowedFd<'a>,
    /// The one used last at the end.
    open: Vec<(LayerPath, Rc<OwnedFd>)>,
}

/// How many directories stay open: more than a tree is deep, as a rule.
const OPEN_DIRECTORIES: usize = 24;

impl<'a> DirCache<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, open: Vec::new() }
    }

    /// Opens the directory at `path`, an `O_PATH` descriptor.
    pub(super) fn get(&mut self, path: &LayerPath) -> Result<Rc<OwnedFd>, Errno> {
        if let Some(at) = self.open.iter().rposition(|(open, _)| open == path) {
            let last = self.open.len() - 1;
            self.open[at..=last].rotate_left(1);
            return Ok(Rc::clone(&self.open[last].1));
        }
        let fd = Rc::new(open_beneath(self.root, path, OFlags::PATH | OFlags::DIRECTORY)?);
        if self.open.len() == OPEN_DIRECTORIES {
            self.open.remove(0);
        }
        self.open.push((path.clone(), Rc::clone(&fd)));
        Ok(fd)
    }

    /// Forgets all: directories are about to be removed.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

/// Returns the names in `directory` (open for reading), without `.` and `..`, unsorted.
pub(super) fn names(directory: BorrowedFd<'_>) -> Result<Vec<Box<[u8]>>, Errno> {
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.into());
        }
    }
    Ok(names)
}

/// Removes what is at `name` in `directory`, with everything below it. Nothing there is no error.
pub(super) fn remove_all(directory: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    // A stack of its own: what is removed may be deeper than the thread's.
    let mut stack = vec![Removal::start(directory, name)?];
    while let Some(top) = stack.last_mut() {
        if let Some(name) = top.directories.pop() {
            let below = Removal::start(top.fd.as_fd(), &name)?;
            stack.push(below);
        } else if let Some(empty) = stack.pop() {
            let parent = stack.last().map_or(directory, |parent| parent.fd.as_fd());
            rustix::fs::unlinkat(parent, &*empty.name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}

/// A directory about to be removed that holds nothing but `directories` any more.
struct Removal {
    fd: OwnedFd,
    name: Box<[u8]>,
    directories: Vec<Box<[u8]>>,
}

impl Removal {
    fn start(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Self, Errno> {
        let fd = open_directory(parent, name)?;
        let mut directories = Vec::new();
        for name in names(fd.as_fd())? {
            match rustix::fs::unlinkat(&fd, &*name, AtFlags::empty()) {
                Err(Errno::ISDIR | Errno::PERM) => directories.push(name),
                result => result?,
            }
        }
        Ok(Self { fd, name: name.into(), directories })
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    resolve(parent, name, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Returns the status of `name` in `directory`, of a symbolic link itself.
pub(super) fn stat(directory: impl AsFd, name: &[u8]) -> Result<Stat, Errno> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Returns the type of a file from its mode.
pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// True for what overlayfs takes as a whiteout: a character device 0:0.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    file_type(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Returns what a status tells, without extended attributes.
pub(super) fn metadata(stat: &Stat) -> Metadata {
    Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Timestamp { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 },
        xattrs: Vec::new(),
    }
}

/// Returns times to set: both become `mtime`, since images have no access times.
pub(super) fn times(mtime: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Returns all extended attributes of an open file, except those whose name `skip` knows.
pub(super) fn xattrs_of(file: BorrowedFd<'_>, skip: impl Fn(&[u8]) -> bool) -> Result<Xattrs, Errno> {
    let list = |buffer: &mut Vec<u8>| rustix::fs::flistxattr(file, buffer.as_mut_slice());
    read_xattrs(list, |name, buffer| rustix::fs::fgetxattr(file, name, buffer.as_mut_slice()), skip)
}

/// Does the same for `name` in `directory`, which cannot be opened (a symbolic link, a device, a fifo).
pub(super) fn xattrs_at(directory: impl AsFd, name: &[u8], skip: impl Fn(&[u8]) -> bool) -> Result<Xattrs, Errno> {
    let path = &proc_path(directory, name);
    let list = |buffer: &mut Vec<u8>| rustix::fs::llistxattr(path, buffer.as_mut_slice());
    read_xattrs(list, |name, buffer| rustix::fs::lgetxattr(path, name, buffer.as_mut_slice()), skip)
}

fn read_xattrs(
    list: impl Fn(&mut Vec<u8>) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut Vec<u8>) -> Result<usize, Errno>,
    skip: impl Fn(&[u8]) -> bool,
) -> Result<Xattrs, Errno> {
    let names = match growing(list) {
        Ok(names) if names.is_empty() => return Ok(Vec::new()),
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        names => names?,
    };
    let mut xattrs = Xattrs::new();
    for name in names.split(|&b| b == 0).filter(|name| !name.is_empty() && !skip(name)) {
        match growing(|buffer| get(name, buffer)) {
            Ok(value) => xattrs.push((name.into(), value.into())),
            // Listed, but not ours to read, or gone.
            Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// Reads into a larger buffer as long as the kernel says `ERANGE`.
fn growing(read: impl Fn(&mut Vec<u8>) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 512];
    loop {
        match read(&mut buffer) {
            Ok(len) => {
                buffer.truncate(len);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 16, 0),
            Err(errno) => return Err(errno),
        }
    }
}

/// Returns a path to `name` for the calls that know no descriptors. Only its last component may be a link, and the calls
/// used with it do not follow that one.
pub(super) fn proc_path(directory: impl AsFd, name: &[u8]) -> PathBuf {
    Path::new("/proc/self/fd").join(directory.as_fd().as_raw_fd().to_string()).join(OsStr::from_bytes(name))
}

/// Returns the bits that the process takes off the mode of what it creates; all of them when that cannot be told.
/// umask(2) itself can only be asked by changing it, under the feet of other threads.
pub(super) fn umask() -> u32 {
    let read = || -> Option<u32> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
        u32::from_str_radix(line.trim(), 8).ok()
    };
    read().unwrap_or(0o777)
}

/// Turns an `Errno` into an `io::Error`, for use in `map_err`.
pub(super) fn io_error(errno: Errno) -> io::Error {
    errno.into()
}
