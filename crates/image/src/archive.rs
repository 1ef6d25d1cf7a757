//! Archives of images: the tar of an OCI layout, and what `docker save` writes, of any age.
//!
//! An archive is read in one pass, whatever the order of its members, and each blob goes to where blobs are kept as it
//! comes by. Only then is it known what the archive is and which of them belong to an image.

use std::io::{Read, Write};

use oci_spec::image::Descriptor;

use crate::Error;
use crate::blobs::{BlobSink, Blobs};
use crate::descriptor::digest_of;
use crate::graph::{parts_of_all, read_manifest};
use crate::layout::{self, Loaded, Named};
use crate::manifest::Manifest;
use crate::media_type::OCI_INDEX;

mod docker;
mod members;

use members::Members;

/// Reads all images of an archive, plain or compressed, and puts their blobs into `store`.
pub fn load(archive: impl Read + Send, store: &(impl Blobs + BlobSink + ?Sized)) -> Result<Vec<Loaded>, Error> {
    let members = Members::read(archive, store)?;
    let images = load_layout(&members, store)?;
    if !images.is_empty() {
        return Ok(images);
    }
    if members.manifest.is_some() {
        return docker::load(&members, store);
    }
    Err(Error::NotAnArchive(if members.is_ancient {
        "it was written by Docker before 1.10; load and save it again with a later one".to_owned()
    } else if members.index.is_some() {
        "its `index.json` names no image".to_owned()
    } else {
        "it has neither `index.json` nor `manifest.json`".to_owned()
    }))
}

/// Writes images as `docker save` does, with Docker's media types. Any Docker, podman and skopeo read it, and so does
/// whoever reads OCI layouts; an index is there as it is, and those who do not know of such get one of its images. The same images and names give the same bytes.
pub fn write(out: &mut dyn Write, blobs: &(impl Blobs + ?Sized), images: &[Named]) -> Result<(), Error> {
    docker::write(out, blobs, images)
}

/// Finds the images of a layout; none if the archive has no index.
fn load_layout(members: &Members, store: &(impl Blobs + BlobSink + ?Sized)) -> Result<Vec<Loaded>, Error> {
    let Some(bytes) = members.index.clone() else { return Ok(Vec::new()) };
    let index = Manifest::parse(bytes, Some(OCI_INDEX))?;
    let entries = index.as_index().map(|index| index.manifests().as_slice()).unwrap_or_default();
    let mut images = layout::images(entries)?;
    parts_of_all(store, images.iter().map(|image| &image.manifest))?;
    for image in images.iter_mut().filter(|image| image.names.is_empty()) {
        image.names = names_of(&image.manifest, members, store)?;
    }
    Ok(images)
}

/// Looks up the names of an image in the `manifest.json` that an archive has beside its index.
fn names_of(
    target: &Descriptor,
    members: &Members,
    store: &(impl Blobs + ?Sized),
) -> Result<Vec<crate::Reference>, Error> {
    if members.manifest.is_none() {
        return Ok(Vec::new());
    }
    let manifest = read_manifest(store, target)?;
    let Some(config) = manifest.as_image().and_then(|image| digest_of(image.config()).ok()) else {
        return Ok(Vec::new());
    };
    docker::names_of_config(members, &config)
}

#[cfg(test)]
mod tests;
