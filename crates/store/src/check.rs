//! Comparing a layer directory with its index.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use image::layer::Ids;
use image::{Entry, Index, Kind, LayerPath};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::flat::flat_name;
use crate::layer::layer_name;
use crate::{FlatId, LayerId, Result, Store, layer_flavor};

impl Store {
    /// Compares a layer with its index; the first difference if there is one. Owners, and what only a privileged process
    /// can make (devices, extended attributes, set-id bits), may differ: the index alone knows them
    /// (`image::layer::apply`).
    pub(crate) fn check_layer(&self, id: &LayerId) -> Result<Option<String>> {
        let index = self.read_index(id)?;
        if self.meta(id)?.content() != Some(index.content_id()) {
            return Ok(Some("its index has another content id than its meta".to_owned()));
        }
        self.check_tree(&format!("{}/tree", layer_name(id)), &index)
    }

    /// Does the same for a flat.
    pub(crate) fn check_flat(&self, id: &FlatId) -> Result<Option<String>> {
        self.check_tree(&format!("{}/tree", flat_name(id)), &self.read_flat_index(id)?)
    }

    fn check_tree(&self, name: &str, index: &Index) -> Result<Option<String>> {
        let tree = self.dir().open_dir(name).map_err(self.dir().fails("open", name))?;
        for entry in index.entries() {
            let difference = check_entry(tree.as_fd(), entry).unwrap_or_else(|error| Some(error.to_string()));
            if let Some(difference) = difference {
                return Ok(Some(format!("{} {difference}", entry.path)));
            }
        }
        let extra = find_extra(&self.dir().full(name), index);
        Ok(extra.map(|path| format!("{path} is not in its index")))
    }
}

fn check_entry(tree: BorrowedFd<'_>, entry: &Entry) -> io::Result<Option<String>> {
    let stat = match stat(tree, &entry.path) {
        Err(Errno::NOENT | Errno::NOTDIR) => {
            let optional = matches!(entry.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. });
            return Ok((!optional).then(|| "is missing".to_owned()));
        }
        result => result?,
    };
    let expected = match entry.kind {
        Kind::Directory { .. } => FileType::Directory,
        Kind::File { .. } | Kind::Hardlink { .. } => FileType::RegularFile,
        Kind::Symlink { .. } => FileType::Symlink,
        Kind::Fifo => FileType::Fifo,
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Whiteout => return Ok(None),
    };
    if FileType::from_raw_mode(stat.st_mode) != expected {
        return Ok(Some("is of another kind".to_owned()));
    }
    let known = if layer_flavor().1 == Ids::Keep { 0o7777 } else { 0o777 };
    if expected != FileType::Symlink && (stat.st_mode ^ entry.metadata.mode) & known != 0 {
        return Ok(Some(format!("has mode {:o} instead of {:o}", stat.st_mode & 0o7777, entry.metadata.mode)));
    }
    match &entry.kind {
        Kind::File { size, .. } if u64::try_from(stat.st_size) != Ok(*size) => {
            Ok(Some(format!("has {} bytes instead of {size}", stat.st_size)))
        }
        Kind::File { content, .. } => {
            let mut hash = blake3::Hasher::new();
            hash.update_reader(File::from(open(tree, &entry.path, OFlags::RDONLY | OFlags::NONBLOCK)?))?;
            Ok((*hash.finalize().as_bytes() != content.0).then(|| "has other data".to_owned()))
        }
        Kind::Symlink { target } => {
            let actual = rustix::fs::readlinkat(tree, entry.path.as_path(), Vec::new())?;
            Ok((actual.as_bytes() != &**target).then(|| "leads elsewhere".to_owned()))
        }
        Kind::Hardlink { target } => {
            let file = self::stat(tree, target)?;
            Ok(((file.st_dev, file.st_ino) != (stat.st_dev, stat.st_ino)).then(|| "is a file of its own".to_owned()))
        }
        _ => Ok(None),
    }
}

fn open(tree: BorrowedFd<'_>, path: &LayerPath, flags: OFlags) -> Result<OwnedFd, Errno> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(tree, path.as_path(), flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), beneath)
}

fn stat(tree: BorrowedFd<'_>, path: &LayerPath) -> Result<Stat, Errno> {
    if path.is_root() {
        return rustix::fs::fstat(tree);
    }
    // Of the directory only: the name itself may be a symbolic link, which `open` refuses.
    let parent = open(tree, &path.parent().unwrap_or_default(), OFlags::PATH | OFlags::DIRECTORY)?;
    rustix::fs::statat(&parent, OsStr::from_bytes(path.file_name()), AtFlags::SYMLINK_NOFOLLOW)
}

/// Returns a path of the tree that the index does not know.
fn find_extra(tree: &std::path::Path, index: &Index) -> Option<LayerPath> {
    let entries = walkdir::WalkDir::new(tree).min_depth(1).into_iter().filter_map(Result::ok);
    let mut paths = entries.filter_map(|entry| {
        let below = entry.path().strip_prefix(tree).ok()?;
        LayerPath::new(below.as_os_str().as_bytes())
    });
    // Directories on the way to an entry need none of their own.
    paths.find(|path| index.subtree(path).is_empty())
}
