//! How much room things take.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;

use super::{Holder, Item, Roots, What};
use crate::blob::blob_name;
use crate::draft::draft_name;
use crate::flat::flat_name;
use crate::layer::layer_name;
use crate::{LayerId, RecordKey, Result, Store};

/// Returns all there is, each with who holds it, sorted.
pub(super) fn items(store: &Store, roots: &Roots) -> Result<Vec<Item>> {
    let mut measure = Measure { store, seen: HashSet::new(), items: Vec::new() };
    for (file, (key, layer)) in &roots.records {
        let holders = layer.as_ref().and_then(|layer| roots.layers.get(layer)).cloned().unwrap_or_default();
        measure.add(file.clone(), What::Record(*key), holders);
    }
    let uses = uses(&measure.items);
    for id in in_order(store.layers()?, roots, &uses) {
        let holders = roots.layers.get(&id).cloned().unwrap_or_default();
        measure.add(layer_name(&id), What::Layer(id), holders);
    }
    // After the layers, whose files theirs are.
    for (id, layers) in store.flats()? {
        measure.add(flat_name(&id), What::Flat(id), containers_of_all(&layers, roots));
    }
    for digest in store.blobs()? {
        let holders = roots.blobs.get(&digest).cloned().unwrap_or_default();
        measure.add(blob_name(&digest), What::Blob(digest), holders);
    }
    for id in store.drafts()? {
        let holders = roots.drafts.get(&id).cloned().unwrap_or_default();
        measure.add(draft_name(&id), What::Draft(id), holders);
    }
    for (file, _) in store.keyed("facts")? {
        measure.add(file, What::Fact, Vec::new());
    }
    let families = [
        ("contexts", What::Context),
        ("builds", What::Build),
        ("cache", What::CacheMount),
        ("volumes", What::Volume),
        ("trash", What::Trash),
    ];
    for (family, what) in families {
        for name in store.dir().list(family)? {
            measure.add(format!("{family}/{name}"), what.clone(), Vec::new());
        }
    }
    for id in store.dir().list("containers")? {
        let known = store.dir().exists(&format!("containers/{id}/state.json"));
        let holder = known.then(|| Holder::Container(id.clone()));
        measure.add(format!("containers/{id}"), What::Container, holder.into_iter().collect());
    }
    for name in store.dir().list("tmp")?.into_iter().filter(|name| name != "partial") {
        measure.add(format!("tmp/{name}"), What::Temporary, Vec::new());
    }
    for name in store.dir().list("tmp/partial")? {
        measure.add(format!("tmp/partial/{name}"), What::Temporary, Vec::new());
    }
    let mut items = measure.items;
    inherit_use(&mut items, &uses);
    items.sort_by(|a, b| (&a.what, &a.path).cmp(&(&b.what, &b.path)));
    Ok(items)
}

struct Measure<'a> {
    store: &'a Store,
    /// Files with several names that were counted.
    seen: HashSet<(u64, u64)>,
    items: Vec<Item>,
}

impl Measure<'_> {
    fn add(&mut self, path: String, what: What, holders: Vec<Holder>) {
        let (mut size, mut used) = (0, 0);
        for (depth, entry) in walkdir::WalkDir::new(self.store.dir().full(&path)).into_iter().enumerate() {
            // What vanishes meanwhile, or may not be looked at, counts nothing.
            let Ok(metadata) = entry.and_then(|entry| entry.metadata()) else { continue };
            if depth == 0 {
                used = metadata.mtime().max(if metadata.is_dir() { metadata.ctime() } else { 0 });
            }
            if metadata.nlink() < 2 || metadata.is_dir() || self.seen.insert((metadata.dev(), metadata.ino())) {
                size += metadata.blocks() * 512;
            }
        }
        self.items.push(Item { what, path, size, used, holders });
    }
}

type Uses = HashMap<RecordKey, i64>;

/// Returns when records were last used.
fn uses(items: &[Item]) -> Uses {
    let used = items.iter().filter_map(|item| match &item.what {
        What::Record(key) => Some((*key, item.used)),
        _ => None,
    });
    used.collect()
}

fn last_use(holders: &[Holder], uses: &Uses) -> Option<i64> {
    let records = holders.iter().filter_map(|holder| match holder {
        Holder::Record(key) => uses.get(key).copied(),
        _ => None,
    });
    records.max()
}

/// Returns layers with those first that stay longest. What several of them share counts for the first, so that taking
/// away one that comes later frees what it counts for.
fn in_order(mut layers: Vec<LayerId>, roots: &Roots, uses: &Uses) -> Vec<LayerId> {
    layers.sort_by_cached_key(|id| {
        let holders = roots.layers.get(id).map(Vec::as_slice).unwrap_or_default();
        let held = holders.iter().any(|holder| !matches!(holder, Holder::Record(_)));
        Reverse((held, last_use(holders, uses)))
    });
    layers
}

/// Returns the containers that have all these layers: theirs may be mounted by way of the flat.
fn containers_of_all(layers: &[LayerId], roots: &Roots) -> Vec<Holder> {
    let holders = |layer: &LayerId| roots.layers.get(layer).map(Vec::as_slice).unwrap_or_default();
    let Some((first, others)) = layers.split_first() else { return Vec::new() };
    let of_all = |holder: &&Holder| others.iter().all(|layer| holders(layer).contains(holder));
    holders(first).iter().filter(|holder| matches!(holder, Holder::Container(_))).filter(of_all).cloned().collect()
}

/// A layer or blob was last used when the last of the records that hold it was.
fn inherit_use(items: &mut [Item], uses: &Uses) {
    for item in items.iter_mut().filter(|item| matches!(item.what, What::Layer(_) | What::Blob(_))) {
        item.used = last_use(&item.holders, uses).map_or(item.used, |used| used.max(item.used));
    }
}
