//! Hard links, within the layer and to files of the layers below, and what else is looked up there.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use super::super::{Ids, LayerPath, Metadata, OverlayXattr, fs, is_foreign_xattr};
use super::{Apply, ApplyError, ApplyOptions};

impl Apply<'_> {
    /// Makes `path` another name of the file that `link` names.
    pub(super) fn hardlink(&mut self, path: LayerPath, link: &[u8]) -> Result<(), ApplyError> {
        let Some(target) = LayerPath::new(link).filter(|target| !target.is_root()) else {
            return Err(ApplyError::LinkClimbs { path, target: link.to_vec() });
        };
        if target == path && self.record.contains(&path) {
            // GNU tar writes a file that was named twice as a link to itself.
            return Ok(());
        }
        if self.record.is_file(&target) {
            self.disk.link(&path, &target)?;
            return if self.record.link(path.clone(), &target) { Ok(()) } else { Err(missing(path, target)) };
        }
        if let Some((kind, metadata)) = self.record.get_other(&target) {
            // Links to what has no content are no different from another of it.
            return self.other(path, kind, metadata);
        }
        if self.record.contains(&target) {
            return Err(missing(path, target));
        }
        self.check_beneath(&path, &target)?;
        self.copy_from_below(path, target)
    }

    /// Errors if the way to `target` leads through a symbolic link of this layer.
    fn check_beneath(&mut self, path: &LayerPath, target: &LayerPath) -> Result<(), ApplyError> {
        for parent in std::iter::successors(target.parent(), LayerPath::parent) {
            if !parent.is_root() && self.record.contains(&parent) && !self.record.is_directory(&parent) {
                return Err(missing(path.clone(), target.clone()));
            }
        }
        Ok(())
    }

    /// Copies the file at `target` of the layers below, which the overlay would show there.
    fn copy_from_below(&mut self, path: LayerPath, target: LayerPath) -> Result<(), ApplyError> {
        let found = find(self.parents, &target, self.options.overlay);
        let Some((fd, stat)) = found.filter(|(_, stat)| fs::file_type(stat) == FileType::RegularFile) else {
            return Err(missing(path, target));
        };
        let failed = |errno| ApplyError::Io { doing: "copy", path: target.clone(), source: fs::io_error(errno) };
        let file = reopen(&fd, OFlags::RDONLY).map_err(failed)?;
        let metadata = metadata_below(file.as_fd(), &stat, self.options).map_err(failed)?;
        let size = stat.st_size as u64;
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.options.limits.total_bytes {
            return Err(ApplyError::Limit { path, what: "the size of all files" });
        }
        let content = self.disk.file(&path, &metadata, false, File::from(file).take(size))?;
        self.record.file(path, size, content, metadata);
        Ok(())
    }
}

fn missing(path: LayerPath, target: LayerPath) -> ApplyError {
    ApplyError::LinkTarget { path, target }
}

/// Returns the attributes for a directory that no member names: those it has in the layers below.
pub(super) fn parent_metadata(parents: &[BorrowedFd<'_>], path: &LayerPath, options: &ApplyOptions) -> Metadata {
    let below = || {
        let (fd, stat) = find(parents, path, options.overlay)?;
        let fd = reopen(&fd, OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
        metadata_below(fd.as_fd(), &stat, options).ok()
    };
    let (uid, gid) = options.owner.unwrap_or((0, 0));
    below().unwrap_or(Metadata { mode: 0o755, uid, gid, ..Metadata::default() })
}

fn metadata_below(file: BorrowedFd<'_>, stat: &Stat, options: &ApplyOptions) -> Result<Metadata, Errno> {
    let mut metadata = fs::metadata(stat);
    metadata.xattrs = fs::xattrs_of(file, is_foreign_xattr)?;
    if options.ids == Ids::Ignore {
        // The disk does not know the owner.
        (metadata.uid, metadata.gid) = (0, 0);
    }
    Ok(metadata)
}

/// Opens what stands at `path` of `parents`, topmost first, with what hides lower ones taken into account.
fn find(parents: &[BorrowedFd<'_>], path: &LayerPath, overlay: OverlayXattr) -> Option<(OwnedFd, Stat)> {
    for parent in parents {
        match find_in(*parent, path, overlay) {
            Found::Here(fd, stat) => return Some((fd, stat)),
            Found::Hidden => return None,
            Found::Nothing => {}
        }
    }
    None
}

enum Found {
    Here(OwnedFd, Stat),
    /// Not here, and what lower layers have does not show.
    Hidden,
    Nothing,
}

fn find_in(layer: BorrowedFd<'_>, path: &LayerPath, overlay: OverlayXattr) -> Found {
    let mut opaque = false;
    let nothing = |opaque| if opaque { Found::Hidden } else { Found::Nothing };
    let mut components = path.components().peekable();
    let mut so_far = LayerPath::root();
    while let Some(name) = components.next() {
        so_far = so_far.join(name);
        let Ok(fd) = fs::open_beneath(layer, &so_far, OFlags::PATH) else { return nothing(opaque) };
        let Ok(stat) = rustix::fs::fstat(&fd) else { return Found::Hidden };
        if fs::is_whiteout(&stat) {
            return Found::Hidden;
        }
        if components.peek().is_none() {
            return Found::Here(fd, stat);
        }
        if fs::file_type(&stat) != FileType::Directory {
            return Found::Hidden;
        }
        opaque |= is_opaque(&fd, overlay);
    }
    Found::Nothing
}

fn is_opaque(directory: &OwnedFd, overlay: OverlayXattr) -> bool {
    let mut value = [0; 1];
    let path = fs::proc_path(directory, b".");
    rustix::fs::getxattr(path, overlay.name("opaque"), &mut value).is_ok_and(|len| value[..len] == *b"y")
}

/// Opens once more what an `O_PATH` descriptor refers to.
fn reopen(fd: &OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::open(path, flags | OFlags::CLOEXEC, rustix::fs::Mode::empty())
}
