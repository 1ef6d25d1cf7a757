//! Flats: ranges of a deep stack of layers, each as one directory.
//!
//! An overlay takes 500 lowers, and every look-up costs more with each. So a stack of more than [`DEEP`] layers is used as
//! flats of [`WIDTH`] layers, flats of as many flats, and so on, and as many layers on top as are left: few parts, however
//! deep it is, and every file gets a further name once for each level. A layer more does not change the flats below it.
//!
//! A flat is derived: `image::layer::flatten` makes it again whenever it is missed. Its name covers the ids of its layers
//! and of all below it, for what is below decides which whiteouts it needs.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use image::layer::{Index, flatten};

use crate::files::DIR_MODE;
use crate::layer::layer_name;
use crate::{Error, LayerId, Result, Store, Tree, fault, layer_flavor};

const FLATS: &str = "flats";
/// What a flat stands for: so many layers, or so many flats of the level below.
const WIDTH: usize = 32;
/// A stack of no more layers is used as it is. Docker's own limit is 127, so what is built today needs no flats.
const DEEP: usize = 128;
/// How exactly it is known when a flat was last used.
const USE_GRAIN: Duration = Duration::from_secs(3600);
/// No list of layers is larger.
const LAYERS_LIMIT: u64 = 64 << 20;
const INDEX_LIMIT: u64 = 1 << 30;

/// Names a flat.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FlatId([u8; 32]);

impl FlatId {
    pub(crate) fn parse(hex: &str) -> Option<Self> {
        image::digest::unhex(hex).map(Self)
    }
}

pub(crate) fn flat_name(id: &FlatId) -> String {
    format!("{FLATS}/{}", image::digest::hex(&id.0))
}

/// One directory of a stack.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    Layer(LayerId),
    Flat(FlatId),
}

impl Part {
    /// Returns the name of the tree in the store.
    pub(crate) fn tree(&self) -> String {
        match self {
            Self::Layer(id) => format!("{}/tree", layer_name(id)),
            Self::Flat(id) => format!("{}/tree", flat_name(id)),
        }
    }
}

/// A stack without what shows nowhere, and how it can be flattened.
struct Stack<'a> {
    layers: Vec<&'a LayerId>,
    /// A hash over all layers below each multiple of [`WIDTH`].
    prefixes: Vec<blake3::Hash>,
}

/// So many layers, a power of [`WIDTH`], from one on.
#[derive(Clone, Copy)]
struct Range {
    start: usize,
    len: usize,
}

impl Range {
    fn end(self) -> usize {
        self.start + self.len
    }

    /// Returns what it is made of.
    fn parts(self) -> impl Iterator<Item = Self> {
        let len = self.len / WIDTH;
        (0..WIDTH).map(move |at| Self { start: self.start + at * len, len })
    }
}

impl<'a> Stack<'a> {
    /// Leaves out layers that are empty, and of one that comes twice the lower, which shows nowhere; overlay takes each
    /// directory once.
    fn new(store: &Store, layers: &'a [LayerId]) -> Result<Self> {
        let empty = store.are_empty(layers)?;
        let mut seen = HashSet::with_capacity(layers.len());
        let shown = layers.iter().zip(empty).rev().filter(|(id, empty)| !empty && seen.insert(*id));
        let mut shown: Vec<&LayerId> = shown.map(|(id, _)| id).collect();
        shown.reverse();
        let mut stack = Self { layers: shown, prefixes: Vec::new() };
        if stack.layers.len() > DEEP {
            stack.hash_prefixes();
        }
        Ok(stack)
    }

    fn hash_prefixes(&mut self) {
        let mut hasher = blake3::Hasher::new_derive_key("kiln 2026 flat layers");
        self.prefixes.push(hasher.finalize());
        for group in self.layers.chunks_exact(WIDTH) {
            for id in group {
                hasher.update(&(id.as_str().len() as u64).to_le_bytes());
                hasher.update(id.as_str().as_bytes());
            }
            self.prefixes.push(hasher.finalize());
        }
    }

    /// Returns the largest ranges it can be split into, lowest first.
    fn ranges(&self) -> Vec<Range> {
        self.ranges_below(self.layers.len())
    }

    /// Does the same for the layers below `end`.
    fn ranges_below(&self, end: usize) -> Vec<Range> {
        let mut ranges = Vec::new();
        let mut len = if self.layers.len() > DEEP { 1 } else { return single_layers(end) };
        while len <= end / WIDTH {
            len *= WIDTH;
        }
        let mut start = 0;
        while start < end {
            while end - start < len {
                len /= WIDTH;
            }
            ranges.push(Range { start, len });
            start += len;
        }
        ranges
    }

    fn id(&self, range: Range) -> FlatId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(range.len as u64).to_le_bytes());
        hasher.update(self.prefixes[range.end() / WIDTH].as_bytes());
        FlatId(*hasher.finalize().as_bytes())
    }

    fn layer(&self, range: Range) -> Part {
        Part::Layer(self.layers[range.start].clone())
    }
}

fn single_layers(end: usize) -> Vec<Range> {
    (0..end).map(|start| Range { start, len: 1 }).collect()
}

impl Store {
    /// Returns the directories that show a stack of layers, lowest first, in an overlay: the topmost comes first. A deep
    /// stack is flattened for it. Nothing at all for a stack without content.
    pub fn lowers(&self, layers: &[LayerId]) -> Result<Vec<PathBuf>> {
        let parts = self.flat_parts(layers)?;
        Ok(parts.iter().rev().map(|part| self.dir().full(&part.tree())).collect())
    }

    /// Returns the same view as [`tree`](Self::tree), and makes the flats of a deep stack for it, so that looking into it
    /// is cheap from now on.
    pub fn flat_tree(&self, layers: &[LayerId]) -> Result<Tree> {
        self.tree_of(self.flat_parts(layers)?.into())
    }

    /// Tells which layers have nothing in them. Asked of whole stacks at every step, so it takes the lock once.
    fn are_empty(&self, layers: &[LayerId]) -> Result<Vec<bool>> {
        let known: Vec<Option<bool>> = {
            let indexes = self.inner.indexes.lock().unwrap_or_else(PoisonError::into_inner);
            layers.iter().map(|id| indexes.get(id).map(|index| index.entries().is_empty())).collect()
        };
        let is_empty = |(id, known): (&LayerId, Option<bool>)| match known {
            Some(empty) => Ok(empty),
            None => Ok(self.index(id)?.entries().is_empty()),
        };
        layers.iter().zip(known).map(is_empty).collect()
    }

    /// Returns a stack in few parts, lowest first, and makes the flats that are missing.
    pub(crate) fn flat_parts(&self, layers: &[LayerId]) -> Result<Vec<Part>> {
        let stack = Stack::new(self, layers)?;
        stack.ranges().into_iter().map(|range| self.make(&stack, range)).collect()
    }

    /// Returns a stack in as few parts as there are now, lowest first.
    pub(crate) fn known_parts(&self, layers: &[LayerId]) -> Result<Vec<Part>> {
        let stack = Stack::new(self, layers)?;
        let mut parts = Vec::new();
        stack.ranges().into_iter().for_each(|range| self.find(&stack, range, &mut parts));
        Ok(parts)
    }

    fn find(&self, stack: &Stack<'_>, range: Range, parts: &mut Vec<Part>) {
        if range.len == 1 {
            parts.push(stack.layer(range));
        } else if let id = stack.id(range)
            && self.has_flat(&id)
        {
            parts.push(Part::Flat(id));
        } else {
            range.parts().for_each(|part| self.find(stack, part, parts));
        }
    }

    fn make(&self, stack: &Stack<'_>, range: Range) -> Result<Part> {
        if range.len == 1 {
            return Ok(stack.layer(range));
        }
        let id = stack.id(range);
        if self.has_flat(&id) {
            return Ok(Part::Flat(id));
        }
        let parts = range.parts().map(|part| self.make(stack, part)).collect::<Result<Vec<_>>>()?;
        let below = stack.ranges_below(range.start).into_iter().map(|range| self.make(stack, range));
        let below = self.tree_of(below.collect::<Result<Vec<_>>>()?.into())?;
        // Of several threads and processes one makes it, and the others wait for it.
        let _alone = self.wait_for(&format!("flat-{}", image::digest::hex(&id.0)))?;
        if !self.has_flat(&id) {
            let layers = &stack.layers[range.start..range.end()];
            self.flatten_into(&id, &parts, &below, layers)?;
        }
        Ok(Part::Flat(id))
    }

    fn flatten_into(&self, id: &FlatId, parts: &[Part], below: &Tree, layers: &[&LayerId]) -> Result<()> {
        let name = self.temporary()?;
        let tree = format!("{name}/tree");
        self.dir().mkdir(&name, DIR_MODE)?;
        self.dir().mkdir(&tree, DIR_MODE)?;
        let made = self.fill(&tree, parts, below).and_then(|index| {
            self.dir().write(&format!("{name}/index"), &index.encode())?;
            let layers: String = layers.iter().map(|id| format!("{id}\n")).collect();
            self.dir().write(&format!("{name}/layers"), layers.as_bytes())?;
            self.name(&name, &flat_name(id))?;
            self.keep_flat(id, Arc::new(index));
            Ok(())
        });
        made.inspect_err(|_| drop(self.discard(&name)))
    }

    fn fill(&self, tree: &str, parts: &[Part], below: &Tree) -> Result<Index> {
        let open = |name: &str| self.dir().open_dir(name).map_err(self.dir().fails("open", name));
        let root = open(tree)?;
        let trees: Vec<OwnedFd> = parts.iter().map(|part| open(&part.tree())).collect::<Result<_>>()?;
        let indexes: Vec<Arc<Index>> = parts.iter().map(|part| self.index_of(part)).collect::<Result<_>>()?;
        let layers: Vec<_> = indexes.iter().zip(&trees).map(|(index, tree)| (&**index, tree.as_fd())).collect();
        fault::point().map_err(|source| Error::io("write", self.dir().full(tree), source))?;
        flatten(&layers, below, root.as_fd(), layer_flavor().0)
            .map_err(|source| Error::Flatten { tree: self.dir().full(tree), source })
    }

    /// Returns the index of a part, read once for all threads.
    pub(crate) fn index_of(&self, part: &Part) -> Result<Arc<Index>> {
        let id = match part {
            Part::Layer(id) => return self.index(id),
            Part::Flat(id) => id,
        };
        let known = self.inner.flats.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(index) = known {
            return Ok(index);
        }
        let index = Arc::new(self.read_flat_index(id)?);
        self.mark_flat_used(id);
        self.keep_flat(id, Arc::clone(&index));
        Ok(index)
    }

    pub(crate) fn read_flat_index(&self, id: &FlatId) -> Result<Index> {
        let name = format!("{}/index", flat_name(id));
        let absent = || self.dir().fails("read", &name)(std::io::Error::from(std::io::ErrorKind::NotFound));
        let bytes = self.dir().read(&name, INDEX_LIMIT)?.ok_or_else(absent)?;
        Index::decode(&bytes).map_err(|error| self.dir().fails("read", &name)(std::io::Error::other(error)))
    }

    fn keep_flat(&self, id: &FlatId, index: Arc<Index>) {
        self.inner.flats.lock().unwrap_or_else(PoisonError::into_inner).insert(*id, index);
    }

    fn has_flat(&self, id: &FlatId) -> bool {
        let known = self.inner.flats.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id);
        known || self.dir().exists(&flat_name(id))
    }

    /// Collection goes by the time of the directory.
    fn mark_flat_used(&self, id: &FlatId) {
        let Ok(directory) = self.dir().open_dir(&flat_name(id)).map(std::fs::File::from) else { return };
        let used = directory.metadata().and_then(|metadata| metadata.modified());
        let now = SystemTime::now();
        if used.is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > USE_GRAIN)) {
            // Whoever may not only loses it earlier.
            let _ = directory.set_modified(now);
        }
    }

    /// Returns all flats with the layers each stands for.
    pub(crate) fn flats(&self) -> Result<Vec<(FlatId, Vec<LayerId>)>> {
        let mut flats = Vec::new();
        for id in self.dir().list(FLATS)?.iter().filter_map(|hex| FlatId::parse(hex)) {
            let layers = self.dir().read(&format!("{}/layers", flat_name(&id)), LAYERS_LIMIT)?.unwrap_or_default();
            let layers = String::from_utf8_lossy(&layers).lines().filter_map(LayerId::parse).collect();
            flats.push((id, layers));
        }
        Ok(flats)
    }

    /// Moves the flats to `trash/` of which a layer is gone. For a collector that holds the store alone.
    pub(crate) fn drop_orphaned_flats(&self) -> Result<()> {
        for (id, layers) in self.flats()? {
            if layers.is_empty() || !layers.iter().all(|layer| self.has_layer(layer)) {
                self.remove_flat(&id)?;
            }
        }
        Ok(())
    }

    pub(crate) fn remove_flat(&self, id: &FlatId) -> Result<()> {
        self.inner.flats.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.discard(&flat_name(id)).map(drop)
    }
}

#[cfg(test)]
#[path = "flat_tests.rs"]
mod tests;
