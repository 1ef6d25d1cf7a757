//! A tree of files in memory, for tests.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};

use image::{ContentHash, Entry, Kind, LayerPath, Metadata, Timestamp};

use crate::error::Result;
use crate::files::{Files, missing, plain_root};

pub(crate) fn path(text: &str) -> LayerPath {
    LayerPath::clamped(text.as_bytes()).unwrap()
}

/// Files are 0644, directories 0755, all of root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fake {
    entries: BTreeMap<LayerPath, Entry>,
    data: BTreeMap<LayerPath, Vec<u8>>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let mut fake = Self::default();
        fake.entries.insert(LayerPath::root(), plain_root());
        fake
    }

    pub(crate) fn file(mut self, at: &str, data: &str) -> Self {
        let content = ContentHash(*blake3::hash(data.as_bytes()).as_bytes());
        self.data.insert(path(at), data.as_bytes().to_vec());
        self.put(at, Kind::File { size: data.len() as u64, content }, 0o644)
    }

    pub(crate) fn directory(self, at: &str, mode: u32) -> Self {
        self.put(at, Kind::Directory { opaque: false }, mode)
    }

    pub(crate) fn link(self, at: &str, target: &str) -> Self {
        self.put(at, Kind::Symlink { target: target.as_bytes().into() }, 0o777)
    }

    pub(crate) fn hardlink(self, at: &str, target: &str) -> Self {
        let metadata = self.entries[&path(target)].metadata.clone();
        let mut fake = self.put(at, Kind::Hardlink { target: path(target) }, 0o644);
        fake.entries.get_mut(&path(at)).unwrap().metadata = metadata;
        fake
    }

    pub(crate) fn fifo(self, at: &str) -> Self {
        self.put(at, Kind::Fifo, 0o644)
    }

    pub(crate) fn mode(self, at: &str, mode: u32) -> Self {
        self.with(at, |m| m.mode = mode)
    }

    pub(crate) fn owned(self, at: &str, uid: u32, gid: u32) -> Self {
        self.with(at, |m| (m.uid, m.gid) = (uid, gid))
    }

    pub(crate) fn touched(self, at: &str, seconds: i64) -> Self {
        self.with(at, |m| m.mtime = Timestamp { seconds, nanoseconds: 5 })
    }

    pub(crate) fn xattr(self, at: &str, name: &str, value: &str) -> Self {
        self.with(at, |m| m.xattrs.push((name.as_bytes().into(), value.as_bytes().into())))
    }

    fn with(mut self, at: &str, change: impl FnOnce(&mut Metadata)) -> Self {
        change(&mut self.entries.get_mut(&path(at)).unwrap().metadata);
        self
    }

    fn put(mut self, at: &str, kind: Kind, mode: u32) -> Self {
        let at = path(at);
        let mut parent = at.parent();
        while let Some(directory) = parent {
            parent = directory.parent();
            let entry = Entry { path: directory.clone(), ..plain_root() };
            self.entries.entry(directory).or_insert(entry);
        }
        let metadata = Metadata { mode, ..Metadata::default() };
        self.entries.insert(at.clone(), Entry { path: at, kind, metadata });
        self
    }
}

impl Files for Fake {
    fn look(&self, path: &LayerPath) -> Result<Option<Entry>> {
        Ok(self.entries.get(path).cloned())
    }

    fn entry(&self, path: &LayerPath) -> Result<Option<Entry>> {
        Files::look(self, path)
    }

    fn children(&self, path: &LayerPath) -> Result<Vec<Entry>> {
        Ok(self.entries.values().filter(|e| e.path.parent().as_ref() == Some(path)).cloned().collect())
    }

    fn below(&self, path: &LayerPath) -> Result<Vec<Entry>> {
        let inside = |e: &&Entry| e.path != *path && e.path.strip_prefix(path).is_some();
        Ok(self.entries.values().filter(inside).cloned().collect())
    }

    fn open(&self, path: &LayerPath) -> Result<File> {
        let data = self.data.get(path).ok_or_else(|| missing(path))?;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(data).unwrap();
        file.rewind().unwrap();
        Ok(file)
    }

    fn is_immutable(&self) -> bool {
        false
    }
}
