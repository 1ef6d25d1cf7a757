//! Copying many files, by a few threads that end with the copy.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use image::{ContentHash, LayerPath, Metadata};
use rustix::fs::{CWD, Mode, OFlags, XattrFlags};

use super::data::copy_data;
use super::earlier::{self, Earlier, Same};
use super::{Writer, times};
use crate::error::{Result, SolveErrorKind};
use crate::layout::{Data, Layout, What};

/// Fewer files than this are copied by one thread.
const FILES_PER_THREAD: usize = 32;

impl Writer<'_> {
    /// Copies each file once, to the first of its paths. Returns size and hash by the number of the file.
    pub(super) fn copy_files(&self, tree: &OwnedFd, layout: &Layout) -> Result<Vec<Option<(u64, ContentHash)>>> {
        let mut first = vec![None; layout.files.len()];
        for (path, planned) in &layout.planned {
            if let What::File(number) = planned.what {
                first[number].get_or_insert((path, &planned.metadata));
            }
        }
        let shares = self.shares(tree, layout);
        let jobs: Vec<Job<'_>> = first
            .into_iter()
            .enumerate()
            .filter_map(|(number, place)| {
                let share = shares.get(number).copied().flatten();
                place.map(|(path, metadata)| Job { number, path, metadata, share })
            })
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

    /// Returns what is taken from the earlier layer, and how. A clone is a file of its own; another name for the same file
    /// shows in its number of links, and so is the second choice.
    fn shares(&self, tree: &OwnedFd, layout: &Layout) -> Vec<Option<Share>> {
        let Some(earlier) = self.earlier else { return Vec::new() };
        let same = earlier.compare(layout);
        let clones = earlier::can_clone(tree);
        let share = |same: Option<Same>| match same? {
            Same::File | Same::Data if clones => Some(Share::Clone),
            Same::File => Some(Share::Link),
            Same::Data => None,
        };
        same.into_iter().map(share).collect()
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
        let mut directory: Option<Place> = None;
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
        directory: &mut Option<Place>,
        buffer: &mut Vec<u8>,
    ) -> Result<(u64, ContentHash)> {
        if self.cancel.is_canceled() {
            return Err(SolveErrorKind::Canceled);
        }
        let parent = job.path.parent().unwrap_or_default();
        let mut place = match directory.take() {
            Some(place) if place.path == parent => place,
            _ => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(tree, parent.as_path(), flags, Mode::empty());
                Place { path: parent, fd: fd.map_err(self.fail("open", job.path))?, earlier: None }
            }
        };
        let result = match self.earlier.zip(job.share) {
            Some((earlier, share)) => self.share(&mut place, layout, job, earlier, share, buffer),
            None => self.fill(&place.fd, layout, job, buffer),
        };
        *directory = Some(place);
        result
    }

    /// Takes a file from the earlier layer; copies it after all where that cannot be done.
    fn share(
        &self,
        place: &mut Place,
        layout: &Layout,
        job: &Job<'_>,
        earlier: &Earlier,
        share: Share,
        buffer: &mut Vec<u8>,
    ) -> Result<(u64, ContentHash)> {
        let file = &layout.files[job.number];
        let known = (file.size, file.content);
        let from = place.earlier.get_or_insert_with(|| earlier.directory(&place.path));
        if let Some(from) = from {
            match share {
                Share::Link if earlier::link(from, &place.fd, job.name(), file.size, job.metadata, self.disk.ids) => {
                    return Ok(known);
                }
                Share::Link => {}
                Share::Clone => {
                    if let Some(from) = earlier::open(from, job.name(), file.size) {
                        let mut to = self.create(&place.fd, job)?;
                        copy_data(from, &mut to, Some(known), buffer).map_err(self.fail("copy to", job.path))?;
                        self.attributes(&to, job)?;
                        return Ok(known);
                    }
                }
            }
        }
        self.fill(&place.fd, layout, job, buffer)
    }

    fn create(&self, parent: &OwnedFd, job: &Job<'_>) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, job.name(), flags, Mode::RUSR | Mode::WUSR);
        fd.map(File::from).map_err(self.fail("create", job.path))
    }

    fn fill(
        &self,
        parent: &OwnedFd,
        layout: &Layout,
        job: &Job<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<(u64, ContentHash)> {
        let file = &layout.files[job.number];
        if let (Data::Spooled(number), Some(spool)) = (&file.data, self.spool) {
            let from = spool.join(number.to_string());
            rustix::fs::renameat(CWD, &from, parent, job.name()).map_err(self.fail("create", job.path))?;
            let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd =
                rustix::fs::openat(parent, job.name(), flags, Mode::empty()).map_err(self.fail("open", job.path))?;
            self.attributes(&File::from(fd), job)?;
            return Ok((file.size, file.content));
        }
        let mut to = self.create(parent, job)?;
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
}

/// One file to be copied.
struct Job<'a> {
    number: usize,
    path: &'a LayerPath,
    metadata: &'a Metadata,
    share: Option<Share>,
}

/// How a file is taken from the earlier layer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Share {
    Clone,
    Link,
}

/// The directory that a thread is in.
struct Place {
    path: LayerPath,
    fd: OwnedFd,
    /// The same directory of the earlier layer, once it was looked for.
    earlier: Option<Option<OwnedFd>>,
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
