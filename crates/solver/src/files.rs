//! A tree of files to copy from or to look into: a build context, or a stack of layers.

use std::fs::File;

use image::{Entry, Kind, LayerPath, Metadata};

use crate::error::{Result, SolveErrorKind};

/// A read-only tree. Paths are exact: implementations follow no symbolic link, [`resolve`] does. Entries carry the
/// numeric owner as a copy has to see it, and are never [`Kind::Whiteout`].
pub(crate) trait Files: Sync {
    /// Returns what stands at `path`; `None` if nothing does. The root always exists. A [`Kind::File`] may come without
    /// its true content hash: only [`entry`](Self::entry) and [`below`](Self::below) vouch for it.
    fn look(&self, path: &LayerPath) -> Result<Option<Entry>>;

    /// Returns what stands at `path`, with the hash of its data.
    fn entry(&self, path: &LayerPath) -> Result<Option<Entry>>;

    /// Returns the children of a directory in the order of their names, as [`look`](Self::look) does.
    fn children(&self, path: &LayerPath) -> Result<Vec<Entry>>;

    /// Returns everything below a directory in the order of [`LayerPath`], with the hashes of all data. Hard links
    /// point to the first of their names below it.
    fn below(&self, path: &LayerPath) -> Result<Vec<Entry>>;

    /// Opens the data of a regular file.
    fn open(&self, path: &LayerPath) -> Result<File>;

    /// True if something at or below `path` is kept from view (`.dockerignore`).
    fn hides(&self, _path: &LayerPath) -> bool {
        false
    }

    /// True if the data of a file cannot change while it is copied, so that its hash need not be made again.
    fn is_immutable(&self) -> bool;
}

/// More links than this in one path are a loop (Linux: `ELOOP`).
const MAX_LINKS: usize = 40;

/// Resolves the symbolic links in `path` beneath the root of `files`, the last component too. What does not exist is
/// kept as it is written.
pub(crate) fn resolve(files: &(impl Look + ?Sized), path: &LayerPath) -> Result<LayerPath> {
    let too_many = || SolveErrorKind::SymlinkLoop { path: path.to_string() };
    let mut rest: Vec<Box<[u8]>> = path.components().rev().map(Box::from).collect();
    let mut at = LayerPath::root();
    let mut links = 0;
    while let Some(name) = rest.pop() {
        match &*name {
            b"" | b"." => continue,
            b".." => {
                at = at.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let next = at.join(&name);
        let Some(Entry { kind: Kind::Symlink { target }, .. }) = files.look(&next)? else {
            at = next;
            continue;
        };
        links += 1;
        if links > MAX_LINKS || target.contains(&0) {
            return Err(too_many());
        }
        if target.first() == Some(&b'/') {
            at = LayerPath::root();
        }
        rest.extend(target.split(|&b| b == b'/').rev().map(Box::from));
    }
    Ok(at)
}

/// The one question that resolving asks.
pub(crate) trait Look {
    /// Returns what stands at exactly `path`.
    fn look(&self, path: &LayerPath) -> Result<Option<Entry>>;
}

impl<T: Files + ?Sized> Look for T {
    fn look(&self, path: &LayerPath) -> Result<Option<Entry>> {
        Files::look(self, path)
    }
}

/// A tree with nothing in it: the parent of the first layer on `scratch`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nothing;

/// Returns the root directory of a tree that does not describe its own.
pub(crate) fn plain_root() -> Entry {
    let metadata = Metadata { mode: 0o755, ..Metadata::default() };
    Entry { path: LayerPath::root(), kind: Kind::Directory { opaque: false }, metadata }
}

impl Files for Nothing {
    fn look(&self, path: &LayerPath) -> Result<Option<Entry>> {
        Ok(path.is_root().then(plain_root))
    }

    fn entry(&self, path: &LayerPath) -> Result<Option<Entry>> {
        Files::look(self, path)
    }

    fn children(&self, _path: &LayerPath) -> Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn below(&self, _path: &LayerPath) -> Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn open(&self, path: &LayerPath) -> Result<File> {
        Err(missing(path))
    }

    fn is_immutable(&self) -> bool {
        true
    }
}

impl Files for store::Tree {
    fn look(&self, path: &LayerPath) -> Result<Option<Entry>> {
        Ok(self.get(path))
    }

    fn entry(&self, path: &LayerPath) -> Result<Option<Entry>> {
        // Taken by itself, another name of a file is just a file.
        Ok(self.get(path).map(|entry| as_file(self, entry)))
    }

    fn children(&self, path: &LayerPath) -> Result<Vec<Entry>> {
        Ok(Self::children(self, path))
    }

    fn below(&self, path: &LayerPath) -> Result<Vec<Entry>> {
        Ok(Self::below(self, path))
    }

    fn open(&self, path: &LayerPath) -> Result<File> {
        Ok(Self::open(self, path)?)
    }

    fn is_immutable(&self) -> bool {
        true
    }
}

/// Shows a hard link as the file it names.
pub(crate) fn as_file(tree: &store::Tree, mut entry: Entry) -> Entry {
    if matches!(entry.kind, Kind::Hardlink { .. })
        && let Some((size, content)) = tree.data(&entry.path)
    {
        entry.kind = Kind::File { size, content };
    }
    entry
}

pub(crate) fn missing(path: &LayerPath) -> SolveErrorKind {
    SolveErrorKind::CopyMissing { path: path.to_string(), similar: None, ignored: false, span: None }
}

pub(crate) fn is_directory(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Directory { .. })
}
