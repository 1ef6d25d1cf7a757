//! The stat index of a context: what was read of each path, and what statx(2) said then. While that stays the same,
//! nothing is read again.
//!
//! ```text
//! magic
//! per directory, sorted:  path, length of what follows, its names, sorted:
//!     name, kind, mode, size, mtime, ctime, inode, device numbers of a special file, then the fact
//! BLAKE3 of all above
//! ```
//!
//! A path that was changed in the very tick of the clock in which it was read could change again and look the same.
//! So a path as young as the walk itself is not remembered (git: racy entries).

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use image::{LayerPath, Timestamp};

use super::Seen;
use super::node::{Fact, Listing, Node, NodeKind};

/// About a thousand files.
const LARGE: usize = 100_000;

const MAGIC: &[u8] = b"kiln stat index 1\n";

/// A stat index as it was read, decoded directory by directory when one is asked for.
#[derive(Debug, Default)]
pub(super) struct StatIndex {
    bytes: Vec<u8>,
    directories: HashMap<LayerPath, Range<usize>>,
}

impl StatIndex {
    /// Reads an index; `None` if it is damaged or of another version.
    pub(super) fn decode(bytes: Vec<u8>) -> Option<Self> {
        let end = bytes.len().checked_sub(32)?;
        let (body, checksum) = bytes.split_at(end);
        if blake3::hash(body).as_bytes() != checksum {
            return None;
        }
        let mut directories = HashMap::new();
        let mut reader = Reader { bytes: body, at: MAGIC.len() };
        if !body.starts_with(MAGIC) {
            return None;
        }
        while reader.at < end {
            let path = LayerPath::new(reader.bytes()?)?;
            let len = usize::try_from(reader.u64()?).ok()?;
            let range = reader.at..reader.at.checked_add(len).filter(|&to| to <= end)?;
            reader.at = range.end;
            directories.insert(path, range);
        }
        Some(Self { bytes, directories })
    }

    /// Names the index by its bytes; `None` for one so small that nothing is won by remembering what follows from it.
    pub(super) fn id(&self) -> Option<&[u8; 32]> {
        if self.bytes.len() < LARGE { None } else { self.bytes.last_chunk() }
    }

    /// Returns what is known of the children of `path`, to be asked for in order.
    pub(super) fn directory(&self, path: &LayerPath) -> Known<'_> {
        let range = self.directories.get(path).cloned().unwrap_or_default();
        Known { reader: Reader { bytes: &self.bytes[..range.end], at: range.start }, next: None, unused: 0 }
    }

    /// Returns what is known of one child of `parent`.
    pub(super) fn find(&self, parent: &LayerPath, node: &Node) -> Option<Fact> {
        self.directory(parent).find(node)
    }
}

/// Reads the names of one directory in order.
pub(super) struct Known<'a> {
    reader: Reader<'a>,
    next: Option<Line<'a>>,
    /// Lines that were of no use.
    unused: usize,
}

struct Line<'a> {
    name: &'a [u8],
    stat: &'a [u8],
    fact: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Known<'a> {
    /// Returns the fact of `node` if it is known and the node is still the same. Names must be asked for in order.
    pub(super) fn find(&mut self, node: &Node) -> Option<Fact> {
        loop {
            if self.next.is_none() {
                self.next = self.read();
            }
            let line = self.next.as_ref()?;
            match line.name.cmp(&node.name) {
                std::cmp::Ordering::Less => {
                    self.next = None;
                    self.unused += 1;
                }
                std::cmp::Ordering::Greater => return None,
                std::cmp::Ordering::Equal => {
                    let fact = if line.stat == stat(node) { decode_fact(line.fact) } else { None };
                    self.unused += usize::from(fact.is_none());
                    self.next = None;
                    return fact;
                }
            }
        }
    }

    /// True if some lines say nothing that is still so.
    pub(super) fn leaves_some(mut self) -> bool {
        self.unused > 0 || self.next.is_some() || self.read().is_some()
    }

    fn read(&mut self) -> Option<Line<'a>> {
        let start = self.reader.at;
        let name = self.reader.bytes()?;
        let stat = self.reader.take(STAT)?;
        let fact = self.reader.bytes()?;
        Some(Line { name, stat, fact, whole: &self.reader.bytes[start..self.reader.at] })
    }
}

const STAT: usize = 1 + 4 + 8 + 12 + 12 + 8 + 8;

/// Everything that changes when the node does. The device is left out: some file systems get another one whenever they
/// are mounted.
fn stat(node: &Node) -> [u8; STAT] {
    let mut out = [0; STAT];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        out[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    let kind = NodeKind::ALL.iter().position(|kind| *kind == node.kind).unwrap_or_default();
    put(&[u8::try_from(kind).unwrap_or_default()]);
    put(&node.mode.to_le_bytes());
    // The size of a directory says nothing, its times only what names it has: its fact are its attributes, and a
    // change of those is a change of ctime.
    put(&if node.kind == NodeKind::Directory { 0 } else { node.size }.to_le_bytes());
    for time in [node.mtime, node.ctime] {
        put(&time.seconds.to_le_bytes());
        put(&time.nanoseconds.to_le_bytes());
    }
    put(&node.inode.to_le_bytes());
    put(&node.special.0.to_le_bytes());
    put(&node.special.1.to_le_bytes());
    out
}

/// Returns the index after a build, or `None` if it would say the same as `known`.
pub(super) fn encode(known: &StatIndex, seen: &Seen, started: Timestamp) -> Option<Vec<u8>> {
    let is_new = |node: &Node| !node.was_known && node.fact.get().is_some() && !is_racy(node, started);
    let singles = singles(seen);
    let new_single = singles.values().flatten().any(|node| is_new(node));
    let changed = |listing: &Listing| listing.outdates || listing.nodes.iter().any(|node| is_new(node));
    let gone = || known.directories.keys().any(|path| is_gone(seen, path));
    if !new_single && !seen.listed.values().any(|listing| changed(listing)) && !gone() {
        return None;
    }
    let mut directories: BTreeMap<&LayerPath, Vec<u8>> = BTreeMap::new();
    for (path, listing) in &seen.listed {
        let mut block = Vec::new();
        let kept = listing.nodes.iter().filter(|node| node.was_known || is_new(node));
        kept.for_each(|node| put_node(&mut block, node));
        directories.insert(path, block);
    }
    for (path, nodes) in &singles {
        let new: Vec<_> = nodes.iter().copied().filter(|node| is_new(node)).collect();
        directories.insert(path, merged(known, path, &new));
    }
    for (path, range) in &known.directories {
        if !is_gone(seen, path) {
            directories.entry(path).or_insert_with(|| known.bytes[range.clone()].to_vec());
        }
    }
    let mut out = MAGIC.to_vec();
    for (path, block) in directories.iter().filter(|(_, block)| !block.is_empty()) {
        put_bytes(&mut out, path.as_bytes());
        put_u64(&mut out, block.len() as u64);
        out.extend_from_slice(block);
    }
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    Some(out)
}

fn is_racy(node: &Node, started: Timestamp) -> bool {
    node.ctime >= started || node.mtime >= started
}

/// True if the directory was looked for and is not there any more.
fn is_gone(seen: &Seen, path: &LayerPath) -> bool {
    let parent = path.parent().and_then(|parent| seen.listed.get(&parent));
    parent.is_some_and(|listing| listing.find(path.file_name()).is_none_or(|node| node.kind != NodeKind::Directory))
}

/// Returns the paths looked at one by one, by directory, where that was not listed later.
fn singles(seen: &Seen) -> BTreeMap<LayerPath, Vec<&Node>> {
    let mut singles: BTreeMap<LayerPath, Vec<&Node>> = BTreeMap::new();
    for (path, node) in &seen.single {
        let (Some(parent), Some(node)) = (path.parent(), node) else { continue };
        if !seen.listed.contains_key(&parent) {
            singles.entry(parent).or_default().push(node);
        }
    }
    singles
}

/// Returns what is known of a directory with `new` in it.
fn merged(known: &StatIndex, path: &LayerPath, new: &[&Node]) -> Vec<u8> {
    let mut lines: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
    let mut reader = known.directory(path);
    while let Some(line) = reader.read() {
        lines.insert(line.name, line.whole.to_vec());
    }
    for node in new {
        let mut line = Vec::new();
        put_node(&mut line, node);
        lines.insert(&node.name, line);
    }
    lines.into_values().flatten().collect()
}

fn put_node(out: &mut Vec<u8>, node: &Node) {
    let Some(fact) = node.fact.get() else { return };
    put_bytes(out, &node.name);
    out.extend_from_slice(&stat(node));
    let mut encoded = Vec::with_capacity(64);
    put_u64(&mut encoded, fact.size);
    encoded.extend_from_slice(&fact.content);
    put_bytes(&mut encoded, &fact.target);
    for (name, value) in &fact.xattrs {
        put_bytes(&mut encoded, name);
        put_bytes(&mut encoded, value);
    }
    put_bytes(out, &encoded);
}

fn decode_fact(bytes: &[u8]) -> Option<Fact> {
    let mut reader = Reader { bytes, at: 0 };
    let size = reader.u64()?;
    let content = reader.take(32)?.try_into().ok()?;
    let target = reader.bytes()?.into();
    let mut xattrs = Vec::new();
    while reader.at < bytes.len() {
        xattrs.push((reader.bytes()?.into(), reader.bytes()?.into()));
    }
    Some(Fact { size, content, target, xattrs })
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Takes fields off bytes that may be anything.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(len).ok()?)
    }
}

#[cfg(test)]
mod tests;
