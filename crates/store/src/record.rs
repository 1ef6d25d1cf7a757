//! Cache records and facts.
//!
//! A record is two sealed sections, so that a hit reads only the first: the layer id (a length byte and its digits), the
//! content id and the time (i64, little endian); then the inputs: a count (u32) and length-prefixed names and values.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, SystemTime};

use image::ContentId;

use crate::files::Dir;
use crate::seal::{self, Kind};
use crate::{LayerId, Result, Store};

/// No record or fact is larger.
const LIMIT: u64 = 1 << 30;

/// How exactly it is known when a record was last used.
const USE_GRAIN: Duration = Duration::from_secs(3600);

/// The first section is smaller than that, whatever the layer.
const HEAD: u64 = 512;

/// Names a record or a fact: a BLAKE3 computed by the solver from content alone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordKey(pub [u8; 32]);

impl RecordKey {
    /// Returns the 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        image::digest::hex(&self.0)
    }

    fn file(&self, family: &str) -> String {
        let hex = self.hex();
        format!("{family}/{}/{hex}", &hex[..2])
    }
}

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

impl Store {
    /// Returns what `key` gave, if it is known and its layer is still here.
    pub fn record(&self, key: &RecordKey) -> Result<Option<Record>> {
        let name = key.file("records");
        let Some(bytes) = self.dir().read(&name, LIMIT)? else { return Ok(None) };
        self.usable(&name, decode(&key.hex(), &bytes))
    }

    /// Like [`record`](Self::record) without the inputs, which are not read: all that a cache hit needs.
    pub fn hit(&self, key: &RecordKey) -> Result<Option<Record>> {
        let name = key.file("records");
        let Some(bytes) = read_start(self.dir(), &name)? else { return Ok(None) };
        self.usable(&name, decode_head(&key.hex(), &bytes).map(|(record, _)| record))
    }

    /// Remembers what `key` gave.
    pub fn put_record(&self, key: &RecordKey, record: &Record) -> Result<()> {
        self.put_file(&key.file("records"), &encode(&key.hex(), record))
    }

    /// Returns a derived value.
    pub fn fact(&self, key: &RecordKey) -> Result<Option<Vec<u8>>> {
        let name = key.file("facts");
        let Some(file) = self.dir().open_file(&name)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(4096);
        (&file).take(LIMIT).read_to_end(&mut bytes).map_err(self.dir().fails("read", &name))?;
        mark_used(&file);
        let value = seal::open(Kind::Fact, &key.hex(), &bytes).map(|(value, _)| value.to_vec());
        if value.is_none() {
            tracing::warn!(name, "a damaged fact is ignored");
        }
        Ok(value)
    }

    /// Remembers a derived value.
    pub fn put_fact(&self, key: &RecordKey, value: &[u8]) -> Result<()> {
        self.put_file(&key.file("facts"), &seal::seal(Kind::Fact, &key.hex(), value))
    }

    /// A damaged record, or one whose layer is gone, is no record.
    fn usable(&self, name: &str, record: Option<Record>) -> Result<Option<Record>> {
        let Some(record) = record else {
            tracing::warn!(name, "a damaged record is ignored");
            return Ok(None);
        };
        Ok(Some(record).filter(|record| self.has_layer(&record.layer)))
    }

    /// Writes a file under a temporary name and gives it its own, in the place of an earlier one.
    pub(crate) fn put_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let temporary = self.temporary()?;
        let written = self.dir().write(&temporary, bytes).and_then(|()| self.name(&temporary, name));
        if written.is_err() {
            let _ = self.dir().unlink(&temporary);
        }
        written
    }
}

fn read_start(dir: &Dir, name: &str) -> Result<Option<Vec<u8>>> {
    let Some(file) = dir.open_file(name)? else { return Ok(None) };
    let mut bytes = Vec::with_capacity(HEAD as usize + 32);
    (&file).take(HEAD).read_to_end(&mut bytes).map_err(dir.fails("read", name))?;
    mark_used(&file);
    Ok(Some(bytes))
}

/// Sets the time of a file that is used, at most once an hour: collection takes what was not used for long. That it may
/// not be possible (a store that can only be read) harms nobody.
fn mark_used(file: &File) {
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let now = SystemTime::now();
    if modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > USE_GRAIN)) {
        let _ = file.set_modified(now);
    }
}

fn encode(key: &str, record: &Record) -> Vec<u8> {
    let id = record.layer.as_str().as_bytes();
    let head = [&[id.len() as u8], id, &record.content.0, &record.created.to_le_bytes()].concat();
    let mut inputs = (record.inputs.len() as u32).to_le_bytes().to_vec();
    for text in record.inputs.iter().flat_map(|input| [&input.name, &input.value]) {
        inputs.extend_from_slice(&(text.len() as u32).to_le_bytes());
        inputs.extend_from_slice(text.as_bytes());
    }
    [seal::seal(Kind::Record, key, &head), seal::seal(Kind::RecordInputs, key, &inputs)].concat()
}

/// Reads what [`encode`] wrote. A section that a later version may add behind is passed over.
pub(crate) fn decode(key: &str, bytes: &[u8]) -> Option<Record> {
    let (mut record, rest) = decode_head(key, bytes)?;
    let (mut inputs, _) = seal::open(Kind::RecordInputs, key, rest)?;
    for _ in 0..take_u32(&mut inputs)? {
        let name = take_text(&mut inputs)?;
        record.inputs.push(RecordInput { name, value: take_text(&mut inputs)? });
    }
    inputs.is_empty().then_some(record)
}

fn decode_head<'a>(key: &str, bytes: &'a [u8]) -> Option<(Record, &'a [u8])> {
    let (head, rest) = seal::open(Kind::Record, key, bytes)?;
    let (&length, head) = head.split_first()?;
    let (id, head) = head.split_at_checked(length.into())?;
    let (content, created) = head.split_first_chunk::<32>()?;
    let record = Record {
        layer: LayerId::parse(std::str::from_utf8(id).ok()?)?,
        content: ContentId(*content),
        created: i64::from_le_bytes(created.try_into().ok()?),
        inputs: Vec::new(),
    };
    Some((record, rest))
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take_u32(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
