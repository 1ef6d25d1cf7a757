//! Layers: what is in one, and the ways in and out of a directory and a tar.

mod entry;
mod path;

pub use entry::{Entry, Index, Kind, Metadata, Timestamp};
pub use path::LayerPath;
