//! Manifests and indexes: the documents that tie an image together (image-spec manifest.md, image-index.md).
//!
//! What was read is kept as its bytes, since its digest is theirs; [`parsed`](Manifest::parsed) is for looking at.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde_json::{Map, Value};

use crate::config::MAX_CONFIG;
use crate::descriptor::{descriptor, digest_of};
use crate::media_type::{self, LayerEncoding, Style};
use crate::{Digest, Error, ImageConfig};

mod write;

pub(crate) use write::{AnyDescriptor, index_json};

/// The largest manifest that is read or written: what registries accept.
pub const MAX_MANIFEST: usize = 4 << 20;

/// The most layers of one image: about what fits into [`MAX_MANIFEST`], and far more than most runtimes can mount.
const MAX_LAYERS: usize = 20_000;

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The document as it was received or made.
    pub bytes: Vec<u8>,
    /// Of the bytes.
    pub digest: Digest,
    /// One of [`media_type::MANIFESTS`].
    pub media_type: &'static str,
    pub parsed: Parsed,
}

/// What a document says.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// One image, or an artifact in the shape of one.
    Image(Box<ImageManifest>),
    /// Several manifests, for different platforms.
    Index(Box<ImageIndex>),
}

/// A layer as a manifest names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LayerBlob {
    pub digest: Digest,
    pub size: u64,
    pub encoding: LayerEncoding,
}

impl Manifest {
    /// Reads a manifest or an index, OCI's or Docker's. `media_type` is what the descriptor or the registry said; what
    /// is no type of a manifest (`application/json`) counts as nothing said.
    pub fn parse(bytes: Vec<u8>, media_type: Option<&str>) -> Result<Self, Error> {
        if bytes.len() > MAX_MANIFEST {
            let (size, limit) = (bytes.len() as u64, MAX_MANIFEST as u64);
            return Err(Error::TooLarge { what: "manifest".to_owned(), size, limit });
        }
        let digest = Digest::of(&bytes);
        let unusable = |reason| Error::Manifest { digest, reason };
        let document = serde_json::from_slice(&bytes).map_err(Error::json(format!("manifest {digest}")))?;
        let media_type = find_media_type(&document, media_type).map_err(unusable)?;
        let is_index = [media_type::OCI_INDEX, media_type::DOCKER_LIST].contains(&media_type);
        let parsed = if is_index { index(document) } else { image(document) };
        let parsed = parsed.map_err(Error::json(format!("manifest {digest}")))?;
        check(&parsed).map_err(unusable)?;
        Ok(Self { bytes, digest, media_type, parsed })
    }

    /// Returns a descriptor of this document.
    pub fn descriptor(&self) -> Descriptor {
        descriptor(self.media_type, self.digest, self.bytes.len() as u64)
    }

    /// Returns whose media types the document uses.
    pub fn style(&self) -> Style {
        let docker = [media_type::DOCKER_MANIFEST, media_type::DOCKER_LIST];
        if docker.contains(&self.media_type) { Style::Docker } else { Style::Oci }
    }

    /// Returns the index, if it is one.
    pub fn as_index(&self) -> Option<&ImageIndex> {
        match &self.parsed {
            Parsed::Index(index) => Some(index),
            Parsed::Image(_) => None,
        }
    }

    /// Returns the manifest of one image, if it is one.
    pub fn as_image(&self) -> Option<&ImageManifest> {
        match &self.parsed {
            Parsed::Image(image) => Some(image),
            Parsed::Index(_) => None,
        }
    }

    /// Returns digest and size of the configuration. An index has none, an artifact none of an image.
    pub fn config(&self) -> Result<(Digest, u64), Error> {
        let config = self.image()?.config();
        let media_type = config.media_type().as_ref();
        if ![media_type::OCI_CONFIG, media_type::DOCKER_CONFIG].contains(&media_type) {
            return Err(self.unusable(format!("it is no image: its configuration is of type `{media_type}`")));
        }
        if config.size() > MAX_CONFIG as u64 {
            let what = format!("configuration of {}", self.digest);
            return Err(Error::TooLarge { what, size: config.size(), limit: MAX_CONFIG as u64 });
        }
        Ok((self.digest_of(config)?, config.size()))
    }

    /// Returns the layers, lowest first. One that is no layer (an attestation, an artifact) is an error.
    pub fn layers(&self) -> Result<Vec<LayerBlob>, Error> {
        let layer = |layer: &Descriptor| {
            let media_type = layer.media_type().as_ref();
            let encoding = LayerEncoding::of_media_type(media_type)
                .ok_or_else(|| self.unusable(format!("unknown type of layer `{media_type}`")))?;
            Ok(LayerBlob { digest: self.digest_of(layer)?, size: layer.size(), encoding })
        };
        self.image()?.layers().iter().map(layer).collect()
    }

    /// Checks that `config` has as many layers as the manifest.
    pub fn check_layers(&self, config: &ImageConfig) -> Result<(), Error> {
        let (layers, diff_ids) = (self.image()?.layers().len(), config.diff_ids().len());
        if layers == diff_ids { Ok(()) } else { Err(Error::LayerCount { layers, diff_ids }) }
    }

    fn image(&self) -> Result<&ImageManifest, Error> {
        self.as_image().ok_or_else(|| self.unusable("it is an index of several images".to_owned()))
    }

    fn digest_of(&self, descriptor: &Descriptor) -> Result<Digest, Error> {
        digest_of(descriptor).map_err(|error| self.unusable(error.to_string()))
    }

    fn unusable(&self, reason: String) -> Error {
        Error::Manifest { digest: self.digest, reason }
    }
}

/// Finds out what a document is from what was said about it, what it says itself, and what it contains. All that speak
/// must agree: a document that is an index to one reader and a manifest to another is an attack (CVE-2021-41190).
fn find_media_type(document: &Map<String, Value>, said: Option<&str>) -> Result<&'static str, String> {
    let has = |field| document.get(field).is_some_and(|value| !value.is_null());
    let own = document.get("mediaType").and_then(Value::as_str).filter(|own| !own.is_empty());
    let is_schema_1 = |text: &&str| media_type::DOCKER_SCHEMA_1.contains(&base_type(text));
    if own.iter().chain(&said).any(is_schema_1) || document.get("schemaVersion") == Some(&Value::from(1)) {
        return Err("it has Docker's schema 1, which is no longer supported; push the image again".to_owned());
    }
    if has("manifests") && (has("config") || has("layers")) {
        return Err("it claims to be both a manifest and an index".to_owned());
    }
    if let Some(own) = own.filter(|own| known(own).is_none()) {
        return Err(format!("it is of type `{own}`, no manifest of an image"));
    }
    let (own, said) = (own.and_then(known), said.and_then(known));
    if let (Some(own), Some(said)) = (own, said)
        && own != said
    {
        return Err(format!("it says it is of type `{own}`, but came as `{said}`"));
    }
    let media_type = own.or(said).or_else(|| guess(document)).ok_or("it is neither a manifest nor an index")?;
    let is_index = [media_type::OCI_INDEX, media_type::DOCKER_LIST].contains(&media_type);
    match is_index {
        true if has("config") || has("layers") => Err(format!("it is a manifest, but came as `{media_type}`")),
        false if has("manifests") => Err(format!("it is an index, but came as `{media_type}`")),
        _ => Ok(media_type),
    }
}

fn guess(document: &Map<String, Value>) -> Option<&'static str> {
    if document.contains_key("manifests") {
        return Some(media_type::OCI_INDEX);
    }
    let config = document.get("config")?.get("mediaType")?.as_str()?;
    Some(if config == media_type::DOCKER_CONFIG { media_type::DOCKER_MANIFEST } else { media_type::OCI_MANIFEST })
}

/// Returns the type without parameters such as a character set.
fn base_type(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

fn known(media_type: &str) -> Option<&'static str> {
    media_type::MANIFESTS.into_iter().find(|known| *known == base_type(media_type))
}

fn index(mut document: Map<String, Value>) -> serde_json::Result<Parsed> {
    null_is_empty(&mut document, "manifests");
    serde_json::from_value(Value::Object(document)).map(Box::new).map(Parsed::Index)
}

fn image(mut document: Map<String, Value>) -> serde_json::Result<Parsed> {
    null_is_empty(&mut document, "layers");
    serde_json::from_value(Value::Object(document)).map(Box::new).map(Parsed::Image)
}

/// Go writes an empty list as `null`.
fn null_is_empty(document: &mut Map<String, Value>, field: &str) {
    if document.get(field).is_none_or(Value::is_null) {
        document.insert(field.to_owned(), Value::Array(Vec::new()));
    }
}

/// Checks what every use relies on: sizes that add up, digests that can be verified.
fn check(parsed: &Parsed) -> Result<(), String> {
    let (version, descriptors) = match parsed {
        Parsed::Image(image) if image.layers().len() > MAX_LAYERS => {
            return Err(format!("it has {} layers, more than the {MAX_LAYERS} allowed", image.layers().len()));
        }
        Parsed::Image(image) => (image.schema_version(), [&[image.config().clone()], &image.layers()[..]].concat()),
        // An entry that cannot be used is no error as long as nobody takes it.
        Parsed::Index(index) => (index.schema_version(), Vec::new()),
    };
    if version != 2 {
        return Err(format!("its schema version is {version}, not 2"));
    }
    let mut total = 0_u64;
    for descriptor in &descriptors {
        digest_of(descriptor).map_err(|error| error.to_string())?;
        total = total.saturating_add(descriptor.size());
    }
    if total > i64::MAX as u64 { Err("its sizes cannot be true".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
