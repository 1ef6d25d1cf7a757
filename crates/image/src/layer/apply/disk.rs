//! Making the files of a layer.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::super::fs::{self, DirCache};
use super::super::target::Target;
use super::super::{Entry, Ids, Index, Kind, LayerPath, Metadata};
use super::{ApplyError, ApplyOptions, io_failed};
use crate::digest::ContentHash;

/// The directory that a layer is applied to.
#[derive(Debug)]
pub(super) struct Disk<'a> {
    directories: DirCache<'a>,
    options: &'a ApplyOptions,
    /// Whom files belong to when they are made.
    owner: (u32, u32),
    umask: u32,
    buffer: Vec<u8>,
    skipped: Skipped,
}

/// What is in the index only, since the kernel refused it.
#[derive(Debug, Default)]
struct Skipped {
    xattrs: u64,
    devices: u64,
}

impl<'a> Disk<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, options: &'a ApplyOptions) -> Self {
        // With the set-group-id bit, new files have its group and new directories the bit (inode(7)): then nothing is
        // taken for granted.
        let inherits = rustix::fs::fstat(root).is_ok_and(|stat| stat.st_mode & 0o2000 != 0);
        let caller = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self {
            directories: DirCache::new(root),
            options,
            owner: if inherits { (u32::MAX, u32::MAX) } else { caller },
            umask: if inherits { 0o7777 } else { fs::umask() },
            buffer: vec![0; 128 << 10],
            skipped: Skipped::default(),
        }
    }

    /// True if `parent` is a directory, false if there is nothing; an error about `path` for anything else.
    pub(super) fn has_directory(&mut self, path: &LayerPath, parent: &LayerPath) -> Result<bool, ApplyError> {
        match self.directories.get(parent) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(Errno::LOOP) => Err(ApplyError::BelowSymlink { path: path.clone() }),
            // With O_DIRECTORY, a symbolic link at the end is "not a directory", too.
            Err(Errno::NOTDIR) if self.has_symlink(parent) => Err(ApplyError::BelowSymlink { path: path.clone() }),
            Err(Errno::NOTDIR) => Err(ApplyError::BelowFile { path: path.clone() }),
            Err(errno) => Err(io_failed("open the directory of", path)(errno)),
        }
    }

    fn has_symlink(&mut self, parent: &LayerPath) -> bool {
        let Ok(above) = self.parent(parent) else { return false };
        fs::stat(&above, parent.file_name()).is_ok_and(|stat| fs::file_type(&stat) == FileType::Symlink)
    }

    fn parent(&mut self, path: &LayerPath) -> Result<Rc<OwnedFd>, Errno> {
        self.directories.get(&path.parent().unwrap_or_default())
    }

    /// Removes whatever stands at `path`.
    fn clear(&mut self, path: &LayerPath) -> Result<(), ApplyError> {
        let parent = self.parent(path).map_err(io_failed("remove", path))?;
        self.directories.clear();
        fs::remove_all(parent.as_fd(), path.file_name()).map_err(io_failed("remove", path))
    }

    /// Makes something at `path`, after removing what stands there.
    fn make<T>(
        &mut self,
        path: &LayerPath,
        mut make: impl FnMut(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<(Rc<OwnedFd>, T), Errno> {
        let parent = self.parent(path)?;
        let made = match make(parent.as_fd(), path.file_name()) {
            Err(Errno::EXIST) => {
                self.directories.clear();
                fs::remove_all(parent.as_fd(), path.file_name())?;
                make(parent.as_fd(), path.file_name())?
            }
            made => made?,
        };
        Ok((parent, made))
    }

    /// Makes a directory, and returns the mode that it has now; `None` if there was one. Its attributes come last, for
    /// what is made in it changes some and may be kept out by others.
    pub(super) fn directory(&mut self, path: &LayerPath, mode: u32) -> Result<Option<u32>, ApplyError> {
        let parent = self.parent(path).map_err(io_failed("create", path))?;
        let name = path.file_name();
        let mode = mode & 0o755 | 0o700;
        let mut made = rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode));
        if made == Err(Errno::EXIST) {
            let stat = fs::stat(&parent, name).map_err(io_failed("create", path))?;
            if fs::file_type(&stat) == FileType::Directory {
                return Ok(None);
            }
            self.clear(path)?;
            made = rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode));
        }
        made.map_err(io_failed("create", path))?;
        Ok(Some(mode & !self.umask))
    }

    /// Makes a file of `data`, which is hashed on the way.
    pub(super) fn file(
        &mut self,
        path: &LayerPath,
        metadata: &Metadata,
        sparse: bool,
        data: impl Read,
    ) -> Result<ContentHash, ApplyError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Nobody else is to get at a set-id file before it is complete.
        let mode = metadata.mode & 0o777;
        let open =
            |parent: BorrowedFd<'_>, name: &[u8]| rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(mode));
        let (_, fd) = self.make(path, open).map_err(io_failed("create", path))?;
        let mut file = File::from(fd);
        let content = self.copy(&mut file, sparse, data).map_err(|error| match error {
            Failed::Read(error) => ApplyError::Archive(error.into()),
            Failed::Write(source) => ApplyError::Io { doing: "write", path: path.clone(), source },
        })?;
        self.attributes(path, &Target::Open(file.as_fd()), metadata, Some(mode & !self.umask))?;
        Ok(content)
    }

    fn copy(&mut self, file: &mut File, sparse: bool, mut data: impl Read) -> Result<ContentHash, Failed> {
        let mut hasher = blake3::Hasher::new();
        let mut hole = false;
        loop {
            let read = read_full(&mut data, &mut self.buffer).map_err(Failed::Read)?;
            let chunk = &self.buffer[..read];
            if read == 0 {
                break;
            }
            hasher.update(chunk);
            hole = sparse && chunk.iter().all(|&b| b == 0);
            if hole {
                file.seek(SeekFrom::Current(read as i64)).map_err(Failed::Write)?;
            } else {
                file.write_all(chunk).map_err(Failed::Write)?;
            }
            if read < self.buffer.len() {
                break;
            }
        }
        if hole {
            let len = file.stream_position().map_err(Failed::Write)?;
            file.set_len(len).map_err(Failed::Write)?;
        }
        Ok(ContentHash(hasher.finalize().into()))
    }

    /// Makes `path` another name of `target`.
    pub(super) fn link(&mut self, path: &LayerPath, target: &LayerPath) -> Result<(), ApplyError> {
        let from = self.parent(target).map_err(io_failed("link", path))?;
        let link = |parent: BorrowedFd<'_>, name: &[u8]| {
            rustix::fs::linkat(&from, target.file_name(), parent, name, AtFlags::empty())
        };
        self.make(path, link).map_err(io_failed("link", path))?;
        Ok(())
    }

    /// Makes what is neither a file nor a directory.
    pub(super) fn other(&mut self, path: &LayerPath, kind: &Kind, metadata: &Metadata) -> Result<(), ApplyError> {
        let mode = metadata.mode & 0o777;
        let node = |file_type, major, minor| {
            let dev = rustix::fs::makedev(major, minor);
            move |parent: BorrowedFd<'_>, name: &[u8]| {
                rustix::fs::mknodat(parent, name, file_type, Mode::from_raw_mode(mode), dev)
            }
        };
        let made = match kind {
            Kind::Symlink { target } => self.make(path, |parent, name| rustix::fs::symlinkat(&**target, parent, name)),
            Kind::Fifo => self.make(path, node(FileType::Fifo, 0, 0)),
            // Anybody may make this device (mknod(2), and overlayfs since Linux 5.8).
            Kind::Whiteout => self.make(path, node(FileType::CharacterDevice, 0, 0)),
            Kind::CharDevice { major, minor } => self.make(path, node(FileType::CharacterDevice, *major, *minor)),
            Kind::BlockDevice { major, minor } => self.make(path, node(FileType::BlockDevice, *major, *minor)),
            Kind::Directory { .. } | Kind::File { .. } | Kind::Hardlink { .. } => return Ok(()),
        };
        match (made, kind) {
            (Ok(_), Kind::Whiteout) => Ok(()),
            (Ok((parent, ())), _) => {
                let made = if matches!(kind, Kind::Symlink { .. }) { metadata.mode } else { mode & !self.umask };
                self.attributes(path, &Target::At(parent.as_fd(), path.file_name()), metadata, Some(made))
            }
            (Err(Errno::PERM), Kind::CharDevice { .. } | Kind::BlockDevice { .. }) => {
                self.skipped.devices += 1;
                self.clear(path)
            }
            (Err(errno), _) => Err(io_failed("create", path)(errno)),
        }
    }

    /// Sets the attributes of what was made with mode `made`; `None` if it was there before. The owner first, for changing
    /// it drops set-id bits and capabilities; the time last.
    fn attributes(
        &mut self,
        path: &LayerPath,
        target: &Target<'_>,
        metadata: &Metadata,
        made: Option<u32>,
    ) -> Result<(), ApplyError> {
        let Metadata { mode, uid, gid, mtime, xattrs } = metadata;
        if self.options.ids == Ids::Keep && (made.is_none() || (*uid, *gid) != self.owner) {
            let (owner, group) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
            target.chown(owner, group).map_err(|errno| ApplyError::Owner {
                path: path.clone(),
                uid: *uid,
                gid: *gid,
                source: errno.into(),
            })?;
        }
        for (name, value) in xattrs {
            self.xattr(path, target, name, value)?;
        }
        if made != Some(*mode) {
            target.chmod(Mode::from_raw_mode(*mode)).map_err(io_failed("set the mode of", path))?;
        }
        target.utimens(&fs::times(*mtime)).map_err(io_failed("set the time of", path))
    }

    fn xattr(&mut self, path: &LayerPath, target: &Target<'_>, name: &[u8], value: &[u8]) -> Result<(), ApplyError> {
        match target.set_xattr(name, value) {
            // No such attributes here, not ours to set, or not what the kernel understands under the name.
            Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS | Errno::INVAL) => {
                self.skipped.xattrs += 1;
                Ok(())
            }
            result => result.map_err(io_failed("set an extended attribute of", path)),
        }
    }

    /// Sets the attributes of all directories, the deepest first. `made` has the modes of those made just now.
    pub(super) fn finish_directories(
        &mut self,
        index: &Index,
        made: &HashMap<LayerPath, u32>,
    ) -> Result<(), ApplyError> {
        for entry in index.entries().iter().rev() {
            if let Kind::Directory { opaque } = entry.kind {
                self.finish_directory(entry, opaque, made.get(&entry.path).copied())?;
            }
        }
        Ok(())
    }

    fn finish_directory(&mut self, entry: &Entry, opaque: bool, made: Option<u32>) -> Result<(), ApplyError> {
        let path = &entry.path;
        let parent = self.parent(path).map_err(io_failed("open", path))?;
        let name: &[u8] = if path.is_root() { b"." } else { path.file_name() };
        if opaque {
            let (key, at) = (self.options.overlay.name("opaque"), Target::At(parent.as_fd(), name));
            at.set_xattr(&key, b"y").map_err(io_failed("make opaque", path))?;
        }
        self.attributes(path, &Target::At(parent.as_fd(), name), &entry.metadata, made)
    }

    /// Logs how much is in the index only.
    pub(super) fn log_skipped(&self) {
        let Skipped { xattrs, devices } = self.skipped;
        if xattrs + devices > 0 {
            tracing::info!(xattrs, devices, "the kernel does not let this process make all of the layer");
        }
    }
}

enum Failed {
    Read(std::io::Error),
    Write(std::io::Error),
}

/// Fills `buffer` as far as the data goes.
fn read_full(data: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match data.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
