//! What has been applied so far, on the way to an index.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::{Entry, Index, Kind, LayerPath, Metadata};
use crate::digest::ContentHash;

/// The entries of the layer while it is read.
#[derive(Debug, Default)]
pub(super) struct Record {
    nodes: BTreeMap<LayerPath, Node>,
    files: Vec<Inode>,
    whiteouts: BTreeSet<LayerPath>,
    opaque: BTreeSet<LayerPath>,
    /// Modes that directories were made with.
    made: HashMap<LayerPath, u32>,
}

#[derive(Debug)]
enum Node {
    Directory(Metadata),
    /// A name of `files[_]`.
    File(usize),
    Other(Kind, Metadata),
}

/// A file, whatever its names.
#[derive(Debug)]
struct Inode {
    size: u64,
    content: ContentHash,
    metadata: Metadata,
    /// The least name, once it is known.
    path: Option<LayerPath>,
}

impl Record {
    pub(super) fn contains(&self, path: &LayerPath) -> bool {
        self.nodes.contains_key(path)
    }

    pub(super) fn is_directory(&self, path: &LayerPath) -> bool {
        matches!(self.nodes.get(path), Some(Node::Directory(_)))
    }

    pub(super) fn directory(&mut self, path: LayerPath, metadata: Metadata) {
        self.put(path, Node::Directory(metadata));
    }

    /// Remembers that the directory at `path` was made just now, with `mode`.
    pub(super) fn made_directory(&mut self, path: &LayerPath, mode: u32) {
        self.made.insert(path.clone(), mode);
    }

    pub(super) fn file(&mut self, path: LayerPath, size: u64, content: ContentHash, metadata: Metadata) {
        self.files.push(Inode { size, content, metadata, path: None });
        self.put(path, Node::File(self.files.len() - 1));
    }

    pub(super) fn other(&mut self, path: LayerPath, kind: Kind, metadata: Metadata) {
        self.put(path, Node::Other(kind, metadata));
    }

    /// Makes `path` another name of the file at `target`; false if there is none.
    pub(super) fn link(&mut self, path: LayerPath, target: &LayerPath) -> bool {
        let Some(Node::File(file)) = self.nodes.get(target) else { return false };
        self.put(path, Node::File(*file));
        true
    }

    /// Returns what stands at `path` if it is neither a file nor a directory.
    pub(super) fn get_other(&self, path: &LayerPath) -> Option<(Kind, Metadata)> {
        match self.nodes.get(path)? {
            Node::Other(kind, metadata) => Some((kind.clone(), metadata.clone())),
            _ => None,
        }
    }

    pub(super) fn is_file(&self, path: &LayerPath) -> bool {
        matches!(self.nodes.get(path), Some(Node::File(_)))
    }

    pub(super) fn whiteout(&mut self, path: LayerPath) {
        self.whiteouts.insert(path);
    }

    pub(super) fn take_whiteouts(&mut self) -> BTreeSet<LayerPath> {
        std::mem::take(&mut self.whiteouts)
    }

    pub(super) fn opaque(&mut self, directory: LayerPath) {
        self.opaque.insert(directory);
    }

    fn put(&mut self, path: LayerPath, node: Node) {
        let replaces = !matches!(node, Node::Directory(_));
        let before = self.nodes.insert(path.clone(), node);
        if replaces && matches!(before, Some(Node::Directory(_))) {
            self.remove_below(&path);
        }
    }

    fn remove_below(&mut self, path: &LayerPath) {
        let below = |other: &&LayerPath| other.starts_with(path);
        let gone: Vec<_> =
            self.nodes.range(path.clone()..).map(|(path, _)| path).take_while(below).skip(1).cloned().collect();
        for path in &gone {
            self.nodes.remove(path);
        }
        self.opaque.retain(|other| !other.starts_with(path));
        self.made.retain(|other, _| !other.starts_with(path));
    }

    /// Returns the index, and the modes that its directories were made with.
    pub(super) fn finish(mut self) -> (Index, HashMap<LayerPath, u32>) {
        if self.opaque.contains(&LayerPath::root()) && !self.contains(&LayerPath::root()) {
            self.directory(LayerPath::root(), Metadata { mode: 0o755, ..Metadata::default() });
        }
        let (files, opaque) = (&mut self.files, &self.opaque);
        let entries = self.nodes.into_iter().map(|(path, node)| match node {
            Node::Directory(metadata) => {
                let kind = Kind::Directory { opaque: opaque.contains(&path) };
                Entry { path, kind, metadata }
            }
            Node::File(file) => files[file].name(path),
            Node::Other(kind, metadata) => Entry { path, kind, metadata },
        });
        (entries.collect(), self.made)
    }
}

impl Inode {
    /// Returns the entry for one of the names, which come in order: the first is the file, the others link to it.
    fn name(&mut self, path: LayerPath) -> Entry {
        let metadata = self.metadata.clone();
        let kind = match &self.path {
            Some(target) => Kind::Hardlink { target: target.clone() },
            None => {
                self.path = Some(path.clone());
                Kind::File { size: self.size, content: self.content }
            }
        };
        Entry { path, kind, metadata }
    }
}
