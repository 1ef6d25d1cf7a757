//! A small image to write, read and damage.

use std::collections::BTreeMap;
use std::io::Write;

use oci_spec::image::Descriptor;

use crate::blobs::MemoryBlobs;
use crate::descriptor::descriptor;
use crate::media_type::{LayerEncoding, Style};
use crate::{Digest, ImageConfig, Manifest, Reference};

/// Makes a tar of files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        // Not `set_path`, which refuses what hostile archives have.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// The plain layers of the image called `seed`; the first is common to all.
pub(crate) fn layers(seed: &str) -> [Vec<u8>; 2] {
    [tar(&[("etc/common", b"common")]), tar(&[("etc/seed", seed.as_bytes())])]
}

/// The configuration of the image called `seed`.
pub(crate) fn config(seed: &str) -> ImageConfig {
    let mut config = ImageConfig { architecture: "amd64".to_owned(), os: "linux".to_owned(), ..Default::default() };
    config.config.env = vec![format!("SEED={seed}")];
    config.rootfs.diff_ids = layers(seed).iter().map(|layer| Digest::of(layer)).collect();
    config
}

/// Puts an image with a gzip and a plain layer into `blobs`.
pub(crate) fn image(blobs: &MemoryBlobs, seed: &str) -> Manifest {
    let [common, own] = layers(seed);
    let config = put(blobs, Style::Oci.config(), &config(seed).to_json());
    let gzip = put(blobs, LayerEncoding::Gzip.media_type(Style::Oci), &gzip(&common));
    let plain = put(blobs, LayerEncoding::Plain.media_type(Style::Oci), &own);
    let manifest = Manifest::build(&config, &[gzip, plain], Style::Oci, &BTreeMap::new()).unwrap();
    blobs.insert(manifest.bytes.clone());
    manifest
}

pub(crate) fn put(blobs: &MemoryBlobs, media_type: &str, bytes: &[u8]) -> Descriptor {
    descriptor(media_type, blobs.insert(bytes), bytes.len() as u64)
}

pub(crate) fn names(names: &[&str]) -> Vec<Reference> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Joins an error with all its sources, as it is shown.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
