//! Deleting trees, whatever is in them.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::files::{Dir, random_hex};
use crate::{Result, fault};

/// Each level keeps a descriptor open. What lies deeper is moved up into `trash/` first.
const MAX_DEPTH: usize = 64;

/// Deletes everything in `trash/`. One process at a time does; another returns at once.
pub(crate) fn empty(dir: &Dir) -> Result<()> {
    let trash = dir.open_dir("trash").map_err(dir.fails("open", "trash"))?;
    if !matches!(fs::flock(&trash, fs::FlockOperation::NonBlockingLockExclusive), Ok(())) {
        return Ok(());
    }
    // Deep trees come back as new names; each pass takes off that many levels.
    let mut stuck = Vec::new();
    loop {
        let names: Vec<String> = dir.list("trash")?.into_iter().filter(|name| !stuck.contains(name)).collect();
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            let path = CString::new(name.as_str()).unwrap_or_default();
            if let Err(error) = remove_at(trash.as_fd(), trash.as_fd(), &path, 0) {
                // Files of other owners, seen from outside the user namespace that made them.
                tracing::debug!(name, %error, "something stays in the trash");
                stuck.push(name);
            }
        }
    }
}

/// Deletes `name` and what is below it.
pub(crate) fn remove(dir: &Dir, name: &str) -> Result<()> {
    let trash = dir.open_dir("trash").map_err(dir.fails("open", "trash"))?;
    let path = CString::new(name).unwrap_or_default();
    let removed = fault::point().map_err(|_| Errno::IO).and_then(|()| remove_at(trash.as_fd(), dir.fd(), &path, 0));
    removed.map_err(dir.fails("remove", name))
}

fn remove_at(trash: BorrowedFd<'_>, parent: BorrowedFd<'_>, name: &CStr, depth: usize) -> Result<(), Errno> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    if depth == MAX_DEPTH {
        let up = random_hex::<8>().map_err(|_| Errno::IO)?;
        return fs::renameat(parent, name, trash, up);
    }
    let directory = open(parent, name)?;
    for (child, kind) in children(&directory)? {
        if kind == FileType::Directory || fs::unlinkat(&directory, &child, AtFlags::empty()).is_err() {
            remove_at(trash, directory.as_fd(), &child, depth + 1)?;
        }
    }
    match fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// Opens a directory so that its entries can be removed, never one that something is mounted on.
fn open(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let directory = match open_here(parent, name) {
        Err(Errno::ACCESS) => {
            fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open_here(parent, name)?
        }
        result => result?,
    };
    // Without root's capabilities a directory of mode 0555 keeps its entries.
    if fs::fstat(&directory)?.st_mode & 0o700 != 0o700 {
        fs::fchmod(&directory, Mode::RWXU)?;
    }
    Ok(directory)
}

fn open_here(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    match fs::openat2(parent, name, flags, Mode::empty(), beneath) {
        Err(Errno::NOSYS) => fs::openat(parent, name, flags, Mode::empty()),
        result => result,
    }
}

fn children(directory: &OwnedFd) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut out = Vec::new();
    for entry in fs::Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            out.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(out)
}

#[cfg(test)]
#[path = "trash_tests.rs"]
mod tests;
