//! Listing a directory tree, parents before what is in them.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, OFlags, Stat};

use super::super::{Kind, LayerPath, Metadata, OverlayXattr, Xattrs, fs, is_foreign_xattr};
use super::{ScanError, io_failed};
use crate::digest::ContentHash;

/// A path of the tree. What it has in its [`Kind::File`] is known once it has been hashed.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: LayerPath,
    /// The directory it is in, by its place in the list; its own for the root.
    pub(super) parent: usize,
    /// `None` for what no layer can hold: a socket.
    pub(super) kind: Option<Kind>,
    pub(super) metadata: Metadata,
    /// Device and inode, if it has other names.
    pub(super) inode: Option<(u64, u64)>,
}

impl Found {
    pub(super) fn is_socket(&self) -> bool {
        self.kind.is_none()
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.kind, Some(Kind::Directory { .. }))
    }
}

/// What a file holds before it has been read.
const UNREAD: ContentHash = ContentHash([0; 32]);

/// Lists everything beneath `root`. Extended attributes of files are left to whoever opens them to read.
pub(super) fn walk(root: BorrowedFd<'_>, overlay: OverlayXattr) -> Result<Vec<Found>, ScanError> {
    let stat = rustix::fs::fstat(root).map_err(io_failed("read", &LayerPath::root()))?;
    let mut found = vec![Found {
        path: LayerPath::root(),
        parent: 0,
        kind: Some(Kind::Directory { opaque: false }),
        metadata: fs::metadata(&stat),
        inode: None,
    }];
    // Directories wait in the list itself: neither the stack nor open descriptors grow with the depth.
    let mut next = 0;
    while next < found.len() {
        if found[next].is_directory() {
            directory(root, overlay, &mut found, next)?;
        }
        next += 1;
    }
    Ok(found)
}

/// Reads the directory `found[at]`: its own attributes, and what is in it.
fn directory(root: BorrowedFd<'_>, overlay: OverlayXattr, found: &mut Vec<Found>, at: usize) -> Result<(), ScanError> {
    let path = found[at].path.clone();
    let fd = fs::open_beneath(root, &path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(io_failed("open", &path))?;
    let marks = marks(&path, overlay, |skip| fs::xattrs_of(fd.as_fd(), skip))?;
    found[at].metadata.xattrs = marks.xattrs;
    found[at].kind = Some(Kind::Directory { opaque: marks.opaque });
    for name in fs::names(fd.as_fd()).map_err(io_failed("list", &path))? {
        let path = path.join(&name);
        let stat = fs::stat(&fd, &name).map_err(io_failed("read", &path))?;
        found.push(child(fd.as_fd(), &name, path, at, &stat, overlay)?);
    }
    Ok(())
}

fn child(
    directory: BorrowedFd<'_>,
    name: &[u8],
    path: LayerPath,
    parent: usize,
    stat: &Stat,
    overlay: OverlayXattr,
) -> Result<Found, ScanError> {
    if fs::is_whiteout(stat) {
        return Ok(Found { path, parent, kind: Some(Kind::Whiteout), metadata: Metadata::default(), inode: None });
    }
    let mut metadata = fs::metadata(stat);
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let kind = match fs::file_type(stat) {
        FileType::Directory => Some(Kind::Directory { opaque: false }),
        FileType::RegularFile => Some(Kind::File { size: stat.st_size as u64, content: UNREAD }),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(directory, name, Vec::new()).map_err(io_failed("read", &path))?;
            Some(Kind::Symlink { target: target.as_bytes().into() })
        }
        FileType::CharacterDevice => Some(Kind::CharDevice { major, minor }),
        FileType::BlockDevice => Some(Kind::BlockDevice { major, minor }),
        FileType::Fifo => Some(Kind::Fifo),
        _ => None,
    };
    // Those of files and directories are read when they are open.
    if !matches!(kind, None | Some(Kind::Directory { .. } | Kind::File { .. })) {
        metadata.xattrs = marks(&path, overlay, |skip| fs::xattrs_at(directory, name, skip))?.xattrs;
    }
    let linked = stat.st_nlink > 1 && matches!(kind, Some(Kind::File { .. }));
    Ok(Found { path, parent, kind, metadata, inode: linked.then_some((stat.st_dev, stat.st_ino)) })
}

/// Extended attributes, overlay's own taken out and understood.
pub(super) struct Marks {
    pub(super) xattrs: Xattrs,
    pub(super) opaque: bool,
    /// The file stands for a whiteout (overlayfs.rst, Nesting overlayfs mounts).
    pub(super) whiteout: bool,
}

type Skip<'a> = &'a dyn Fn(&[u8]) -> bool;

/// Reads the attributes of the file at `path` by `read`.
pub(super) fn marks(
    path: &LayerPath,
    overlay: OverlayXattr,
    read: impl FnOnce(Skip<'_>) -> Result<Xattrs, rustix::io::Errno>,
) -> Result<Marks, ScanError> {
    let own = ["opaque", "whiteout", "redirect", "metacopy"].map(|name| overlay.name(name));
    let skip = |name: &[u8]| is_foreign_xattr(name) && !own.iter().any(|own| own == name);
    let mut xattrs = read(&skip).map_err(io_failed("read extended attributes of", path))?;
    let mut marks = Marks { xattrs: Vec::new(), opaque: false, whiteout: false };
    let mut redirect = false;
    xattrs.retain(|(name, value)| {
        match own.iter().position(|own| **own == **name) {
            Some(0) => marks.opaque = **value == *b"y",
            Some(1) => marks.whiteout = true,
            Some(_) => redirect = true,
            None => return true,
        }
        false
    });
    if redirect {
        return Err(ScanError::Redirect { path: path.clone() });
    }
    marks.xattrs = xattrs;
    Ok(marks)
}
