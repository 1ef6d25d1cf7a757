//! Layer directories.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use image::layer::Index;
use image::{ContentId, Descriptor, Digest};
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use crate::files::{DIR_MODE, random_hex};
use crate::{Error, Result, Store, trash};

const LAYERS: &str = "layers";
const META_VERSION: u32 = 1;
const META_LIMIT: u64 = 1 << 20;
/// Ten million entries of a hundred bytes.
const INDEX_LIMIT: u64 = 1 << 30;

/// Names a layer directory: the hexadecimal diff ID of a layer from outside, 32 random hexadecimal digits of one made
/// here.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LayerId(String);

impl LayerId {
    /// Returns the name of the directory.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads what [`as_str`](Self::as_str) gave.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (matches!(text.len(), 32 | 64) && is_hex).then(|| Self(text.to_owned()))
    }

    pub(crate) fn of_diff_id(diff_id: &Digest) -> Self {
        Self(diff_id.hex())
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) fn layer_name(id: &LayerId) -> String {
    format!("{LAYERS}/{id}")
}

/// What is remembered of a layer beside its index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LayerMeta {
    pub content: ContentId,
    /// When it was first made, seconds since 1970.
    pub created: i64,
    /// Of a layer from outside the one it came with; of one made here that of its plain packing, once there is one.
    pub diff_id: Option<Digest>,
    /// The blob that a layer from outside came as.
    pub source: Option<Descriptor>,
}

/// The file `meta`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct MetaFile {
    version: u32,
    content: String,
    pub(crate) created: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Source>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) packed: Vec<PackedAs>,
}

/// Where a layer came from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Source {
    pub(crate) diff_id: Digest,
    pub(crate) blob: Descriptor,
}

/// What packing gave.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PackedAs {
    /// The options that bytes depend on, spelled out.
    pub(crate) options: String,
    /// True if times were left as they are.
    pub(crate) plain: bool,
    pub(crate) diff_id: Digest,
    pub(crate) blob: Descriptor,
}

impl MetaFile {
    pub(crate) fn content(&self) -> Option<ContentId> {
        ContentId::from_hex(&self.content)
    }
}

/// A finished layer directory.
#[derive(Clone, Debug)]
pub struct Layer {
    store: Store,
    id: LayerId,
    tree: PathBuf,
}

impl Layer {
    /// Returns its name.
    pub fn id(&self) -> &LayerId {
        &self.id
    }

    /// Returns the directory to use as an overlay lower.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Returns the index, read once.
    pub fn index(&self) -> Result<Arc<Index>> {
        self.store.index(&self.id)
    }

    /// Returns what is remembered.
    pub fn meta(&self) -> Result<LayerMeta> {
        let meta = self.store.meta(&self.id)?;
        let content = meta.content().ok_or_else(|| damaged(&self.id, "its content id is none"))?;
        let plain = meta.packed.iter().find(|packed| packed.plain).map(|packed| packed.diff_id);
        let diff_id = meta.source.as_ref().map(|source| source.diff_id).or(plain);
        Ok(LayerMeta { content, created: meta.created, diff_id, source: meta.source.map(|source| source.blob) })
    }
}

/// A layer being made under `tmp/`; dropped without commit, it goes to `trash/`.
#[derive(Debug)]
pub struct LayerDraft {
    store: Store,
    /// Empty once the directory has its final name.
    name: String,
    tree: PathBuf,
    work: PathBuf,
}

impl LayerDraft {
    /// Returns the directory that becomes the lower; also a valid overlay `upperdir`.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Returns an empty directory beside it for overlay's `workdir`; never becomes part of the layer.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Gives the layer its name. `created`: seconds since 1970.
    pub fn commit(self, index: Index, created: i64) -> Result<Layer> {
        let id = LayerId(random_hex::<16>()?);
        self.commit_as(id, index, created, None)
    }

    pub(crate) fn commit_as(
        mut self,
        id: LayerId,
        index: Index,
        created: i64,
        source: Option<Source>,
    ) -> Result<Layer> {
        let dir = self.store.dir();
        let content = index.content_id().hex();
        let meta = MetaFile { version: META_VERSION, content, created, source, packed: Vec::new() };
        dir.write(&format!("{}/index", self.name), &index.encode())?;
        dir.write(&format!("{}/meta", self.name), &encode_meta(&id, &meta)?)?;
        let work = format!("{}/work", self.name);
        // What overlay left there and this process may not delete is left to a later sweep.
        trash::remove(dir, &work).or_else(|_| self.store.discard(&work).map(drop))?;
        self.store.name(&self.name, &layer_name(&id))?;
        self.name.clear();
        self.store.keep_index(&id, Arc::new(index));
        self.store.layer(&id)
    }
}

impl Drop for LayerDraft {
    fn drop(&mut self) {
        if !self.name.is_empty()
            && let Err(error) = self.store.discard(&self.name)
        {
            tracing::debug!(%error, "an unfinished layer stays until a sweep");
        }
    }
}

impl Store {
    /// Makes an empty layer directory under `tmp/`: fill `tree()`, then [`LayerDraft::commit`].
    pub fn new_layer(&self) -> Result<LayerDraft> {
        let name = self.temporary()?;
        let (tree, work) = (format!("{name}/tree"), format!("{name}/work"));
        self.dir().mkdir(&name, DIR_MODE)?;
        let draft =
            LayerDraft { store: self.clone(), tree: self.dir().full(&tree), work: self.dir().full(&work), name };
        self.dir().mkdir(&tree, DIR_MODE)?;
        self.dir().mkdir(&work, DIR_MODE)?;
        // Not by mkdir(2), which the umask would take bits from: this is the root directory of an image.
        let mode = Mode::from_raw_mode(0o755);
        let changed = rustix::fs::chmodat(self.dir().fd(), &tree, mode, rustix::fs::AtFlags::empty());
        changed.map_err(self.dir().fails("set the mode of", &tree))?;
        Ok(draft)
    }

    /// Returns a layer by id.
    pub fn layer(&self, id: &LayerId) -> Result<Layer> {
        if !self.has_layer(id) {
            return Err(Error::MissingLayer(id.clone()));
        }
        Ok(Layer { store: self.clone(), id: id.clone(), tree: self.dir().full(&format!("{}/tree", layer_name(id))) })
    }

    /// True if the layer is there.
    pub fn has_layer(&self, id: &LayerId) -> bool {
        self.dir().exists(&layer_name(id))
    }

    /// Returns the ids of all layers, sorted.
    pub fn layers(&self) -> Result<Vec<LayerId>> {
        Ok(self.dir().list(LAYERS)?.iter().filter_map(|name| LayerId::parse(name)).collect())
    }

    /// Returns the layer with this diff ID, pulled or packed here.
    pub fn layer_of_diff_id(&self, diff_id: &Digest) -> Result<Option<LayerId>> {
        let own = LayerId::of_diff_id(diff_id);
        if self.has_layer(&own) {
            return Ok(Some(own));
        }
        let bytes = self.dir().read(&diff_name(diff_id), 128)?.unwrap_or_default();
        let id = std::str::from_utf8(&bytes).ok().and_then(|text| LayerId::parse(text.trim_end()));
        Ok(id.filter(|id| self.has_layer(id)))
    }

    /// Removes a layer; false if it was not there. For a collector that holds the store alone.
    pub fn remove_layer(&self, id: &LayerId) -> Result<bool> {
        if !self.has_layer(id) {
            return Ok(false);
        }
        for packed in self.meta(id).map(|meta| meta.packed).unwrap_or_default() {
            if self.layer_of_diff_id(&packed.diff_id)?.as_ref() == Some(id) {
                self.dir().unlink(&diff_name(&packed.diff_id))?;
            }
        }
        self.inner.indexes.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.discard(&layer_name(id))?;
        Ok(true)
    }

    /// Returns the index of a layer, read once for all threads.
    pub(crate) fn index(&self, id: &LayerId) -> Result<Arc<Index>> {
        let known = self.inner.indexes.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(index) = known {
            return Ok(index);
        }
        let index = Arc::new(self.read_index(id)?);
        self.keep_index(id, Arc::clone(&index));
        Ok(index)
    }

    pub(crate) fn read_index(&self, id: &LayerId) -> Result<Index> {
        let bytes = self.dir().read(&format!("{}/index", layer_name(id)), INDEX_LIMIT)?;
        let bytes = bytes.ok_or_else(|| self.absent(id, "it has no index"))?;
        Index::decode(&bytes).map_err(|error| damaged(id, error))
    }

    fn keep_index(&self, id: &LayerId, index: Arc<Index>) {
        self.inner.indexes.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), index);
    }

    pub(crate) fn meta(&self, id: &LayerId) -> Result<MetaFile> {
        let bytes = self.dir().read(&meta_name(id), META_LIMIT)?.ok_or_else(|| self.absent(id, "it has no meta"))?;
        let meta: MetaFile = serde_json::from_slice(&bytes).map_err(|error| damaged(id, error))?;
        if meta.version == META_VERSION { Ok(meta) } else { Err(damaged(id, "its meta is of another version")) }
    }

    pub(crate) fn put_meta(&self, id: &LayerId, meta: &MetaFile) -> Result<()> {
        self.put_file(&meta_name(id), &encode_meta(id, meta)?)
    }

    /// Remembers which layer has a diff ID that is not its own id.
    pub(crate) fn put_diff_id(&self, diff_id: &Digest, id: &LayerId) -> Result<()> {
        if self.layer_of_diff_id(diff_id)?.is_some() {
            return Ok(());
        }
        self.put_file(&diff_name(diff_id), id.as_str().as_bytes())
    }

    fn absent(&self, id: &LayerId, reason: &str) -> Error {
        if self.has_layer(id) { damaged(id, reason) } else { Error::MissingLayer(id.clone()) }
    }
}

fn encode_meta(id: &LayerId, meta: &MetaFile) -> Result<Vec<u8>> {
    serde_json::to_vec(meta).map_err(|error| damaged(id, error))
}

fn meta_name(id: &LayerId) -> String {
    format!("{}/meta", layer_name(id))
}

fn diff_name(diff_id: &Digest) -> String {
    format!("diffs/{}", diff_id.hex())
}

pub(crate) fn damaged(id: &LayerId, reason: impl ToString) -> Error {
    Error::DamagedLayer { id: id.clone(), reason: reason.to_string() }
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
