//! Cache keys: what must be equal for a result to be reused.
//!
//! A key covers the op and, for every input, the content of what the op reads of it. It holds nothing that another
//! machine would not compute alike: no path of the store, no time, no host name.

use std::fmt;

use image::{ContentId, Digest};
use plan::OpDigest;
use store::RecordKey;

/// Names a result. Vertices with equal keys share one layer.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(pub(crate) [u8; 32]);

impl Key {
    /// Returns the key of an op, given what it reads of its parent and of its inputs, in order.
    pub(crate) fn new(op: &OpDigest, reads: &[Reads]) -> Self {
        let mut hasher = Hasher::new("key");
        hasher.bytes(&op.0);
        for read in reads {
            read.hash(&mut hasher);
        }
        Self(hasher.finish())
    }

    /// Wraps a finished hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the raw hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// Returns the name of the record of its result.
    pub fn record(&self) -> RecordKey {
        RecordKey(self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.hex())
    }
}

/// What an op reads of its parent or of one of its inputs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reads {
    /// The whole snapshot.
    All(ContentId),
    /// What its destination resolves to (`COPY`, `ADD`, `WORKDIR`).
    Probe([u8; 32]),
    /// Some paths (a source of `COPY`, a bind mount).
    Selection([u8; 32]),
}

impl Reads {
    fn hash(&self, hasher: &mut Hasher) {
        let (tag, hash) = match self {
            Self::All(content) => (0, &content.0),
            Self::Probe(hash) => (1, hash),
            Self::Selection(hash) => (2, hash),
        };
        hasher.byte(tag);
        hasher.bytes(hash);
    }
}

/// Returns the key under which the layer is found that an op gave earlier with that content.
pub(crate) fn cutoff(op: &OpDigest, layer: &ContentId) -> RecordKey {
    let mut hasher = Hasher::new("cutoff");
    hasher.bytes(&op.0);
    hasher.bytes(&layer.0);
    RecordKey(hasher.finish())
}

/// Returns the content of no file system at all.
pub(crate) fn empty_snapshot() -> ContentId {
    base_snapshot(&[])
}

/// Returns the content of an image: known before any of its layers is here, and alike on every machine.
pub(crate) fn base_snapshot(diff_ids: &[Digest]) -> ContentId {
    let mut hasher = Hasher::new("base");
    hasher.number(diff_ids.len() as u64);
    for diff_id in diff_ids {
        hasher.bytes(diff_id.as_bytes());
    }
    ContentId(hasher.finish())
}

/// Returns the content of `parent` with a layer on it. A layer without entries changes nothing, so the content stays.
pub(crate) fn snapshot(parent: &ContentId, layer: &ContentId) -> ContentId {
    if *layer == image::Index::default().content_id() {
        return *parent;
    }
    let mut hasher = Hasher::new("snapshot");
    hasher.bytes(&parent.0);
    hasher.bytes(&layer.0);
    ContentId(hasher.finish())
}

/// BLAKE3 over fields: strings and lists are preceded by their length. `what` keeps hashes of different things apart,
/// and carries the version of all of them.
pub(crate) struct Hasher {
    /// Fields are short: hashed together they cost a fraction.
    pending: Vec<u8>,
    /// Once there is much.
    hashed: Option<Box<blake3::Hasher>>,
}

/// As much as BLAKE3 likes to have at once.
const PENDING: usize = 64 << 10;

impl Hasher {
    pub(crate) fn new(what: &str) -> Self {
        let mut hasher = Self { pending: Vec::with_capacity(256), hashed: None };
        hasher.text("kiln 1");
        hasher.text(what);
        hasher
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.pending.push(value);
    }

    pub(crate) fn number(&mut self, value: u64) {
        self.pending.extend_from_slice(&value.to_le_bytes());
    }

    /// Adds bytes of any length.
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.number(value.len() as u64);
        self.pending.extend_from_slice(value);
        if self.pending.len() >= PENDING {
            self.hashed.get_or_insert_default().update(&self.pending);
            self.pending.clear();
        }
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        match self.hashed {
            None => *blake3::hash(&self.pending).as_bytes(),
            Some(mut hashed) => *hashed.update(&self.pending).finalize().as_bytes(),
        }
    }

    pub(crate) fn record(self) -> RecordKey {
        RecordKey(self.finish())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OP: OpDigest = OpDigest([1; 32]);

    #[test]
    fn the_kind_of_read_is_part_of_the_key() {
        let all = Key::new(&OP, &[Reads::All(ContentId([2; 32]))]);
        let probe = Key::new(&OP, &[Reads::Probe([2; 32])]);
        let selection = Key::new(&OP, &[Reads::Selection([2; 32])]);
        assert!(all != probe && probe != selection && all != selection);
    }

    #[test]
    fn the_order_and_number_of_reads_are_part_of_the_key() {
        let (a, b) = (Reads::Selection([2; 32]), Reads::Selection([3; 32]));
        assert_ne!(Key::new(&OP, &[a, b]), Key::new(&OP, &[b, a]));
        assert_ne!(Key::new(&OP, &[a]), Key::new(&OP, &[a, a]));
        assert_ne!(Key::new(&OP, &[a]), Key::new(&OpDigest([2; 32]), &[a]));
    }

    #[test]
    fn neighbouring_fields_do_not_run_together() {
        let (mut a, mut b) = (Hasher::new("x"), Hasher::new("x"));
        a.text("ab");
        a.text("c");
        b.text("a");
        b.text("bc");
        assert_ne!(a.finish(), b.finish());
    }

    #[test]
    fn much_is_hashed_like_little() {
        let (mut hasher, mut whole) = (Hasher::new("x"), Vec::new());
        for text in ["kiln 1", "x"].into_iter().chain(std::iter::repeat_n("some text", 20_000)) {
            whole.extend_from_slice(&(text.len() as u64).to_le_bytes());
            whole.extend_from_slice(text.as_bytes());
        }
        (0..20_000).for_each(|_| hasher.text("some text"));
        assert_eq!(hasher.finish(), *blake3::hash(&whole).as_bytes());
    }

    #[test]
    fn an_empty_layer_leaves_the_content_as_it_was() {
        let parent = base_snapshot(&[Digest::of(b"layer")]);
        assert_eq!(snapshot(&parent, &image::Index::default().content_id()), parent);
        assert_ne!(snapshot(&parent, &ContentId([7; 32])), parent);
        assert_ne!(parent, empty_snapshot());
    }

    fn inputs() -> impl Strategy<Value = (OpDigest, Vec<Reads>)> {
        let hash = || (0..3_u8).prop_map(|byte| [byte; 32]);
        let read = prop_oneof![
            hash().prop_map(|hash| Reads::All(ContentId(hash))),
            hash().prop_map(Reads::Probe),
            hash().prop_map(Reads::Selection),
        ];
        (hash().prop_map(OpDigest), prop::collection::vec(read, 0..3))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

        #[test]
        fn two_inputs_have_one_key_only_if_they_are_the_same(one in inputs(), other in inputs()) {
            prop_assert_eq!(one == other, Key::new(&one.0, &one.1) == Key::new(&other.0, &other.1));
        }
    }
}
