//! Taking out of an upper directory what is no part of the layer.

use std::os::fd::BorrowedFd;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::super::fs::{self, DirCache};
use super::super::{LayerPath, OverlayXattr};
use super::judge::Verdict;
use super::walk::Found;
use super::{ScanError, io_failed};

/// Removes what is not kept, and leaves the directories that are with the times the index gives them.
pub(super) fn remove(
    upper: BorrowedFd<'_>,
    found: &[Found],
    verdict: &Verdict,
    overlay: OverlayXattr,
) -> Result<(), ScanError> {
    let mut directories = DirCache::new(upper);
    for &at in &verdict.needless_opaque {
        if verdict.kept[at] {
            let path = &found[at].path;
            unmark(&mut directories, path, overlay).map_err(io_failed("unmark", path))?;
        }
    }
    let mut touched = vec![false; found.len()];
    for (at, gone) in found.iter().enumerate().rev().filter(|(at, _)| !verdict.kept[*at]) {
        touched[found[at].parent] = true;
        unlink(&mut directories, gone).map_err(io_failed("remove", &gone.path))?;
    }
    for (_, directory) in found.iter().enumerate().filter(|(at, _)| touched[*at] && verdict.kept[*at]) {
        set_time(&mut directories, directory).map_err(io_failed("set the time of", &directory.path))?;
    }
    Ok(())
}

fn unlink(directories: &mut DirCache<'_>, gone: &Found) -> Result<(), Errno> {
    let parent = directories.get(&gone.path.parent().unwrap_or_default())?;
    let flags = if gone.is_directory() { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    rustix::fs::unlinkat(parent, gone.path.file_name(), flags)
}

fn set_time(directories: &mut DirCache<'_>, directory: &Found) -> Result<(), Errno> {
    let fd = directories.get(&directory.path)?;
    rustix::fs::utimensat(fd, ".", &fs::times(directory.metadata.mtime), AtFlags::empty())
}

fn unmark(directories: &mut DirCache<'_>, path: &LayerPath, overlay: OverlayXattr) -> Result<(), Errno> {
    let fd = directories.get(path)?;
    rustix::fs::removexattr(fs::proc_path(fd, b"."), overlay.name("opaque"))
}
