//! From layers and a configuration to an image in the store.

use std::collections::BTreeMap;

use image::config::History;
use image::descriptor::descriptor;
use image::layer::{Compression, PackOptions};
use image::{Descriptor, Digest, ImageConfig, Manifest, Style, media_type};
use store::{LayerId, Packed, Store};

use crate::error::Failure;

/// What an image is made of.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// With the base's `rootfs` and `history`; new diff IDs and lines are added.
    pub(crate) config: ImageConfig,
    /// Descriptors of the base's layers, lowest first.
    pub(crate) base_layers: Vec<Descriptor>,
    /// New layers, lowest first.
    pub(crate) layers: Vec<LayerId>,
    /// New lines of history.
    pub(crate) history: Vec<Line>,
    pub(crate) options: Options,
}

/// A line of history to add, and when its layer was made (`None`: an empty layer).
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) history: History,
    pub(crate) created: Option<i64>,
}

/// How the image is written.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) compression: Compression,
    /// `SOURCE_DATE_EPOCH`: no new time is later than this.
    pub(crate) epoch: Option<i64>,
    pub(crate) style: Style,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { compression: Compression::default(), epoch: None, style: Style::Oci, annotations: BTreeMap::new() }
    }
}

/// An image that is in the store but has no name yet.
#[derive(Clone, Debug)]
pub(crate) struct Assembled {
    pub(crate) manifest: Descriptor,
    pub(crate) config: Descriptor,
}

/// Packs the new layers, writes configuration and manifest.
pub(crate) fn image(store: &Store, assembly: Assembly) -> Result<Assembled, Failure> {
    let Assembly { mut config, base_layers, layers, history, options } = assembly;
    let packed = pack(store, &layers, &options)?;
    config.rootfs.diff_ids.extend(packed.iter().map(|p| p.diff_id));
    add_history(&mut config, history, options.epoch);
    let config = put(store, media_type::OCI_CONFIG, &config.to_json())?;
    let layers: Vec<Descriptor> = base_layers.into_iter().chain(packed.into_iter().map(|p| p.descriptor)).collect();
    let manifest = Manifest::build(&config, &layers, options.style, &options.annotations)?;
    let manifest = put(store, manifest.media_type, &manifest.bytes)?;
    Ok(Assembled { manifest, config })
}

/// Writes the index of images for several platforms, each described with its own.
pub(crate) fn index(store: &Store, manifests: &[Descriptor]) -> Result<Descriptor, Failure> {
    let index = Manifest::build_index(manifests, Style::Oci, &BTreeMap::new())?;
    put(store, index.media_type, &index.bytes)
}

fn pack(store: &Store, layers: &[LayerId], options: &Options) -> Result<Vec<Packed>, Failure> {
    let pack = PackOptions { compression: options.compression, clamp_mtime: options.epoch, ..PackOptions::default() };
    layers.iter().map(|id| Ok(store.pack(id, &pack)?)).collect()
}

/// Adds the new lines. A line without a layer takes the time of the next layer, or of the one before it.
fn add_history(config: &mut ImageConfig, lines: Vec<Line>, epoch: Option<i64>) {
    let mut next = lines.iter().rev().find_map(|l| l.created);
    let mut times: Vec<Option<i64>> = lines
        .iter()
        .rev()
        .map(|line| {
            next = line.created.or(next);
            next
        })
        .collect();
    times.reverse();
    // What follows the last layer was given its time above, seen from the end; the same holds from the front.
    for (line, time) in lines.into_iter().zip(times) {
        let created = time.map(|t| epoch.map_or(t, |e| t.min(e))).or(epoch).map(rfc3339);
        config.history.push(History { created, ..line.history });
    }
    config.created = config.history.iter().rev().find_map(|h| h.created.clone()).or_else(|| epoch.map(rfc3339));
}

/// RFC 3339, as the configuration wants times.
pub(crate) fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// Stores a document, unless it is there already, and describes it.
fn put(store: &Store, media_type: &str, bytes: &[u8]) -> Result<Descriptor, Failure> {
    let digest = Digest::of(bytes);
    let size = bytes.len() as u64;
    if !store.has_blob(&digest) {
        store.put_blob(Some((digest, size)), &mut &bytes[..])?;
    }
    Ok(descriptor(media_type, digest, size))
}
