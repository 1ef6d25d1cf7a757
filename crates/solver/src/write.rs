//! Writing a planned layer to disk: one pass that copies and hashes at once.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use image::layer::{Ids, OverlayXattr};
use image::{ContentHash, LayerPath, Metadata, Timestamp};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::cancel::Cancel;
use crate::error::{Result, SolveErrorKind};
use crate::files::Files;
use crate::layout::{Data, Layout, What};

/// Where a layer is written, and from what.
pub(crate) struct Writer<'a> {
    /// The directory of the layer, empty.
    pub(crate) tree: &'a Path,
    /// By the numbers in [`Data::Source`].
    pub(crate) sources: &'a [&'a dyn Files],
    /// By the numbers in [`Data::Inline`].
    pub(crate) inline: &'a [&'a [u8]],
    /// Holds the files of [`Data::Spooled`].
    pub(crate) spool: Option<&'a Path>,
    pub(crate) disk: Disk,
    pub(crate) cancel: &'a Cancel,
}

/// What this process may do with files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    pub(crate) ids: Ids,
    pub(crate) overlay: OverlayXattr,
}

/// Fewer files than this are copied by one thread.
const FILES_PER_THREAD: usize = 32;

impl Writer<'_> {
    /// Writes the layer and puts what was really copied into `layout`. False if a source was not what its selection
    /// had found, so that the layer does not belong to the key.
    pub(crate) fn write(&self, layout: &mut Layout) -> Result<bool> {
        let tree = self.open_tree()?;
        self.make(&tree, layout)?;
        let copied = self.copy_files(&tree, layout)?;
        self.link(&tree, layout)?;
        self.finish_directories(&tree, layout)?;
        let mut faithful = true;
        for (file, copied) in layout.files.iter_mut().zip(copied) {
            let Some((size, content)) = copied else { continue };
            faithful &= file.size == size && file.content == content;
            (file.size, file.content) = (size, content);
        }
        Ok(faithful)
    }

    /// Sets the times of all directories of a layer that is written already.
    pub(crate) fn set_times(&self, layout: &Layout) -> Result<()> {
        let tree = self.open_tree()?;
        self.finish_directories(&tree, layout)
    }

    fn open_tree(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(self.tree, flags, Mode::empty()).map_err(|e| self.fail("open", &LayerPath::root())(e))
    }

    fn fail<E: Into<io::Error>>(&self, action: &'static str, path: &LayerPath) -> impl FnOnce(E) -> SolveErrorKind {
        let path = if path.is_root() { self.tree.to_owned() } else { self.tree.join(path.as_path()) };
        move |error| SolveErrorKind::Write { action, path, source: error.into() }
    }

    /// Makes everything but files, in order: directories come before what is in them.
    fn make(&self, tree: &OwnedFd, layout: &Layout) -> Result<()> {
        for (path, planned) in &layout.planned {
            let at = path.as_path();
            match &planned.what {
                What::Directory { .. } => {
                    rustix::fs::mkdirat(tree, at, Mode::RWXU).map_err(self.fail("create", path))?;
                    continue;
                }
                What::File(_) => continue,
                What::Symlink(target) => {
                    rustix::fs::symlinkat(&**target, tree, at).map_err(self.fail("create", path))?;
                }
                What::CharDevice { major, minor } => {
                    self.device(tree, path, FileType::CharacterDevice, *major, *minor)?;
                }
                What::BlockDevice { major, minor } => self.device(tree, path, FileType::BlockDevice, *major, *minor)?,
                What::Fifo => self.device(tree, path, FileType::Fifo, 0, 0)?,
            }
            self.attributes_by_path(tree, path, &planned.metadata, !matches!(planned.what, What::Symlink(_)))?;
        }
        Ok(())
    }

    fn device(&self, tree: &OwnedFd, path: &LayerPath, kind: FileType, major: u32, minor: u32) -> Result<()> {
        let device = rustix::fs::makedev(major, minor);
        match rustix::fs::mknodat(tree, path.as_path(), kind, Mode::RUSR | Mode::WUSR, device) {
            // Without root there are no devices; the index has it all the same, and so has the image.
            Err(Errno::PERM) if self.disk.overlay == OverlayXattr::User => Ok(()),
            result => result.map_err(self.fail("create", path)),
        }
    }

    fn attributes_by_path(&self, tree: &OwnedFd, path: &LayerPath, metadata: &Metadata, mode: bool) -> Result<()> {
        let at = path.as_path();
        let missing = |result: Result<(), Errno>| match result {
            Err(Errno::NOENT) if self.disk.overlay == OverlayXattr::User => Ok(()),
            result => result,
        };
        if let Some((uid, gid)) = self.owner(metadata) {
            let result = rustix::fs::chownat(tree, at, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
            missing(result).map_err(self.fail("set the owner of", path))?;
        }
        if mode {
            let result = rustix::fs::chmodat(tree, at, Mode::from_raw_mode(metadata.mode), AtFlags::empty());
            missing(result).map_err(self.fail("set the mode of", path))?;
        }
        let full = self.tree.join(at);
        for (name, value) in &metadata.xattrs {
            let _ = rustix::fs::lsetxattr(&full, &**name, value, XattrFlags::empty());
        }
        let result = rustix::fs::utimensat(tree, at, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW);
        missing(result).map_err(self.fail("set the time of", path))
    }

    /// Returns the owner to set; none when files belong to the right one as they are made.
    fn owner(&self, metadata: &Metadata) -> Option<(rustix::fs::Uid, rustix::fs::Gid)> {
        let wanted = self.disk.ids == Ids::Keep && (metadata.uid, metadata.gid) != (0, 0);
        wanted.then(|| (rustix::fs::Uid::from_raw(metadata.uid), rustix::fs::Gid::from_raw(metadata.gid)))
    }

    /// Copies each file once, to the first of its paths. Returns size and hash by the number of the file.
    fn copy_files(&self, tree: &OwnedFd, layout: &Layout) -> Result<Vec<Option<(u64, ContentHash)>>> {
        let mut first = vec![None; layout.files.len()];
        for (path, planned) in &layout.planned {
            if let What::File(number) = planned.what {
                first[number].get_or_insert((path, &planned.metadata));
            }
        }
        let jobs: Vec<Job<'_>> = first
            .into_iter()
            .enumerate()
            .filter_map(|(number, place)| place.map(|(path, metadata)| Job { number, path, metadata }))
            .collect();
        let results = Mutex::new(vec![None; layout.files.len()]);
        let shared = Shared { next: AtomicUsize::new(0), stop: AtomicBool::new(false) };
        let threads = (jobs.len() / FILES_PER_THREAD).clamp(1, crate::cores());
        let run = || self.copy_some(tree, layout, &jobs, &shared, &results);
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
            let mut result = run();
            for other in others {
                result = result.and(other.join().unwrap_or(Err(SolveErrorKind::Canceled)));
            }
            result
        })?;
        Ok(results.into_inner().unwrap_or_default())
    }

    fn copy_some(
        &self,
        tree: &OwnedFd,
        layout: &Layout,
        jobs: &[Job<'_>],
        shared: &Shared,
        results: &Mutex<Vec<Option<(u64, ContentHash)>>>,
    ) -> Result<()> {
        let mut buffer = Vec::new();
        let mut directory: Option<(LayerPath, OwnedFd)> = None;
        let mut done = Vec::new();
        while !shared.stop.load(Ordering::Relaxed) {
            // A few at a time, so that one thread stays in one directory.
            let start = shared.next.fetch_add(8, Ordering::Relaxed);
            let Some(some) = jobs.get(start..jobs.len().min(start + 8)).filter(|some| !some.is_empty()) else { break };
            for job in some {
                match self.copy_file(tree, layout, job, &mut directory, &mut buffer) {
                    Ok(copied) => done.push((job.number, copied)),
                    Err(error) => {
                        shared.stop.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        }
        let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (number, copied) in done {
            results[number] = Some(copied);
        }
        Ok(())
    }

    fn copy_file(
        &self,
        tree: &OwnedFd,
        layout: &Layout,
        job: &Job<'_>,
        directory: &mut Option<(LayerPath, OwnedFd)>,
        buffer: &mut Vec<u8>,
    ) -> Result<(u64, ContentHash)> {
        if self.cancel.is_canceled() {
            return Err(SolveErrorKind::Canceled);
        }
        let parent = job.path.parent().unwrap_or_default();
        let open = match directory.take() {
            Some(open) if open.0 == parent => open,
            _ => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(tree, parent.as_path(), flags, Mode::empty());
                (parent, fd.map_err(self.fail("open", job.path))?)
            }
        };
        let result = self.fill(&open.1, layout, job, buffer);
        *directory = Some(open);
        result
    }

    fn fill(
        &self,
        parent: &OwnedFd,
        layout: &Layout,
        job: &Job<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<(u64, ContentHash)> {
        let name = std::ffi::OsStr::new(job.name());
        let file = &layout.files[job.number];
        if let (Data::Spooled(number), Some(spool)) = (&file.data, self.spool) {
            let from = spool.join(number.to_string());
            rustix::fs::renameat(CWD, &from, parent, name).map_err(self.fail("create", job.path))?;
            let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(self.fail("open", job.path))?;
            self.attributes(&File::from(fd), job)?;
            return Ok((file.size, file.content));
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(self.fail("create", job.path))?;
        let mut to = File::from(fd);
        let copied = match &file.data {
            Data::Source { tree, path } => {
                let source = self.sources[*tree];
                let from = source.open(path)?;
                let known = source.is_immutable().then_some((file.size, file.content));
                copy_data(from, &mut to, known, buffer).map_err(self.fail("copy to", job.path))?
            }
            Data::Inline(number) => {
                to.write_all(self.inline[*number]).map_err(self.fail("write", job.path))?;
                (file.size, file.content)
            }
            Data::Spooled(_) => return Err(SolveErrorKind::Plan("an extracted file without a place")),
        };
        self.attributes(&to, job)?;
        Ok(copied)
    }

    fn attributes(&self, file: &File, job: &Job<'_>) -> Result<()> {
        // In this order: a change of owner takes set-id bits and capabilities away.
        if let Some((uid, gid)) = self.owner(job.metadata) {
            rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(self.fail("set the owner of", job.path))?;
        }
        let mode = Mode::from_raw_mode(job.metadata.mode);
        rustix::fs::fchmod(file, mode).map_err(self.fail("set the mode of", job.path))?;
        for (name, value) in &job.metadata.xattrs {
            let _ = rustix::fs::fsetxattr(file, &**name, value, XattrFlags::empty());
        }
        rustix::fs::futimens(file, &times(job.metadata.mtime)).map_err(self.fail("set the time of", job.path))
    }

    fn link(&self, tree: &OwnedFd, layout: &Layout) -> Result<()> {
        let mut first: Vec<Option<&LayerPath>> = vec![None; layout.files.len()];
        for (path, planned) in &layout.planned {
            let What::File(number) = planned.what else { continue };
            let Some(target) = first[number] else {
                first[number] = Some(path);
                continue;
            };
            rustix::fs::linkat(tree, target.as_path(), tree, path.as_path(), AtFlags::empty())
                .map_err(self.fail("link", path))?;
        }
        Ok(())
    }

    /// Gives directories what they are to have, the deepest first: what is made in one changes its time.
    fn finish_directories(&self, tree: &OwnedFd, layout: &Layout) -> Result<()> {
        for (path, planned) in layout.planned.iter().rev() {
            let What::Directory { opaque } = planned.what else { continue };
            self.attributes_by_path(tree, path, &planned.metadata, true)?;
            if opaque {
                let result =
                    rustix::fs::lsetxattr(self.tree.join(path.as_path()), self.opaque(), b"y", XattrFlags::empty());
                result.map_err(self.fail("mark", path))?;
            }
        }
        let Some(root) = layout.probe.found.first() else { return Ok(()) };
        self.attributes_by_path(tree, &LayerPath::root(), &root.metadata, true)
    }

    fn opaque(&self) -> &'static str {
        match self.disk.overlay {
            OverlayXattr::Trusted => "trusted.overlay.opaque",
            OverlayXattr::User => "user.overlay.opaque",
        }
    }
}

/// One file to be copied.
struct Job<'a> {
    number: usize,
    path: &'a LayerPath,
    metadata: &'a Metadata,
}

impl Job<'_> {
    fn name(&self) -> &std::ffi::OsStr {
        std::os::unix::ffi::OsStrExt::from_bytes(self.path.file_name())
    }
}

struct Shared {
    next: AtomicUsize,
    stop: AtomicBool,
}

fn times(mtime: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// False once a file system has refused to share blocks between files.
static CLONES: AtomicBool = AtomicBool::new(true);

const BUFFER: usize = 256 << 10;

/// Copies a file, sharing its blocks where the file system can. `known`: size and hash of data that cannot change.
fn copy_data(
    mut from: File,
    to: &mut File,
    known: Option<(u64, ContentHash)>,
    buffer: &mut Vec<u8>,
) -> io::Result<(u64, ContentHash)> {
    let large = known.is_none_or(|(size, _)| size > 4096);
    if large && CLONES.load(Ordering::Relaxed) {
        match rustix::fs::ioctl_ficlone(&*to, &from) {
            Ok(()) => {
                // What was cloned is ours: it no longer changes while it is hashed.
                return match known {
                    Some(known) => Ok(known),
                    None => hash(to.try_clone()?, buffer),
                };
            }
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => CLONES.store(false, Ordering::Relaxed),
            Err(_) => {}
        }
    }
    match known {
        Some(known) => {
            let copied = io::copy(&mut from, to)?;
            if copied == known.0 { Ok(known) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
        None => copy_and_hash(&mut from, Some(to), buffer),
    }
}

fn hash(mut file: File, buffer: &mut Vec<u8>) -> io::Result<(u64, ContentHash)> {
    io::Seek::rewind(&mut file)?;
    copy_and_hash(&mut file, None, buffer)
}

/// Reads `from` to its end, and returns how much it was and the hash of it.
pub(crate) fn copy_and_hash(
    from: &mut impl Read,
    mut to: Option<&mut File>,
    buffer: &mut Vec<u8>,
) -> io::Result<(u64, ContentHash)> {
    buffer.resize(BUFFER, 0);
    let mut hasher = blake3::Hasher::new();
    let mut size = 0;
    loop {
        let read = match from.read(buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..read]);
        if let Some(to) = &mut to {
            to.write_all(&buffer[..read])?;
        }
        size += read as u64;
    }
    Ok((size, ContentHash(*hasher.finalize().as_bytes())))
}

/// Gives the root of a layer the mode and owner that the root of its parent has: overlay shows those of the topmost.
pub(crate) fn dress_root(tree: &Path, root: &Metadata, disk: Disk) -> Result<()> {
    let fail = |source: Errno| SolveErrorKind::Write {
        action: "set the mode of",
        path: PathBuf::from(tree),
        source: source.into(),
    };
    if disk.ids == Ids::Keep && (root.uid, root.gid) != (0, 0) {
        let (uid, gid) = (rustix::fs::Uid::from_raw(root.uid), rustix::fs::Gid::from_raw(root.gid));
        rustix::fs::chown(tree, Some(uid), Some(gid)).map_err(fail)?;
    }
    rustix::fs::chmod(tree, Mode::from_raw_mode(root.mode)).map_err(fail)?;
    for (name, value) in &root.xattrs {
        let _ = rustix::fs::lsetxattr(tree, &**name, value, XattrFlags::empty());
    }
    let times = times(root.mtime);
    rustix::fs::utimensat(CWD, tree, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)
}

#[cfg(test)]
mod tests;
