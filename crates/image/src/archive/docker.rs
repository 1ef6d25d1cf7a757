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
use crate::descriptor::descriptor;
use crate::graph::{parts, read_manifest};
use crate::layer::{Expansion, Format, decompress};
use crate::layout::{Loaded, Named, Source, blob_name, write_members};
use crate::manifest::Manifest;
use crate::media_type::{LayerEncoding, Style};
use crate::{Digest, Error, ImageConfig, Reference};

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
    items(members)?.into_iter().map(|item| load_item(members, store, &item)).collect()
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

fn load_item(members: &Members, store: &(impl Blobs + BlobSink + ?Sized), item: &Item) -> Result<Loaded, Error> {
    let find = |name: &str| {
        let reason = "is missing, though `manifest.json` names it".to_owned();
        members.find(name).ok_or_else(|| Error::Member { name: name.to_owned(), reason })
    };
    let (config_digest, config_size) = find(&item.config)?;
    let reading = || Error::io(format!("read configuration `{}`", item.config));
    let config = ImageConfig::parse(&read_small(store, &config_digest, MAX_CONFIG).map_err(reading())?)?;
    let layers = item.layers.as_deref().unwrap_or_default();
    if layers.len() != config.diff_ids().len() {
        return Err(Error::LayerCount { layers: layers.len(), diff_ids: config.diff_ids().len() });
    }
    let mut descriptors = Vec::new();
    for (name, diff_id) in layers.iter().zip(config.diff_ids()) {
        descriptors.push(layer(store, name, find(name)?, *diff_id)?);
    }
    let config = descriptor(Style::Oci.config(), config_digest, config_size);
    let manifest = Manifest::build(&config, &descriptors, Style::Oci, &BTreeMap::new())?;
    let put = store.put(Some((manifest.digest, manifest.bytes.len() as u64)), &mut manifest.bytes.as_slice());
    put.map_err(Error::io("keep the manifest made for the archive"))?;
    Ok(Loaded { names: names(item)?, ref_names: Vec::new(), manifest: manifest.descriptor() })
}

/// Describes a layer, once its diff ID is found to be what the configuration says: nothing else vouches for it.
fn layer(
    store: &(impl Blobs + ?Sized),
    name: &str,
    (digest, size): (Digest, u64),
    diff_id: Digest,
) -> Result<Descriptor, Error> {
    if digest == diff_id {
        return Ok(descriptor(LayerEncoding::Plain.media_type(Style::Oci), digest, size));
    }
    let examined = examine(store, &digest).map_err(Error::io(format!("read layer `{name}`")))?;
    let (format, actual) = examined;
    if actual != diff_id {
        return Err(Error::DiffId { layer: name.to_owned(), expected: diff_id, actual });
    }
    let encoding = LayerEncoding::of_format(format).ok_or_else(|| {
        let reason = "is a layer in a compression that images do not have".to_owned();
        Error::Member { name: name.to_owned(), reason }
    })?;
    Ok(descriptor(encoding.media_type(Style::Oci), digest, size))
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
