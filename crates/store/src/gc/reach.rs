//! What names, containers and records reach.

use std::collections::BTreeSet;

use image::descriptor::digest_of;
use image::manifest::{MAX_MANIFEST, Manifest, Parsed};
use image::{Descriptor, Digest, ImageConfig};
use serde::Deserialize;

use super::{Holder, Roots};
use crate::{DraftId, Error, LayerId, RecordKey, Result, Store, Target, record};

const CONFIG_LIMIT: u64 = 16 << 20;
const RECORD_LIMIT: u64 = 1 << 30;
const STATE_LIMIT: u64 = 16 << 20;

/// What a container says of itself (written by `runtime`).
#[derive(Deserialize)]
struct Container {
    layers: Vec<String>,
}

/// Reads all roots and follows them.
pub(super) fn roots(store: &Store) -> Result<Roots> {
    let mut roots = Roots::default();
    for (name, target) in store.references()? {
        let holder = Holder::Name(name);
        let mut walk = Walk { store, roots: &mut roots, holder: &holder, seen: BTreeSet::new() };
        match target {
            Target::Manifest(manifest) => walk.manifest(&manifest)?,
            Target::Draft(id) => walk.draft(&id)?,
        }
    }
    containers(store, &mut roots)?;
    records(store, &mut roots)?;
    blobs_of_layers(store, &mut roots)?;
    Ok(roots)
}

struct Walk<'a> {
    store: &'a Store,
    roots: &'a mut Roots,
    holder: &'a Holder,
    seen: BTreeSet<Digest>,
}

impl Walk<'_> {
    /// The layers, the images below them, and what was made of it.
    fn draft(&mut self, id: &DraftId) -> Result<()> {
        hold(self.roots.drafts.entry(*id).or_default(), self.holder);
        let Some(draft) = self.store.draft(id)? else { return Ok(()) };
        for image in &draft.images {
            for layer in &image.layers {
                hold(self.roots.layers.entry(layer.clone()).or_default(), self.holder);
            }
            image.base.iter().try_for_each(|base| self.manifest(base))?;
        }
        self.store.assembled(id)?.iter().try_for_each(|made| self.manifest(made))
    }

    fn manifest(&mut self, target: &Descriptor) -> Result<()> {
        let Some(digest) = self.blob(target) else { return Ok(()) };
        if !self.seen.insert(digest) {
            return Ok(());
        }
        let Some(bytes) = small(self.store, &digest, MAX_MANIFEST as u64)? else { return Ok(()) };
        // What is no manifest refers to nothing that could be followed.
        let Ok(manifest) = Manifest::parse(bytes, None) else { return Ok(()) };
        match &manifest.parsed {
            Parsed::Index(index) => index.manifests().iter().try_for_each(|child| self.manifest(child)),
            Parsed::Image(image) => {
                for layer in image.layers() {
                    self.blob(layer);
                }
                let Some(config) = self.blob(image.config()) else { return Ok(()) };
                self.config(&config)
            }
        }
    }

    fn config(&mut self, digest: &Digest) -> Result<()> {
        let Some(bytes) = small(self.store, digest, CONFIG_LIMIT)? else { return Ok(()) };
        let Ok(config) = ImageConfig::parse(&bytes) else { return Ok(()) };
        for diff_id in config.diff_ids() {
            if let Some(id) = self.store.layer_of_diff_id(diff_id)? {
                hold(self.roots.layers.entry(id).or_default(), self.holder);
            }
        }
        Ok(())
    }

    fn blob(&mut self, descriptor: &Descriptor) -> Option<Digest> {
        let digest = digest_of(descriptor).ok()?;
        hold(self.roots.blobs.entry(digest).or_default(), self.holder);
        Some(digest)
    }
}

fn hold(holders: &mut Vec<Holder>, holder: &Holder) {
    if !holders.contains(holder) {
        holders.push(holder.clone());
    }
}

/// Reads a manifest or a configuration; `None` if it is not here or too large to be one.
fn small(store: &Store, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
    match store.read_blob(digest, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::MissingBlob(_) | Error::BlobTooLarge { .. } | Error::DamagedBlob { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A container whose state cannot be read could hold anything: nothing is collected then.
fn containers(store: &Store, roots: &mut Roots) -> Result<()> {
    for id in store.dir().list("containers")? {
        let name = format!("containers/{id}/state.json");
        let Some(bytes) = store.dir().read(&name, STATE_LIMIT)? else { continue };
        let unreadable = |error: serde_json::Error| store.dir().fails("read", &name)(std::io::Error::other(error));
        let container: Container = serde_json::from_slice(&bytes).map_err(unreadable)?;
        let holder = Holder::Container(id);
        for layer in container.layers.iter().filter_map(|layer| LayerId::parse(layer)) {
            hold(roots.layers.entry(layer).or_default(), &holder);
        }
    }
    Ok(())
}

fn records(store: &Store, roots: &mut Roots) -> Result<()> {
    for (file, hex) in store.keyed("records")? {
        let Some(key) = image::digest::unhex(&hex).map(RecordKey) else { continue };
        let Some(bytes) = store.dir().read(&file, RECORD_LIMIT)? else { continue };
        let layer = record::decode(&hex, &bytes).map(|record| record.layer).filter(|layer| store.has_layer(layer));
        if let Some(layer) = &layer {
            roots.layers.entry(layer.clone()).or_default().push(Holder::Record(key));
        }
        roots.records.insert(file, (key, layer));
    }
    Ok(())
}

/// A layer keeps the blob it came as, which cannot be made again, and those it was packed into, which take time.
fn blobs_of_layers(store: &Store, roots: &mut Roots) -> Result<()> {
    for (id, holders) in &roots.layers {
        let Ok(meta) = store.meta(id) else { continue };
        let source = meta.source.iter().map(|source| &source.blob);
        for blob in source.chain(meta.packed.iter().map(|packed| &packed.blob)) {
            let Ok(digest) = digest_of(blob) else { continue };
            let held = roots.blobs.entry(digest).or_default();
            holders.iter().for_each(|holder| hold(held, holder));
        }
    }
    Ok(())
}
