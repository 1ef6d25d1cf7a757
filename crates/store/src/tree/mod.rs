//! A stack of layers seen as one file tree.

mod merge;

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use image::layer::{Index, Lower};
use image::{ContentHash, Entry, Kind, LayerPath};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::flat::Part;
use crate::{Error, LayerId, Result, Store};
use merge::Found;

/// More links than this in one path are a loop (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A stack of layers seen as one file tree, by their indexes: no I/O but opening file data. Whiteouts and opaque
/// directories are resolved, the way overlayfs does it. Of a deep stack it sees flats instead of layers where there are some.
///
/// Of the names of one file that can be seen, the least has an entry of [`Kind::File`] and the others are
/// [`Kind::Hardlink`] to it, as in a layer.
#[derive(Clone, Debug)]
pub struct Tree {
    store: Store,
    parts: Arc<[Part]>,
    indexes: Arc<[Arc<Index>]>,
}

impl Store {
    /// Returns the merged view of a stack of layers, lowest first.
    pub fn tree(&self, layers: &[LayerId]) -> Result<Tree> {
        self.tree_of(self.known_parts(layers)?.into())
    }

    pub(crate) fn tree_of(&self, parts: Arc<[Part]>) -> Result<Tree> {
        let indexes = parts.iter().map(|part| self.index_of(part)).collect::<Result<_>>()?;
        Ok(Tree { store: self.clone(), parts, indexes })
    }
}

impl Tree {
    /// Returns what stands at exactly `path` (no symlink is followed). The root always exists.
    pub fn get(&self, path: &LayerPath) -> Option<Entry> {
        let found = self.find(path)?;
        Some(self.seen(path, &found))
    }

    /// Returns the children of a directory, sorted by name.
    pub fn children(&self, path: &LayerPath) -> Vec<Entry> {
        let Some(directory) = self.find(path) else { return Vec::new() };
        let children = merge::children(path, &directory.parts);
        children.iter().map(|(path, found)| self.seen(path, found)).collect()
    }

    /// Returns everything below a directory in the order of [`LayerPath`]. Of several names of a file the first one
    /// below the directory is the file.
    pub fn below(&self, path: &LayerPath) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut first_names = HashMap::new();
        // What is still to be visited, the next last, so that the order is that of paths.
        let mut pending = self.find(path).map(|directory| merge::children(path, &directory.parts)).unwrap_or_default();
        pending.reverse();
        while let Some((path, found)) = pending.pop() {
            pending.extend(merge::children(&path, &found.parts).into_iter().rev());
            let mut entry = plain(&path, &found);
            if let Some(name) = file_name(&entry, found.layer) {
                let first = first_names.entry(name.clone()).or_insert_with(|| path.clone());
                entry.kind = if *first == path { self.file(&name) } else { Kind::Hardlink { target: first.clone() } };
            }
            entries.push(entry);
        }
        entries
    }

    /// Returns size and hash of the data of the file at `path`, by whatever of its names.
    pub fn data(&self, path: &LayerPath) -> Option<(u64, ContentHash)> {
        let found = self.find(path)?;
        let kind = match file_name(&plain(path, &found), found.layer) {
            Some(name) => self.file(&name),
            None => return None,
        };
        match kind {
            Kind::File { size, content } => Some((size, content)),
            _ => None,
        }
    }

    /// Resolves all symlinks in `path` beneath the root, the last component too if `follow_last`; components that do not
    /// exist are kept as they are. `None` for a loop (more than 40 links).
    pub fn resolve(&self, path: &LayerPath, follow_last: bool) -> Option<LayerPath> {
        let mut rest: Vec<Box<[u8]>> = path.components().rev().map(Box::from).collect();
        let mut at = LayerPath::root();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name.is_empty() || *name == *b"." {
                continue;
            }
            if *name == *b".." {
                at = at.parent().unwrap_or_default();
                continue;
            }
            let next = at.join(&name);
            let target = match self.find(&next).and_then(|found| found.entry) {
                Some(Entry { kind: Kind::Symlink { target }, .. }) if follow_last || !rest.is_empty() => target,
                _ => {
                    at = next;
                    continue;
                }
            };
            links += 1;
            // A NUL cannot be in the target of a link on a disk: what has one leads nowhere.
            if links > MAX_LINKS || target.contains(&0) {
                return None;
            }
            if target.starts_with(b"/") {
                at = LayerPath::root();
            }
            rest.extend(target.split(|&b| b == b'/').rev().map(Box::from));
        }
        Some(at)
    }

    /// Opens the data of the regular file (or hard link) at `path`.
    pub fn open(&self, path: &LayerPath) -> Result<File> {
        let is_data = |entry: &Entry| matches!(entry.kind, Kind::File { .. } | Kind::Hardlink { .. });
        let Some(Found { layer, .. }) = self.find(path).filter(|found| found.entry.is_some_and(is_data)) else {
            return Err(Error::io("open", path.to_string(), std::io::ErrorKind::NotFound));
        };
        let tree = self.parts[layer].tree();
        let name = [tree.as_bytes(), b"/", path.as_bytes()].concat();
        let full = || self.store.root().join(std::ffi::OsStr::from_bytes(&name));
        open_beneath(&self.store, &name).map_err(|error| Error::io("open", full(), error))
    }

    /// Returns what each layer has at `path`.
    fn find(&self, path: &LayerPath) -> Option<Found<'_>> {
        let mut found = merge::root(self.indexes.iter().map(|index| index.entries()));
        let mut at = LayerPath::root();
        for name in path.components() {
            at = at.join(name);
            found = merge::child(&at, &found.parts)?;
        }
        Some(found)
    }

    /// Returns an entry as the whole tree shows it.
    fn seen(&self, path: &LayerPath, found: &Found<'_>) -> Entry {
        let mut entry = plain(path, found);
        if let Kind::Hardlink { target } = &entry.kind {
            let name = (found.layer, target.clone());
            let first = if self.shows(target, &name) { target.clone() } else { self.first_name(&name) };
            entry.kind = if first == *path { self.file(&name) } else { Kind::Hardlink { target: first } };
        }
        entry
    }

    /// True if `path` shows the file that its layer has as `name`.
    fn shows(&self, path: &LayerPath, name: &FileName) -> bool {
        self.find(path).is_some_and(|found| file_name(&plain(path, &found), found.layer).as_ref() == Some(name))
    }

    /// Returns the least name of a file that can be seen, for one whose own least name is hidden by another layer.
    fn first_name(&self, name: &FileName) -> LayerPath {
        let is_name = |entry: &&Entry| matches!(&entry.kind, Kind::Hardlink { target } if *target == name.1);
        let mut names = self.indexes[name.0].entries().iter().filter(is_name).map(|entry| &entry.path);
        names.find(|path| self.shows(path, name)).unwrap_or(&name.1).clone()
    }

    /// Returns the file that a layer has under a name.
    fn file(&self, name: &FileName) -> Kind {
        self.indexes[name.0]
            .get(&name.1)
            .map_or(Kind::File { size: 0, content: ContentHash([0; 32]) }, |e| e.kind.clone())
    }
}

impl Lower for Tree {
    fn lookup(&self, path: &LayerPath) -> Option<Entry> {
        let found = self.find(path)?;
        let mut entry = plain(path, &found);
        if let Some(name) = file_name(&entry, found.layer) {
            entry.kind = self.file(&name);
        }
        Some(entry)
    }
}

/// What tells files apart: the layer and the file's least path in it.
type FileName = (usize, LayerPath);

fn file_name(entry: &Entry, layer: usize) -> Option<FileName> {
    match &entry.kind {
        Kind::File { .. } => Some((layer, entry.path.clone())),
        Kind::Hardlink { target } => Some((layer, target.clone())),
        _ => None,
    }
}

/// Returns the entry of the layer that decides; of a directory that only has children somewhere, what is made for it.
fn plain(path: &LayerPath, found: &Found<'_>) -> Entry {
    let mut entry = found.entry.cloned().unwrap_or_else(|| {
        let metadata = image::Metadata { mode: 0o755, ..Default::default() };
        Entry { path: path.clone(), kind: Kind::Directory { opaque: false }, metadata }
    });
    if let Kind::Directory { opaque } = &mut entry.kind {
        *opaque = false;
    }
    entry
}

fn open_beneath(store: &Store, name: &[u8]) -> Result<File, Errno> {
    // Not blocking: what was a file could be a fifo by now.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    loop {
        match rustix::fs::openat2(store.dir().fd(), name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result.map(File::from),
        }
    }
}

#[cfg(test)]
mod tests;
