//! Layer directories.

use std::path::Path;
use std::sync::Arc;

use image::layer::Index;
use image::{ContentId, Descriptor, Digest};

use crate::Result;

/// Names a layer directory: the hexadecimal diff ID of a layer from outside, 32 random hexadecimal digits of one made
/// here.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LayerId(pub(crate) String);

impl LayerId {
    /// Returns the name of the directory.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is remembered of a layer beside its index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LayerMeta {
    pub content: ContentId,
    /// When it was first made, seconds since 1970.
    pub created: i64,
    pub diff_id: Option<Digest>,
}

/// A finished layer directory.
#[derive(Clone, Debug)]
pub struct Layer {}

impl Layer {
    /// Returns its name.
    pub fn id(&self) -> &LayerId {
        todo!()
    }

    /// Returns the directory to use as an overlay lower.
    pub fn tree(&self) -> &Path {
        todo!()
    }

    /// Returns the index, read once.
    pub fn index(&self) -> Result<Arc<Index>> {
        todo!()
    }

    /// Returns what is remembered.
    pub fn meta(&self) -> Result<LayerMeta> {
        todo!()
    }
}

/// A layer being made under `tmp/`; dropped without commit, it goes to `trash/`.
#[derive(Debug)]
pub struct LayerDraft {}

impl LayerDraft {
    /// Returns the directory that becomes the lower; also a valid overlay `upperdir`.
    pub fn tree(&self) -> &Path {
        todo!()
    }

    /// Returns an empty directory beside it for overlay's `workdir`; never becomes part of the layer.
    pub fn work(&self) -> &Path {
        todo!()
    }

    /// Gives the layer its name. `created`: seconds since 1970.
    pub fn commit(self, index: Index, created: i64) -> Result<Layer> {
        let _ = (index, created);
        todo!()
    }
}

/// A layer as a blob.
#[derive(Clone, Debug)]
pub struct Packed {
    pub diff_id: Digest,
    /// Media type, digest and size of the compressed blob, which is in the store.
    pub descriptor: Descriptor,
}
