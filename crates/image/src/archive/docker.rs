//! What `docker save` writes: `manifest.json`, configurations and layers under any names.
//!
//! Until Docker 25 layers were `<id>/layer.tar`, plain, with symbolic links where images share them; others write
//! `<diff id>.tar` or `<digest>.tar.gz`. Since then it is an OCI layout with a `manifest.json` beside.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use oci_spec::image::Descriptor;
use serde::{Deserialize, Serialize};

use super::members::Members;
use crate::blobs::{BlobSink, Blobs, copy_verified, read_small};
use crate::config::MAX_CONFIG;
use crate::descriptor::{descriptor, digest_of};
use crate::graph::{is_manifest, parts, read_manifest};
use crate::layer::{Expansion, Format, decompress};
use crate::layout::{Loaded, Named, Source, blob_name, write_members};
use crate::manifest::Manifest;
use crate::media_type::{LayerEncoding, Style};
use crate::platform::is_attestation;
use crate::{Digest, Error, ImageConfig, Platform, Reference};

/// An entry of `manifest.json`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Makes images of what the archive holds: each gets a manifest, which such archives do not have.
pub(super) fn load(members: &Members, store: &(impl Blobs + BlobSink + ?Sized)) -> Result<Vec<Loaded>, Error> {
    let mut loader = Loader { members, store, examined: BTreeMap::new() };
    items(members)?.iter().map(|item| loader.load(item)).collect()
}

/// Returns the names that `manifest.json` gives to the image with this configuration.
pub(super) fn names_of_config(members: &Members, config: &Digest) -> Result<Vec<Reference>, Error> {
    let is_it = |item: &Item| members.find(&item.config).is_some_and(|(digest, _)| digest == *config);
    let item = items(members)?.into_iter().find(is_it);
    item.map_or(Ok(Vec::new()), |item| names(&item))
}

fn items(members: &Members) -> Result<Vec<Item>, Error> {
    let bytes = members.manifest.as_deref().unwrap_or(b"[]");
    serde_json::from_slice(bytes).map_err(Error::json("archive member `manifest.json`"))
}

fn names(item: &Item) -> Result<Vec<Reference>, Error> {
    let tags = item.repo_tags.iter().flatten();
    tags.map(|tag| Ok(tag.parse::<Reference>()?.or_latest())).collect()
}

struct Loader<'a, S: ?Sized> {
    members: &'a Members,
    store: &'a S,
    /// Layers that have been read, by digest: images share them.
    examined: BTreeMap<Digest, (Format, Digest)>,
}

impl<S: Blobs + BlobSink + ?Sized> Loader<'_, S> {
    fn load(&mut self, item: &Item) -> Result<Loaded, Error> {
        let (config_digest, config_size) = self.find(&item.config)?;
        let bytes = read_small(self.store, &config_digest, MAX_CONFIG);
        let bytes = bytes.map_err(Error::io(format!("read configuration `{}`", item.config)))?;
        let config = ImageConfig::parse(&bytes)?;
        let layers = item.layers.as_deref().unwrap_or_default();
        if layers.len() != config.diff_ids().len() {
            return Err(Error::LayerCount { layers: layers.len(), diff_ids: config.diff_ids().len() });
        }
        let layers = layers.iter().zip(config.diff_ids()).map(|(name, diff_id)| self.layer(name, *diff_id));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let config = descriptor(Style::Oci.config(), config_digest, config_size);
        let manifest = Manifest::build(&config, &layers, Style::Oci, &BTreeMap::new())?;
        let size = manifest.bytes.len() as u64;
        let put = self.store.put(Some((manifest.digest, size)), &mut manifest.bytes.as_slice());
        put.map_err(Error::io("keep the manifest made for the archive"))?;
        Ok(Loaded { names: names(item)?, ref_names: Vec::new(), manifest: manifest.descriptor() })
    }

    fn find(&self, name: &str) -> Result<(Digest, u64), Error> {
        let reason = "is missing, though `manifest.json` names it";
        self.members.find(name).ok_or_else(|| refused(name, reason))
    }

    /// Describes a layer, once its diff ID is found to be what the configuration says: nothing else vouches for it.
    fn layer(&mut self, name: &str, diff_id: Digest) -> Result<Descriptor, Error> {
        let (digest, size) = self.find(name)?;
        let (format, actual) = self.examine(name, digest, diff_id)?;
        if actual != diff_id {
            return Err(Error::DiffId { layer: name.to_owned(), expected: diff_id, actual });
        }
        let encoding = LayerEncoding::of_format(format);
        let encoding = encoding.ok_or_else(|| refused(name, "is a layer in a compression that images do not have"))?;
        Ok(descriptor(encoding.media_type(Style::Oci), digest, size))
    }

    fn examine(&mut self, name: &str, digest: Digest, diff_id: Digest) -> Result<(Format, Digest), Error> {
        if digest == diff_id {
            return Ok((Format::Plain, diff_id));
        }
        if let Some(known) = self.examined.get(&digest) {
            return Ok(*known);
        }
        let examined = examine(self.store, &digest).map_err(Error::io(format!("read layer `{name}`")))?;
        self.examined.insert(digest, examined);
        Ok(examined)
    }
}

fn refused(name: &str, reason: &str) -> Error {
    Error::Member { name: name.to_owned(), reason: reason.to_owned() }
}

/// Returns how a layer is compressed, and its diff ID.
fn examine(store: &(impl Blobs + ?Sized), digest: &Digest) -> io::Result<(Format, Digest)> {
    let mut start = Vec::new();
    store.open(digest)?.take(6).read_to_end(&mut start)?;
    let mut tar = decompress(store.open(digest)?, Expansion::default())?;
    let (diff_id, _) = copy_verified(None, &mut tar, &mut io::sink())?;
    Ok((Format::sniff(&start), diff_id))
}

/// Writes the archive: a layout of manifests with Docker's media types, and `manifest.json`.
pub(super) fn write(out: &mut dyn Write, blobs: &(impl Blobs + ?Sized), images: &[Named]) -> Result<(), Error> {
    let mut members = BTreeMap::new();
    let mut items = Vec::new();
    let mut translated = Vec::new();
    for image in images {
        let original = read_manifest(blobs, &image.target)?;
        if original.as_index().is_some() {
            for part in parts(blobs, &image.target)? {
                members.insert(blob_name(&part.digest), Source::Blob { digest: part.digest, size: part.size });
            }
            items.push(item(&one_of(blobs, original)?, &image.names)?);
            translated.push(image.clone());
            continue;
        }
        for part in parts(blobs, &image.target)?.into_iter().filter(|part| part.digest != original.digest) {
            members.insert(blob_name(&part.digest), Source::Blob { digest: part.digest, size: part.size });
        }
        items.push(item(&original, &image.names)?);
        let manifest = in_docker_style(original)?;
        let named = Named { target: with_platform_of(&manifest, &image.target), names: image.names.clone() };
        members.insert(blob_name(&manifest.digest), Source::Bytes(manifest.bytes));
        translated.push(named);
    }
    let json = serde_json::to_vec(&items).map_err(Error::json("archive member `manifest.json`"))?;
    members.insert("manifest.json".to_owned(), Source::Bytes(json));
    write_members(out, blobs, members, &translated)
}

/// Returns the image of an index that a reader of `manifest.json` gets: this machine's, or the first that is there.
fn one_of(blobs: &(impl Blobs + ?Sized), mut manifest: Manifest) -> Result<Manifest, Error> {
    while let Some(index) = manifest.as_index() {
        let here = |entry: &&Descriptor| {
            is_manifest(entry) && !is_attestation(entry) && digest_of(entry).is_ok_and(|d| blobs.size(&d).is_ok())
        };
        let here: Vec<Descriptor> = index.manifests().iter().filter(here).cloned().collect();
        let chosen = Platform::host().select(&here).ok().or_else(|| here.first());
        let reason = || "none of its images is there".to_owned();
        let chosen = chosen.ok_or_else(|| Error::Manifest { digest: manifest.digest, reason: reason() })?;
        manifest = read_manifest(blobs, chosen)?;
    }
    Ok(manifest)
}

fn item(manifest: &Manifest, names: &[Reference]) -> Result<Item, Error> {
    let (config, _) = manifest.config()?;
    let layers = manifest.layers()?.iter().map(|layer| blob_name(&layer.digest)).collect();
    let tags: Vec<String> =
        names.iter().map(|name| Reference { digest: None, ..name.clone() }.or_latest().familiar()).collect();
    let repo_tags = Some(tags).filter(|tags| !tags.is_empty());
    Ok(Item { config: blob_name(&config), repo_tags, layers: Some(layers) })
}

fn in_docker_style(manifest: Manifest) -> Result<Manifest, Error> {
    match manifest.as_image() {
        Some(image) if manifest.style() == Style::Oci => {
            Manifest::build(image.config(), image.layers(), Style::Docker, &BTreeMap::new())
        }
        _ => Ok(manifest),
    }
}

fn with_platform_of(manifest: &Manifest, target: &Descriptor) -> Descriptor {
    let mut descriptor = manifest.descriptor();
    descriptor.set_platform(target.platform().clone());
    descriptor
}
