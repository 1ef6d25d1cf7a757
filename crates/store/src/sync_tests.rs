use std::fs;
use std::path::Path;

use super::*;
use crate::testing::{damage, key, make_layer, names, new_store, new_store_on_disk, put_layer_blob, put_manifest};
use crate::{Record, fault};
use image::descriptor::digest_of;

fn marks(root: &Path) -> Vec<String> {
    if root.join(DIRTY).exists() { names(&root.join(DIRTY)) } else { Vec::new() }
}

/// Makes it look as if the machine had gone down since.
fn reboot(root: &Path) {
    for name in marks(root) {
        let random = name.rsplit_once('_').unwrap().1;
        fs::rename(root.join(DIRTY).join(&name), root.join(DIRTY).join(format!("0123_{random}"))).unwrap();
    }
}

#[test]
fn a_mark_stands_from_the_first_write_to_the_sync() {
    let (root, store) = new_store_on_disk();
    assert_eq!(marks(root.path()), [""; 0]);
    // Reading, and what is only temporary, needs none.
    store.record(&key(1)).unwrap();
    drop(store.scratch().unwrap());
    drop(store.lock_key(&key(1)).unwrap());
    store.sync().unwrap();
    assert!(!root.path().join(DIRTY).exists());
    store.put_fact(&key(1), b"1").unwrap();
    store.put_fact(&key(2), b"2").unwrap();
    let [mark] = marks(root.path()).try_into().unwrap();
    assert!(mark.starts_with(&format!("{}_", boot_id())));
    store.sync().unwrap();
    assert!(!root.path().join(DIRTY).exists());
    store.put_fact(&key(3), b"3").unwrap();
    assert_ne!(marks(root.path()), [mark]);
    assert_eq!(marks(root.path()).len(), 1);
}

#[test]
fn a_sync_covers_the_dead_but_not_the_living() {
    let (root, store) = new_store();
    let living = Store::open(root.path()).unwrap();
    let dead = Store::open(root.path()).unwrap();
    dead.put_fact(&key(1), b"").unwrap();
    drop(dead);
    living.put_fact(&key(2), b"").unwrap();
    store.put_fact(&key(3), b"").unwrap();
    assert_eq!(marks(root.path()).len(), 3);
    store.sync().unwrap();
    assert_eq!(marks(root.path()).len(), 1);
    living.sync().unwrap();
    assert!(!root.path().join(DIRTY).exists());
}

#[test]
fn a_sync_that_fails_leaves_the_mark() {
    let (root, store) = new_store();
    store.put_fact(&key(1), b"").unwrap();
    let before = marks(root.path());
    fault::arm(0, fault::Fault::Fail(5));
    store.sync().unwrap_err();
    assert!(!fault::disarm());
    assert_eq!(marks(root.path()), before);
    store.sync().unwrap();
    assert!(!root.path().join(DIRTY).exists());
}

#[test]
fn what_a_process_left_is_synced_without_it() {
    let (root, store) = new_store();
    let other = Store::open(root.path()).unwrap();
    store.put_fact(&key(1), b"").unwrap();
    other.put_fact(&key(2), b"").unwrap();

    sync_left(root.path()).unwrap();
    assert_eq!(marks(root.path()).len(), 2, "both still write");
    drop(store);
    sync_left(root.path()).unwrap();
    assert_eq!(marks(root.path()).len(), 1);
    assert!(other.leave_sync() && !other.leave_sync());
    sync_left(root.path()).unwrap();
    assert!(!root.path().join(DIRTY).exists(), "though it lives");
    sync_left(root.path()).unwrap();
    sync_left(&root.path().join("nowhere")).unwrap_err();
}

#[test]
fn what_the_disk_did_not_take_is_verified() {
    let (root, store) = new_store();
    let (blob, _) = put_layer_blob(&store, &[crate::testing::file("a", 1)]);
    drop(store);
    fault::arm(0, fault::Fault::Fail(5));
    sync_left(root.path()).unwrap_err();
    assert!(!fault::disarm());
    damage(&root.path().join("blobs/sha256").join(digest_of(&blob).unwrap().hex()));

    let store = Store::open(root.path()).unwrap();

    assert!(!store.has_blob(&digest_of(&blob).unwrap()));
    assert!(!root.path().join(DIRTY).exists());
}

#[test]
fn writers_beside_a_sync_are_always_marked() {
    let (root, store) = new_store();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let store = &store;
            scope.spawn(move || (0..100).for_each(|number| store.put_fact(&key(thread), &[number]).unwrap()));
        }
        (0..20).for_each(|_| store.sync().unwrap());
    });
    store.put_fact(&key(9), b"").unwrap();
    assert_eq!(marks(root.path()).len(), 1);
    store.sync().unwrap();
    assert!(!root.path().join(DIRTY).exists());
}

#[test]
fn after_a_power_loss_what_was_lost_is_dropped_and_the_rest_stays() {
    let (root, store) = new_store();
    let (good_blob, good_diff) = put_layer_blob(&store, &[crate::testing::file("a", 1)]);
    let good = store.unpack(&good_blob, &good_diff, &[]).unwrap();
    let (torn_blob, torn_diff) = put_layer_blob(&store, &[crate::testing::file("a", 20)]);
    let torn = store.unpack(&torn_blob, &torn_diff, &[]).unwrap();
    let (empty, unindexed) = (make_layer(&store, "f", b"some data"), make_layer(&store, "g", b"other data"));
    let (kept, lost) = (put_manifest(&store, "kept"), put_manifest(&store, "lost"));
    store.tag(&"kept:1".parse().unwrap(), &kept).unwrap();
    store.tag(&"lost:1".parse().unwrap(), &lost).unwrap();
    store.tag(&"lost:2".parse().unwrap(), &kept).unwrap();
    for (number, layer) in [(1, &good), (2, &torn), (3, empty.id())] {
        let content = image::ContentId([0; 32]);
        store
            .put_record(&key(number), &Record { layer: layer.clone(), content, created: 0, inputs: Vec::new() })
            .unwrap();
    }
    let (empty_tree, unindexed_id, torn_id) = (empty.tree().to_owned(), unindexed.id().clone(), torn.clone());
    drop((store, empty, unindexed));

    // Data that never came to the disk: files of the right length full of zeros, or of none.
    fs::write(root.path().join("layers").join(torn_id.as_str()).join("tree/a"), [0; 20]).unwrap();
    fs::write(empty_tree.join("f"), "").unwrap();
    fs::write(root.path().join("layers").join(unindexed_id.as_str()).join("index"), "").unwrap();
    fs::write(root.path().join("blobs/sha256").join(digest_of(&lost).unwrap().hex()), "").unwrap();
    damage(&root.path().join("blobs/sha256").join(digest_of(&torn_blob).unwrap().hex()));
    fs::write(root.path().join("refs/docker.io/library/lost/:2"), "").unwrap();
    reboot(root.path());

    let store = Store::open(root.path()).unwrap();
    assert_eq!(store.verify().unwrap(), []);
    assert_eq!(store.layers().unwrap(), std::slice::from_ref(&good));
    assert_eq!(store.references().unwrap(), [("kept:1".parse().unwrap(), crate::Target::Manifest(kept))]);
    assert!(store.has_blob(&digest_of(&good_blob).unwrap()) && !store.has_blob(&digest_of(&torn_blob).unwrap()));
    assert!(store.record(&key(1)).unwrap().is_some());
    assert_eq!((store.record(&key(2)).unwrap(), store.record(&key(3)).unwrap()), (None, None));
    assert!(!root.path().join(DIRTY).exists());
    assert_eq!(names(&root.path().join("locks")), [""; 0]);
}

#[test]
fn a_crash_of_the_process_alone_verifies_nothing() {
    let (root, store) = new_store();
    let target = put_manifest(&store, "1");
    drop(store);
    assert_eq!(marks(root.path()).len(), 1);
    let blob = root.path().join("blobs/sha256").join(digest_of(&target).unwrap().hex());
    fs::write(&blob, "").unwrap();
    drop(Store::open(root.path()).unwrap());
    assert!(blob.exists());
    reboot(root.path());
    drop(Store::open(root.path()).unwrap());
    assert!(!blob.exists());
}

#[test]
fn many_that_open_after_a_power_loss_find_it_mended() {
    let (root, store) = new_store();
    let targets: Vec<_> = (0..20).map(|number| put_manifest(&store, &number.to_string())).collect();
    drop(store);
    for target in &targets[..10] {
        fs::write(root.path().join("blobs/sha256").join(digest_of(target).unwrap().hex()), "").unwrap();
    }
    reboot(root.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = Store::open(root.path()).unwrap();
                assert_eq!(store.blobs().unwrap().len(), 10);
                store.put_fact(&key(1), b"").unwrap();
            });
        }
    });
}

#[test]
fn a_mark_that_another_machine_holds_is_its_own() {
    let (root, store) = new_store();
    store.put_fact(&key(1), b"").unwrap();
    // Held, though of another boot: a disk that two machines share.
    reboot(root.path());
    let before = marks(root.path());
    drop(Store::open(root.path()).unwrap());
    assert_eq!(marks(root.path()), before);
}
