//! The id of what a layer contains.
//!
//! BLAKE3 over every entry in order, without times. The framing is injective: a version, the number of entries, then for
//! each entry its fields in fixed order, integers little-endian and of fixed width, byte strings after their length.
//! Any change here gives every layer another id: change [`VERSION`] with it.

use super::{Entry, Kind, Metadata};
use crate::digest::ContentId;

const VERSION: &[u8] = b"kiln layer content 1\n";

/// What is collected before it goes to the hash, which is fastest on long inputs.
const BUFFER: usize = 64 << 10;

/// Returns the id of `entries`, which are sorted by path.
pub(super) fn content_id(entries: &[Entry]) -> ContentId {
    let mut frame = Frame { buffer: Vec::with_capacity(2 * BUFFER), hasher: blake3::Hasher::new() };
    frame.buffer.extend_from_slice(VERSION);
    frame.number(entries.len() as u64);
    for entry in entries {
        frame.entry(entry);
    }
    frame.finish()
}

struct Frame {
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
}

impl Frame {
    fn entry(&mut self, entry: &Entry) {
        self.bytes(entry.path.as_bytes());
        self.kind(&entry.kind);
        self.metadata(&entry.metadata);
        if self.buffer.len() >= BUFFER {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    fn kind(&mut self, kind: &Kind) {
        self.buffer.push(tag(kind));
        match kind {
            Kind::Directory { opaque } => self.buffer.push(u8::from(*opaque)),
            Kind::File { size, content } => {
                self.number(*size);
                self.buffer.extend_from_slice(&content.0);
            }
            Kind::Hardlink { target } => self.bytes(target.as_bytes()),
            Kind::Symlink { target } => self.bytes(target),
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                self.small(*major);
                self.small(*minor);
            }
            Kind::Fifo | Kind::Whiteout => {}
        }
    }

    fn metadata(&mut self, metadata: &Metadata) {
        // Not the time: that a file was written again with the same bytes changes nothing that is built from it.
        self.small(metadata.mode);
        self.small(metadata.uid);
        self.small(metadata.gid);
        self.number(metadata.xattrs.len() as u64);
        for (name, value) in &metadata.xattrs {
            self.bytes(name);
            self.bytes(value);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
    }

    fn number(&mut self, number: u64) {
        self.buffer.extend_from_slice(&number.to_le_bytes());
    }

    fn small(&mut self, number: u32) {
        self.buffer.extend_from_slice(&number.to_le_bytes());
    }

    fn finish(mut self) -> ContentId {
        self.hasher.update(&self.buffer);
        ContentId(self.hasher.finalize().into())
    }
}

/// The byte that stands for a kind, here and in the encoded index.
pub(super) fn tag(kind: &Kind) -> u8 {
    match kind {
        Kind::Directory { .. } => 0,
        Kind::File { .. } => 1,
        Kind::Hardlink { .. } => 2,
        Kind::Symlink { .. } => 3,
        Kind::CharDevice { .. } => 4,
        Kind::BlockDevice { .. } => 5,
        Kind::Fifo => 6,
        Kind::Whiteout => 7,
    }
}
