use std::time::{Duration, SystemTime};

use image::{ContentId, Reference};
use proptest::prelude::*;

use super::*;
use crate::testing::{key, make_layer, new_store, put_layer_blob, put_manifest};
use crate::{Record, testing};

const ALL: Policy = Policy { now: i64::MAX, all: true, until: None, keep_storage: None, grace: 0 };

fn put_record(store: &Store, number: u8, layer: &LayerId, used: u64) {
    let record = Record { layer: layer.clone(), content: ContentId([number; 32]), created: 1, inputs: Vec::new() };
    store.put_record(&key(number), &record).unwrap();
    let file = store.root().join(format!("records/{}/{}", &key(number).hex()[..2], key(number).hex()));
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(used);
    std::fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
}

fn policy(keep_storage: Option<u64>, until: Option<i64>) -> Policy {
    Policy { now: i64::MAX, keep_storage, until, ..Policy::default() }
}

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn what_a_name_reaches_stays_and_an_untagged_image_goes() {
    let (_root, store) = new_store();
    let (blob, diff_id) = put_layer_blob(&store, &[testing::file("a", 5000)]);
    let layer = store.unpack(&blob, &diff_id, &[]).unwrap();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [diff_id] }
    });
    let config = serde_json::to_vec(&config).unwrap();
    let (digest, size) = store.put_blob(None, &mut &config[..]).unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": image::media_type::OCI_MANIFEST,
        "config": image::descriptor::descriptor(image::media_type::OCI_CONFIG, digest, size), "layers": [blob],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let (digest, size) = store.put_blob(None, &mut &manifest[..]).unwrap();
    let manifest = image::descriptor::descriptor(image::media_type::OCI_MANIFEST, digest, size);
    let other = put_manifest(&store, "nobody's");
    store.tag(&name("kept:1"), &manifest).unwrap();

    let collected = store.collect(&ALL).unwrap();
    assert_eq!(collected.items.len(), 1, "{collected:?}");
    assert!(!store.has_blob(&image::descriptor::digest_of(&other).unwrap()));
    assert_eq!(store.blobs().unwrap().len(), 3);
    assert!(store.has_layer(&layer));
    assert_eq!(store.verify().unwrap(), []);

    store.untag(&name("kept:1")).unwrap();
    store.collect(&ALL).unwrap();
    assert_eq!(store.blobs().unwrap(), []);
    assert_eq!(store.layers().unwrap(), []);
}

#[test]
fn a_container_keeps_its_layers() {
    let (root, store) = new_store();
    let (kept, gone) = (make_layer(&store, "a", b"a"), make_layer(&store, "b", b"b"));
    std::fs::create_dir(root.path().join("containers/c1")).unwrap();
    let state = format!(r#"{{"layers":["{}"]}}"#, kept.id());
    std::fs::write(root.path().join("containers/c1/state.json"), state).unwrap();
    store.collect(&ALL).unwrap();
    assert!(store.has_layer(kept.id()));
    assert!(!store.has_layer(gone.id()));
    std::fs::write(root.path().join("containers/c1/state.json"), "garbage").unwrap();
    assert!(store.collect(&ALL).is_err(), "it could hold anything");
    assert!(store.has_layer(kept.id()));
}

#[test]
fn a_layer_goes_with_the_last_of_its_records_the_oldest_first() {
    let (_root, store) = new_store();
    let layers: Vec<_> = (0..3).map(|n| make_layer(&store, "f", &[n; 9000]).id().clone()).collect();
    for (number, layer, used) in [(1, 0, 500), (2, 1, 100), (3, 0, 50), (4, 2, 300)] {
        put_record(&store, number, &layers[layer], used);
    }
    assert_eq!(store.collect(&policy(None, None)).unwrap().items, [], "a record keeps its layer");
    let total: u64 = store.usage().unwrap().iter().map(|item| item.size).sum();
    let collected = store.collect(&policy(Some(total - 6000), None)).unwrap();
    assert_eq!(store.layers().unwrap().len(), 2, "{collected:?}");
    assert!(!store.has_layer(&layers[1]));
    assert!(collected.left <= total - 6000);
    assert_eq!(store.removed_at(&key(2)).unwrap(), Some(i64::MAX));
    assert_eq!(store.removed_at(&key(1)).unwrap(), None);
    store.collect(&policy(None, Some(400))).unwrap();
    assert!(store.has_layer(&layers[0]) && !store.has_layer(&layers[2]));
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn a_hit_is_a_use() {
    let (_root, store) = new_store();
    let layer = make_layer(&store, "f", b"x");
    put_record(&store, 1, layer.id(), 1000);
    store.hit(&key(1)).unwrap().unwrap();
    assert_eq!(store.collect(&policy(None, Some(2000))).unwrap().items, []);
    assert!(store.hit(&key(1)).unwrap().is_some());
}

#[test]
fn files_with_two_names_count_once_and_holes_nothing() {
    let (_root, store) = new_store();
    let draft = store.new_layer().unwrap();
    std::fs::write(draft.tree().join("a"), vec![7; 400_000]).unwrap();
    std::fs::hard_link(draft.tree().join("a"), draft.tree().join("b")).unwrap();
    std::fs::File::create(draft.tree().join("hole")).unwrap().set_len(1 << 30).unwrap();
    let index = testing::index_of(draft.tree());
    draft.commit(index, 1).unwrap();
    let size = store.usage().unwrap().iter().find(|item| matches!(item.what, What::Layer(_))).unwrap().size;
    assert!((400_000..500_000).contains(&size), "{size}");
}

/// What layers share is free only when the last of them goes, so that is the one it counts for.
#[test]
fn files_of_several_layers_count_for_the_one_that_stays_longest() {
    let (_root, store) = new_store();
    let mut layers = vec![make_layer(&store, "f", &[1; 400_000])];
    for _ in 0..5 {
        let draft = store.new_layer().unwrap();
        std::fs::hard_link(layers[0].tree().join("f"), draft.tree().join("f")).unwrap();
        let index = testing::index_of(draft.tree());
        layers.push(draft.commit(index, 1).unwrap());
    }
    for (number, layer) in layers.iter().enumerate() {
        put_record(&store, number as u8, layer.id(), [500, 100, 600, 300, 200, 400][number]);
    }
    let size = |layer: &crate::Layer| {
        let usage = store.usage().unwrap();
        usage.into_iter().find(|item| item.what == What::Layer(layer.id().clone())).map(|item| item.size)
    };
    let large = |layer| size(layer).is_some_and(|size| size >= 400_000);
    assert_eq!(layers.iter().map(large).collect::<Vec<_>>(), [false, false, true, false, false, false]);
    // Much is to go: the old ones alone do not free it.
    let total: u64 = store.usage().unwrap().iter().map(|item| item.size).sum();
    store.collect(&policy(Some(total - 100_000), None)).unwrap();
    assert_eq!(store.layers().unwrap(), []);
}

fn items(edges: &[(u8, Vec<u8>, bool)], uses: &[i64]) -> Vec<Item> {
    let mut items = Vec::new();
    for (at, used) in uses.iter().enumerate() {
        let holders = edges.iter().filter(|edge| edge.1.contains(&(at as u8)));
        let mut held = vec![Holder::Record(key(at as u8))];
        held.extend(holders.filter(|edge| edge.2).map(|_| Holder::Container("c".into())));
        items.push(Item {
            what: What::Record(key(at as u8)),
            path: String::new(),
            size: 10,
            used: *used,
            holders: held,
        });
    }
    for (number, records, held) in edges {
        let mut holders: Vec<Holder> = records
            .iter()
            .filter(|record| usize::from(**record) < uses.len())
            .map(|record| Holder::Record(key(*record)))
            .collect();
        holders.extend(held.then(|| Holder::Container("c".into())));
        let id = LayerId::parse(&format!("{number:032x}")).unwrap();
        items.push(Item { what: What::Layer(id), path: String::new(), size: 1000, used: 0, holders });
    }
    items
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Against the definition: a layer stays exactly if a container holds it or a record of it stays; a held one always.
    #[test]
    fn nothing_that_is_reached_goes(
        edges in prop::collection::vec((any::<u8>(), prop::collection::vec(0_u8..8, 0..4), any::<bool>()), 0..8),
        uses in prop::collection::vec(0_i64..100, 0..8),
        until in prop::option::of(0_i64..100),
        keep in prop::option::of(0_u64..9000),
        all in any::<bool>(),
    ) {
        let items = items(&edges, &uses);
        let policy = Policy { now: 1000, all, until, keep_storage: keep, grace: 0 };
        let taken = select::select(&items, &policy);
        let gone = |at: usize| taken.contains(&at);
        let record_stays = |key: &RecordKey| {
            (0..items.len()).any(|at| matches!(&items[at].what, What::Record(k) if k == key) && !gone(at))
        };
        for (at, item) in items.iter().enumerate() {
            if item.is_held() {
                prop_assert!(!gone(at), "held, but taken: {item:?}");
            }
            if let What::Layer(_) = item.what {
                let reached = item.is_held() || item.holders.iter().any(
                    |holder| matches!(holder, Holder::Record(key) if record_stays(key)));
                let too_young = until.is_some_and(|until| item.used >= until) && item.holders.is_empty();
                prop_assert_eq!(!gone(at), reached || too_young, "{:?}", item);
            }
        }
        let left: u64 = (0..items.len()).filter(|at| !gone(*at)).map(|at| items[at].size).sum();
        if let (Some(keep), None) = (keep, until) {
            let held = |holder: &Holder| {
                items.iter().any(|item| item.is_held() && matches!((&item.what, holder), (What::Record(a), Holder::Record(b)) if a == b))
            };
            let goes = |item: &Item| !item.is_held() && !item.holders.iter().any(held);
            let cache_left = items.iter().enumerate().any(|(at, item)| !gone(at) && goes(item));
            prop_assert!(left <= keep || !cache_left, "{left} left of {keep}");
        }
    }
}
