//! The index of a layer: one entry for each path it adds, changes or removes.

use super::LayerPath;
use crate::digest::{ContentHash, ContentId};

/// Seconds and nanoseconds since 1970, as files carry them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// Names and values of extended attributes, sorted by name.
pub type Xattrs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// What every kind of file has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Metadata {
    /// Permission bits with set-id and sticky bits, `0o7777` at most.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Not part of any content id.
    pub mtime: Timestamp,
    /// Sorted by name; names as the image means them (`security.capability`, `user.x`), never overlay's own.
    pub xattrs: Xattrs,
}

/// What stands at a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `opaque`: nothing of lower layers shows through (image-spec layer.md, Opaque Whiteout).
    Directory {
        opaque: bool,
    },
    File {
        size: u64,
        content: ContentHash,
    },
    /// Another name of the file at `target` in the same layer. `target` is the least path of the file and is a `File`.
    Hardlink {
        target: LayerPath,
    },
    Symlink {
        target: Box<[u8]>,
    },
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
    /// The path of lower layers is gone (image-spec layer.md, Whiteouts). Its metadata is all zero.
    Whiteout,
}

/// One path of a layer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    pub path: LayerPath,
    pub kind: Kind,
    pub metadata: Metadata,
}

/// All entries of a layer, sorted by path, each path once. The root itself may have an entry (the empty path).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Index {
    entries: Vec<Entry>,
}

impl Index {
    /// Sorts `entries`; of several with one path the last wins, as in a tar.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.reverse();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|later, first| later.path == first.path);
        Self { entries }
    }

    /// Returns all entries in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the entry at exactly `path`.
    pub fn get(&self, path: &LayerPath) -> Option<&Entry> {
        self.entries.binary_search_by(|e| e.path.cmp(path)).ok().map(|i| &self.entries[i])
    }

    /// Returns `path` itself, if it has an entry, and all entries below it.
    pub fn subtree(&self, path: &LayerPath) -> &[Entry] {
        let start = self.entries.partition_point(|e| e.path < *path);
        let len = self.entries[start..].partition_point(|e| e.path.starts_with(path));
        &self.entries[start..start + len]
    }

    /// Returns the id of what the layer contains: BLAKE3 over every entry without its time.
    pub fn content_id(&self) -> ContentId {
        super::content::content_id(&self.entries)
    }

    /// Writes the index for the disk, with a version and a checksum of itself.
    pub fn encode(&self) -> Vec<u8> {
        super::codec::encode(&self.entries)
    }

    /// Reads what [`encode`](Self::encode) wrote; an error for anything else, however damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DamagedIndex> {
        super::codec::decode(bytes).map(|entries| Self { entries })
    }
}

impl FromIterator<Entry> for Index {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        Self::new(entries.into_iter().collect())
    }
}

/// Bytes that are not a layer index of this version.
#[derive(Debug, thiserror::Error)]
#[error("damaged layer index: {0}")]
pub struct DamagedIndex(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> Entry {
        let path = LayerPath::new(path.as_bytes()).unwrap();
        Entry { path, kind: Kind::File { size, content: ContentHash([0; 32]) }, metadata: Metadata::default() }
    }

    fn paths(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|e| e.path.to_string()).collect()
    }

    #[test]
    fn of_one_path_the_last_entry_wins() {
        let index = Index::new(vec![file("b", 1), file("a", 2), file("b", 3)]);
        assert_eq!(index.entries(), [file("a", 2), file("b", 3)]);
    }

    #[test]
    fn a_subtree_is_the_path_and_what_is_below_it() {
        let index: Index = ["a.b", "a/b", "a", "a/b/c", "ab", "a-"].map(|p| file(p, 0)).into_iter().collect();
        let subtree = |p: &str| paths(index.subtree(&LayerPath::new(p.as_bytes()).unwrap()));
        assert_eq!(subtree("a"), ["/a", "/a/b", "/a/b/c"]);
        assert_eq!(subtree("a/b"), ["/a/b", "/a/b/c"]);
        assert_eq!(subtree("a.b"), ["/a.b"]);
        assert_eq!(subtree("a/c"), [""; 0]);
        assert_eq!(subtree("").len(), 6);
        assert!(index.get(&LayerPath::new(b"a/b").unwrap()).is_some());
        assert!(index.get(&LayerPath::new(b"a/").unwrap().join(b"x")).is_none());
    }
}
