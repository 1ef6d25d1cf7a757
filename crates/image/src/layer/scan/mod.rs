//! Reading the upper directory of an overlay: what a step has changed becomes the index of a layer.
//!
//! It costs what has changed: the layers below are looked up by path, never walked. What the overlay copied up without any
//! change to it in the end is no part of the layer, and neither are overlay's own marks, sockets, whiteouts of nothing and
//! the mount points made for the step. With [`ScanOptions::remove`] they are taken out of the directory as well, so that
//! it is just what the index says and can be a lower itself.

mod clean;
mod hash;
mod judge;
mod walk;

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use self::walk::Found;
use super::fs::io_error;
use super::{Entry, Ids, Index, Kind, LayerPath, OverlayXattr};

/// What stood at a path before, seen through all layers. A hard link is to be given as the file it names.
pub trait Lower {
    /// Returns what is seen at `path`, `None` if nothing is.
    fn lookup(&self, path: &LayerPath) -> Option<Entry>;
}

/// How to read an upper directory.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    pub overlay: OverlayXattr,
    /// With [`Ids::Ignore`], owners are those of what stood there before, else 0.
    pub ids: Ids,
    /// Files and directories made as mount points, parents made for them included: left out if they are still empty, and
    /// nothing stood there before.
    pub ignore: Vec<LayerPath>,
    /// Take what is no part of the layer out of the directory.
    pub remove: bool,
}

/// What a step has changed.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    pub index: Index,
    /// What was found in the directory and is no part of the layer, sorted.
    pub unchanged: Vec<LayerPath>,
}

/// An upper directory that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("failed to {doing} {path}")]
    Io { doing: &'static str, path: LayerPath, source: io::Error },
    #[error("{path} refers to content elsewhere: the overlay was mounted with `redirect_dir` or `metacopy`")]
    Redirect { path: LayerPath },
}

/// Returns what `upper` changes of `lower`.
pub fn scan(upper: BorrowedFd<'_>, lower: &dyn Lower, options: &ScanOptions) -> Result<Scan, ScanError> {
    let mut found = walk::walk(upper, options.overlay)?;
    hash::hash_files(upper, options.overlay, &mut found)?;
    let verdict = judge::judge(&mut found, lower, options);
    if options.remove {
        clean::remove(upper, &found, &verdict, options.overlay)?;
    }
    let index = entries(&found, &verdict.kept).filter(|entry| !entry.path.is_root() || verdict.root).collect();
    let mut unchanged: Vec<_> =
        found.iter().zip(&verdict.kept).filter(|(_, kept)| !**kept).map(|(found, _)| found.path.clone()).collect();
    unchanged.sort();
    Ok(Scan { index, unchanged })
}

/// Returns the index of all that is in the directory `root`, the root included. Whiteouts and opaque directories are
/// taken for what they are in a lower of an overlay; sockets are left out.
pub fn scan_tree(root: BorrowedFd<'_>, overlay: OverlayXattr, ids: Ids) -> Result<Index, ScanError> {
    let mut found = walk::walk(root, overlay)?;
    hash::hash_files(root, overlay, &mut found)?;
    if ids == Ids::Ignore {
        for found in &mut found {
            (found.metadata.uid, found.metadata.gid) = (0, 0);
        }
    }
    let kept: Vec<_> = found.iter().map(|found| !found.is_socket()).collect();
    Ok(entries(&found, &kept).collect())
}

/// Turns what was found into entries: of the names of one file the least is the file, the others link to it.
fn entries<'a>(found: &'a [Found], kept: &[bool]) -> impl Iterator<Item = Entry> + use<'a> {
    let mut kept: Vec<_> = found.iter().zip(kept).filter(|(_, kept)| **kept).map(|(found, _)| found).collect();
    kept.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let mut names = std::collections::HashMap::new();
    kept.into_iter().filter_map(move |found| {
        let mut kind = found.kind.clone()?;
        if let (Some(inode), Kind::File { .. }) = (found.inode, &kind) {
            let target = names.entry(inode).or_insert(&found.path);
            if **target != found.path {
                kind = Kind::Hardlink { target: LayerPath::clone(target) };
            }
        }
        Some(Entry { path: found.path.clone(), kind, metadata: found.metadata.clone() })
    })
}

/// Gives an error what it was about.
fn io_failed(doing: &'static str, path: &LayerPath) -> impl FnOnce(Errno) -> ScanError {
    move |errno| ScanError::Io { doing, path: path.clone(), source: io_error(errno) }
}
