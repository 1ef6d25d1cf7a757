//! Cache records.

use image::ContentId;

use crate::LayerId;

/// Names a record or a fact: a BLAKE3 computed by the solver from content alone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordKey(pub [u8; 32]);

/// What running an op gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// The layer it put on its parent.
    pub layer: LayerId,
    /// The layer's content id.
    pub content: ContentId,
    /// Seconds since 1970 when the layer was first made.
    pub created: i64,
    /// Everything that went into the key, named, for `explain`.
    pub inputs: Vec<RecordInput>,
}

/// One named part of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordInput {
    /// `argv`, `env PATH`, `parent`, `file src/main.rs`…
    pub name: String,
    /// A short value or the hexadecimal hash of it.
    pub value: String,
}
