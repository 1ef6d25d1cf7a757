//! What was found at a path of a context.

use std::sync::{Arc, OnceLock};

use dockerfile::ignore::ParentHits;
use image::layer::Xattrs;
use image::{ContentHash, Entry, Kind, LayerPath, Metadata, Timestamp};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NodeKind {
    File,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    /// Copied as an empty file.
    Socket,
}

impl NodeKind {
    pub(super) const ALL: [Self; 7] =
        [Self::File, Self::Directory, Self::Symlink, Self::CharDevice, Self::BlockDevice, Self::Fifo, Self::Socket];
}

/// A name of a directory and what statx(2) said of it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: Box<[u8]>,
    pub(super) kind: NodeKind,
    /// Without the kind.
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
    pub(super) inode: u64,
    pub(super) device: (u32, u32),
    /// Numbers of a device file.
    pub(super) special: (u32, u32),
    pub(super) links: u32,
    /// Its owner and its group are root, as those of a copy are.
    pub(super) of_root: bool,
    /// A directory that is ignored, but something below it may not be.
    pub(super) ignored: bool,
    /// Of a directory: what the ignore patterns say of its children.
    pub(super) hits: Option<ParentHits>,
    pub(super) fact: OnceLock<Fact>,
    /// The fact came from the stat index.
    pub(super) was_known: bool,
}

/// What only reading tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Fact {
    /// Of a file: how much was read, and its hash.
    pub(super) size: u64,
    pub(super) content: [u8; 32],
    /// Of a symbolic link.
    pub(super) target: Box<[u8]>,
    pub(super) xattrs: Xattrs,
}

/// A directory read whole.
#[derive(Debug)]
pub(super) struct Listing {
    /// Sorted by name, without what is ignored.
    pub(super) nodes: Vec<Arc<Node>>,
    /// Something was left out.
    pub(super) hides: bool,
    /// The stat index knows names here that are gone or have changed.
    pub(super) outdates: bool,
    /// It knows each name, and nothing else.
    pub(super) is_known: bool,
}

impl Listing {
    pub(super) fn new(nodes: Vec<Arc<Node>>, hides: bool, outdates: bool) -> Self {
        let is_known = !outdates && nodes.iter().all(|node| node.was_known);
        Self { nodes, hides, outdates, is_known }
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<Arc<Node>> {
        let at = self.nodes.binary_search_by(|node| (*node.name).cmp(name)).ok()?;
        Some(Arc::clone(&self.nodes[at]))
    }
}

impl Node {
    pub(super) fn know(&mut self, fact: Fact, was_known: bool) {
        self.was_known = self.fact.set(fact).is_ok() && was_known;
    }

    /// True if `other`, seen later, is the same as far as statx(2) tells.
    pub(super) fn is_still(&self, other: &Self) -> bool {
        let what = |node: &Self| (node.kind, node.mode, node.size, node.mtime, node.ctime, node.inode, node.special);
        self.name == other.name && what(self) == what(other)
    }

    /// Returns the node as a copy sees it: owned by root. Without its fact, data and links are blank.
    pub(super) fn entry(&self, path: LayerPath) -> Entry {
        let fact = self.fact.get();
        let (major, minor) = self.special;
        let kind = match self.kind {
            NodeKind::Directory => Kind::Directory { opaque: false },
            NodeKind::File => Kind::File {
                size: fact.map_or(self.size, |fact| fact.size),
                content: ContentHash(fact.map_or([0; 32], |fact| fact.content)),
            },
            NodeKind::Socket => Kind::File { size: 0, content: ContentHash(*blake3::hash(b"").as_bytes()) },
            NodeKind::Symlink => Kind::Symlink { target: fact.map(|fact| fact.target.clone()).unwrap_or_default() },
            NodeKind::CharDevice => Kind::CharDevice { major, minor },
            NodeKind::BlockDevice => Kind::BlockDevice { major, minor },
            NodeKind::Fifo => Kind::Fifo,
        };
        let xattrs = fact.map(|fact| fact.xattrs.clone()).unwrap_or_default();
        Entry { path, kind, metadata: Metadata { mode: self.mode, uid: 0, gid: 0, mtime: self.mtime, xattrs } }
    }
}
