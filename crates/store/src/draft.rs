//! Drafts: images that were built but not packed.
//!
//! `drafts/<id>`, the id being the BLAKE3 of the document, holds all that configuration and manifest are made from. A name
//! stands for the draft from then on; the first who needs a digest has the layers packed ([`Store::assemble`]), and what came
//! of it is noted in the same file, behind the document. Equal drafts give equal bytes, so it does not matter who is first.

use std::collections::BTreeMap;
use std::fmt;

use image::descriptor::{descriptor, digest_of, with_platform};
use image::layer::{Compression, PackOptions};
use image::manifest::{MAX_MANIFEST, Manifest};
use image::{Descriptor, Digest, ImageConfig, Platform, Style, media_type};
use serde::{Deserialize, Serialize};

use crate::seal::{self, Kind};
use crate::{Error, LayerId, Result, Store};

const DRAFTS: &str = "drafts";
const VERSION: u32 = 1;
const LIMIT: u64 = 64 << 20;

/// Names a draft: BLAKE3 of its document.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DraftId([u8; 32]);

impl DraftId {
    /// Reads what `Display` wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        image::digest::unhex(text).map(Self)
    }
}

impl fmt::Display for DraftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&image::digest::hex(&self.0))
    }
}

/// An image for one platform, or an index of several, that can be packed at any time.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// At least one. Of several an index is made, in this order.
    pub images: Vec<DraftImage>,
    pub compression: Compression,
    /// `SOURCE_DATE_EPOCH`: no file of a layer is younger than this.
    pub epoch: Option<i64>,
    /// Of the index. With any, there is one even of one image.
    pub index_annotations: BTreeMap<String, String>,
}

/// One image of a [`Draft`].
#[derive(Clone, Debug, PartialEq)]
pub struct DraftImage {
    pub platform: Platform,
    /// Complete but for the diff IDs of `layers`.
    pub config: ImageConfig,
    /// The manifest of the image that it was built on, whose layers come first.
    pub base: Option<Descriptor>,
    /// New layers, lowest first.
    pub layers: Vec<LayerId>,
    /// Of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// Of its entry in the index. With any, there is one even of one image.
    pub entry_annotations: BTreeMap<String, String>,
}

/// The document.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct DraftFile {
    version: u32,
    images: Vec<ImageFile>,
    compression: CompressionFile,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<i64>,
    /// Of each manifest: drafts had them here before each image had its own.
    #[serde(default, skip_serializing)]
    annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    index_annotations: BTreeMap<String, String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageFile {
    platform: String,
    config: ImageConfig,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<BlobFile>,
    layers: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    entry_annotations: BTreeMap<String, String>,
}

/// A descriptor with nothing but what is required: its bytes are the same each time.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct BlobFile {
    media_type: String,
    digest: Digest,
    size: u64,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
enum CompressionFile {
    None,
    Gzip(u32),
    Zstd(i32),
}

impl Draft {
    fn document(&self) -> Result<Vec<u8>> {
        let images = self.images.iter().map(|image| {
            Ok(ImageFile {
                platform: image.platform.to_string(),
                config: image.config.clone(),
                base: image.base.as_ref().map(BlobFile::new).transpose()?,
                layers: image.layers.iter().map(LayerId::to_string).collect(),
                annotations: image.annotations.clone(),
                entry_annotations: image.entry_annotations.clone(),
            })
        });
        let file = DraftFile {
            version: VERSION,
            images: images.collect::<Result<_>>()?,
            compression: match self.compression {
                Compression::None => CompressionFile::None,
                Compression::Gzip { level } => CompressionFile::Gzip(level),
                Compression::Zstd { level } => CompressionFile::Zstd(level),
            },
            epoch: self.epoch,
            annotations: BTreeMap::new(),
            index_annotations: self.index_annotations.clone(),
        };
        serde_json::to_vec(&file).map_err(unusable)
    }

    fn parse(document: &[u8]) -> Option<Self> {
        let file: DraftFile = serde_json::from_slice(document).ok()?;
        if file.version != VERSION || file.images.is_empty() {
            return None;
        }
        let images = file.images.into_iter().map(|image| {
            Some(DraftImage {
                platform: image.platform.parse().ok()?,
                config: image.config,
                base: image.base.map(BlobFile::descriptor),
                layers: image.layers.iter().map(|id| LayerId::parse(id)).collect::<Option<_>>()?,
                annotations: file.annotations.clone().into_iter().chain(image.annotations).collect(),
                entry_annotations: image.entry_annotations,
            })
        });
        Some(Self {
            images: images.collect::<Option<_>>()?,
            compression: match file.compression {
                CompressionFile::None => Compression::None,
                CompressionFile::Gzip(level) => Compression::Gzip { level },
                CompressionFile::Zstd(level) => Compression::Zstd { level },
            },
            epoch: file.epoch,
            index_annotations: file.index_annotations,
        })
    }

    /// True if it comes to an index.
    fn needs_index(&self) -> bool {
        let [image] = self.images.as_slice() else { return true };
        !self.index_annotations.is_empty() || !image.entry_annotations.is_empty()
    }

    /// Returns how its layers are packed.
    pub fn pack_options(&self) -> PackOptions {
        PackOptions { compression: self.compression, clamp_mtime: self.epoch, ..PackOptions::default() }
    }
}

impl BlobFile {
    fn new(descriptor: &Descriptor) -> Result<Self> {
        let digest = digest_of(descriptor).map_err(unusable)?;
        Ok(Self { media_type: descriptor.media_type().as_ref().to_owned(), digest, size: descriptor.size() })
    }

    fn descriptor(self) -> Descriptor {
        descriptor(&self.media_type, self.digest, self.size)
    }
}

impl Store {
    /// Keeps a draft, under the name that its content gives it.
    pub fn put_draft(&self, draft: &Draft) -> Result<DraftId> {
        let document = draft.document()?;
        let id = DraftId(*blake3::hash(&document).as_bytes());
        // What came of it earlier stays noted.
        if self.read_draft(&id)?.is_none() {
            self.put_file(&draft_name(&id), &seal::seal(Kind::Draft, &id.to_string(), &document))?;
        }
        Ok(id)
    }

    /// Returns a draft, if it is here.
    pub fn draft(&self, id: &DraftId) -> Result<Option<Draft>> {
        Ok(self.read_draft(id)?.and_then(|(document, _)| Draft::parse(&document)))
    }

    /// Returns the manifest or index that was made of a draft, if one was and it is still here.
    pub fn assembled(&self, id: &DraftId) -> Result<Option<Descriptor>> {
        let made = self.read_draft(id)?.and_then(|(_, made)| made).map(BlobFile::descriptor);
        Ok(made.filter(|made| digest_of(made).is_ok_and(|digest| self.has_blob(&digest))))
    }

    /// Returns the manifest or index of a draft; if there is none yet, packs what is not packed.
    pub fn assemble(&self, id: &DraftId) -> Result<Descriptor> {
        if let Some(made) = self.assembled(id)? {
            return Ok(made);
        }
        let (document, _) = self.read_draft(id)?.ok_or(Error::MissingDraft(*id))?;
        let draft = Draft::parse(&document).ok_or(Error::MissingDraft(*id))?;
        let made = self.make_image(&draft)?;
        let note = serde_json::to_vec(&BlobFile::new(&made)?).map_err(unusable)?;
        let name = id.to_string();
        let sections = [seal::seal(Kind::Draft, &name, &document), seal::seal(Kind::Assembled, &name, &note)];
        self.put_file(&draft_name(id), &sections.concat())?;
        Ok(made)
    }

    /// Packs the layers of a draft as far as they are not, and writes configurations, manifests and index.
    pub fn make_image(&self, draft: &Draft) -> Result<Descriptor> {
        let manifests =
            draft.images.iter().map(|image| self.make_manifest(draft, image)).collect::<Result<Vec<_>>>()?;
        match manifests.as_slice() {
            [manifest] if !draft.needs_index() => Ok(manifest.clone()),
            _ => {
                let entries = manifests.into_iter().zip(&draft.images).map(|(manifest, image)| {
                    let mut entry = with_platform(manifest, &image.platform);
                    if !image.entry_annotations.is_empty() {
                        entry.set_annotations(Some(image.entry_annotations.clone().into_iter().collect()));
                    }
                    entry
                });
                self.make_index(&entries.collect::<Vec<_>>(), &draft.index_annotations)
            }
        }
    }

    /// Writes the index of images for several platforms, which its entries name.
    pub fn make_index(&self, entries: &[Descriptor], annotations: &BTreeMap<String, String>) -> Result<Descriptor> {
        let index = Manifest::build_index(entries, Style::Oci, annotations).map_err(unusable)?;
        self.put_document(index.media_type, &index.bytes)
    }

    fn make_manifest(&self, draft: &Draft, image: &DraftImage) -> Result<Descriptor> {
        let mut config = image.config.clone();
        let mut layers = match &image.base {
            Some(base) => self.layers_of(base)?,
            None => Vec::new(),
        };
        for id in &image.layers {
            let packed = self.pack(id, &draft.pack_options())?;
            config.rootfs.diff_ids.push(packed.diff_id);
            layers.push(packed.descriptor);
        }
        let config = self.put_document(media_type::OCI_CONFIG, &config.to_json())?;
        let manifest = Manifest::build(&config, &layers, Style::Oci, &image.annotations).map_err(unusable)?;
        self.put_document(manifest.media_type, &manifest.bytes)
    }

    /// Returns the layers that a manifest names.
    pub fn layers_of(&self, base: &Descriptor) -> Result<Vec<Descriptor>> {
        let bytes = self.read_blob(&digest_of(base).map_err(unusable)?, MAX_MANIFEST as u64)?;
        let manifest = Manifest::parse(bytes, Some(base.media_type().as_ref())).map_err(unusable)?;
        Ok(manifest.as_image().map(|image| image.layers().clone()).unwrap_or_default())
    }

    /// Stores a document, unless it is there already, and describes it.
    fn put_document(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        self.put_blob(Some((digest, size)), &mut &bytes[..])?;
        Ok(descriptor(media_type, digest, size))
    }

    /// Returns the document and what is noted behind it. A damaged draft is none.
    fn read_draft(&self, id: &DraftId) -> Result<Option<(Vec<u8>, Option<BlobFile>)>> {
        let Some(bytes) = self.dir().read(&draft_name(id), LIMIT)? else { return Ok(None) };
        let name = id.to_string();
        let Some((document, rest)) = seal::open(Kind::Draft, &name, &bytes) else {
            tracing::warn!(name, "a damaged draft is ignored");
            return Ok(None);
        };
        let note = seal::open(Kind::Assembled, &name, rest);
        Ok(Some((document.to_vec(), note.and_then(|(note, _)| serde_json::from_slice(note).ok()))))
    }

    /// Returns the ids of all drafts, sorted.
    pub(crate) fn drafts(&self) -> Result<Vec<DraftId>> {
        Ok(self.dir().list(DRAFTS)?.iter().filter_map(|name| DraftId::parse(name)).collect())
    }

    /// Returns why a draft cannot be used.
    pub(crate) fn check_draft(&self, id: &DraftId) -> Result<Option<String>> {
        let Some(draft) = self.draft(id)? else { return Ok(Some(format!("draft {id} cannot be read"))) };
        let mut layers = draft.images.iter().flat_map(|image| &image.layers);
        if let Some(layer) = layers.find(|layer| !self.has_layer(layer)) {
            return Ok(Some(format!("layer {layer} of its draft is gone")));
        }
        let here = |base: &Descriptor| digest_of(base).is_ok_and(|digest| self.has_blob(&digest));
        let mut bases = draft.images.iter().filter_map(|image| image.base.as_ref());
        Ok(bases.find(|base| !here(base)).map(|base| format!("the base {} of its draft is gone", base.digest())))
    }
}

pub(crate) fn draft_name(id: &DraftId) -> String {
    format!("{DRAFTS}/{id}")
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Draft(Box::new(error))
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
