//! Writing a planned layer to disk: one pass that copies and hashes at once.

mod data;
mod earlier;
mod files;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use image::layer::{Ids, OverlayXattr};
use image::{LayerPath, Metadata, Timestamp};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::cancel::Cancel;
use crate::error::{Result, SolveErrorKind};
use crate::files::Files;
use crate::layout::{Layout, What};

pub(crate) use data::copy_and_hash;
pub(crate) use earlier::Earlier;

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
    /// What the op gave before: a file that has not changed since is taken from there.
    pub(crate) earlier: Option<&'a Earlier>,
    pub(crate) disk: Disk,
    pub(crate) cancel: &'a Cancel,
}

/// What this process may do with files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    pub(crate) ids: Ids,
    pub(crate) overlay: OverlayXattr,
}

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

fn times(mtime: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
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
