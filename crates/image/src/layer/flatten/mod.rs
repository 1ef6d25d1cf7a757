//! Many layers as one directory that shows the same: for stacks deeper than an overlay takes.
//!
//! What is flattened may be any range of a stack, so what hides something below the range is kept: whiteouts and opaque
//! directories. A whiteout of nothing must not be: overlayfs lists it in a directory that no other layer has. Files, links,
//! devices and whiteouts become further names of those of the layers, which are never written to; only directories are new.

mod disk;
mod merge;

use std::io;
use std::os::fd::BorrowedFd;

use super::{Index, LayerPath, Lower, OverlayXattr};
use disk::Disk;

/// Why layers could not be flattened.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing} {path}")]
pub struct FlattenError {
    doing: &'static str,
    path: LayerPath,
    source: io::Error,
}

/// Makes the empty directory `root` show what an overlay of `layers`, given from the bottom up with their directories,
/// shows on top of `below`; returns its index.
pub fn flatten(
    layers: &[(&Index, BorrowedFd<'_>)],
    below: &dyn Lower,
    root: BorrowedFd<'_>,
    overlay: OverlayXattr,
) -> Result<Index, FlattenError> {
    let indexes: Vec<&Index> = layers.iter().map(|(index, _)| *index).collect();
    let directories: Vec<BorrowedFd<'_>> = layers.iter().map(|(_, directory)| *directory).collect();
    let places = merge::merge(&indexes, below);
    Disk::new(&directories, root, overlay).make(&places)?;
    Ok(places.into_values().filter_map(|place| place.entry).collect())
}
