//! The op digest.

/// BLAKE3 of an op without its inputs: no names, spans, labels or limits. Length-prefixed fields in a fixed order,
/// under a format version (ARCHITECTURE.md, Identity).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OpDigest(pub [u8; 32]);
