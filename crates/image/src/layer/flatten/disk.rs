//! Making the directory of flattened layers.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use super::super::fs::{self, DirCache};
use super::super::target::Target;
use super::super::{Entry, Kind, LayerPath, OverlayXattr, is_foreign_xattr};
use super::FlattenError;
use super::merge::{Place, Places};

/// The directories that are merged and the one that is made.
pub(super) struct Disk<'a> {
    layers: Vec<Source<'a>>,
    made: DirCache<'a>,
    overlay: OverlayXattr,
    /// By device and inode: files of several names that had to be copied, and the first name of the copy.
    copied: HashMap<(u64, u64), LayerPath>,
}

/// A layer, and the directory of it that was used last.
struct Source<'a> {
    root: BorrowedFd<'a>,
    last: Option<(LayerPath, Rc<OwnedFd>)>,
}

impl Source<'_> {
    fn directory(&mut self, path: &LayerPath) -> Result<Rc<OwnedFd>, Errno> {
        if let Some((_, open)) = self.last.as_ref().filter(|(last, _)| last == path) {
            return Ok(Rc::clone(open));
        }
        let open = Rc::new(fs::open_beneath(self.root, path, OFlags::PATH | OFlags::DIRECTORY)?);
        self.last = Some((path.clone(), Rc::clone(&open)));
        Ok(open)
    }
}

impl<'a> Disk<'a> {
    /// `layers` are the directories to merge, lowest first, `root` is the empty one to fill.
    pub(super) fn new(layers: &[BorrowedFd<'a>], root: BorrowedFd<'a>, overlay: OverlayXattr) -> Self {
        let layers = layers.iter().map(|&root| Source { root, last: None }).collect();
        Self { layers, made: DirCache::new(root), overlay, copied: HashMap::new() }
    }

    pub(super) fn make(mut self, places: &Places) -> Result<(), FlattenError> {
        for (path, place) in places {
            match place.entry.as_ref().filter(|_| !place.is_directory()) {
                Some(entry) => self.name(entry, place.layer).map_err(failed("link", path))?,
                None => self.directory(path).map_err(failed("create", path))?,
            }
        }
        // What is made in a directory changes its time, and its mode may keep that out: the deepest first.
        for (path, place) in places.iter().rev().filter(|(_, place)| place.is_directory()) {
            self.dress_directory(path, place).map_err(failed("set the attributes of", path))?;
        }
        Ok(())
    }

    fn directory(&mut self, path: &LayerPath) -> Result<(), Errno> {
        let Some(parent) = path.parent() else { return Ok(()) };
        rustix::fs::mkdirat(self.made.get(&parent)?, path.file_name(), Mode::RWXU)
    }

    /// Gives what a layer has at the path of `entry` one more name.
    fn name(&mut self, entry: &Entry, layer: usize) -> Result<(), Errno> {
        let path = &entry.path;
        let (parent, name) = (path.parent().unwrap_or_default(), path.file_name());
        let from = self.layers[layer].directory(&parent)?;
        let to = self.made.get(&parent)?;
        if self.copied.is_empty() || !self.name_copy(&from, path)? {
            match rustix::fs::linkat(&from, name, &to, name, AtFlags::empty()) {
                // The kernel did not let us make it when the layer was made.
                Err(Errno::NOENT) if matches!(entry.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. }) => {}
                // It has as many names as it may have, or may have no other (link(2)).
                Err(Errno::MLINK | Errno::PERM | Errno::XDEV | Errno::ACCESS) => self.copy(&from, &to, path)?,
                linked => linked?,
            }
        }
        Ok(())
    }

    /// Names the copy of a file that was copied by another of its names; false if it was not.
    fn name_copy(&mut self, from: &OwnedFd, path: &LayerPath) -> Result<bool, Errno> {
        let stat = fs::stat(from, path.file_name())?;
        let Some(first) = self.copied.get(&(stat.st_dev, stat.st_ino)).cloned() else { return Ok(false) };
        let copy = self.made.get(&first.parent().unwrap_or_default())?;
        let to = self.made.get(&path.parent().unwrap_or_default())?;
        rustix::fs::linkat(copy, first.file_name(), to, path.file_name(), AtFlags::empty())?;
        Ok(true)
    }

    fn copy(&mut self, from: &OwnedFd, to: &OwnedFd, path: &LayerPath) -> Result<(), Errno> {
        let name = path.file_name();
        let stat = fs::stat(from, name)?;
        let kind = fs::file_type(&stat);
        match kind {
            FileType::RegularFile => copy_data(from, to, name)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(target, to, name)?;
            }
            _ => rustix::fs::mknodat(to, name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)?,
        }
        if stat.st_nlink > 1 && kind == FileType::RegularFile {
            self.copied.insert((stat.st_dev, stat.st_ino), path.clone());
        }
        if fs::is_whiteout(&stat) { Ok(()) } else { dress((from, name), (to, name), &stat) }
    }

    /// Gives a directory the attributes that the topmost layer with it has.
    fn dress_directory(&mut self, path: &LayerPath, place: &Place) -> Result<(), Errno> {
        let parent = path.parent().unwrap_or_default();
        let name: &[u8] = if path.is_root() { b"." } else { path.file_name() };
        let from = self.layers[place.layer].directory(&parent)?;
        let to = self.made.get(&parent)?;
        if place.is_opaque() {
            Target::At(to.as_fd(), name).set_xattr(&self.overlay.name("opaque"), b"y")?;
        }
        let stat = fs::stat(&from, name)?;
        dress((&from, name), (&to, name), &stat)
    }
}

/// Sets owner, extended attributes, mode and times of a copy. The owner first, for changing it drops set-id bits and
/// capabilities; the times last.
fn dress(from: (&OwnedFd, &[u8]), to: (&OwnedFd, &[u8]), stat: &Stat) -> Result<(), Errno> {
    let target = Target::At(to.0.as_fd(), to.1);
    let made = fs::stat(to.0, to.1)?;
    if (made.st_uid, made.st_gid) != (stat.st_uid, stat.st_gid) {
        target.chown(Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    }
    for (name, value) in fs::xattrs_at(from.0, from.1, is_foreign_xattr)? {
        target.set_xattr(&name, &value)?;
    }
    if fs::file_type(stat) != FileType::Symlink {
        target.chmod(Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    }
    target.utimens(&fs::times(fs::metadata(stat).mtime))
}

/// Copies the data of a file: what copy_file_range(2) can clone is cloned.
fn copy_data(from: &OwnedFd, to: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, flags | OFlags::RDONLY, Mode::empty())?;
    let new = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let copy = rustix::fs::openat(to, name, new, Mode::RUSR | Mode::WUSR)?;
    let copied = io::copy(&mut File::from(source), &mut File::from(copy));
    copied.map(drop).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn failed(doing: &'static str, path: &LayerPath) -> impl FnOnce(Errno) -> FlattenError {
    let path = path.clone();
    move |errno| FlattenError { doing, path, source: fs::io_error(errno) }
}
