use std::fs;
use std::os::unix::fs::MetadataExt;

use image::descriptor::descriptor;
use image::layer::Compression;

use super::*;
use crate::testing::{
    damage, directory, file, hardlink, names, new_store, new_store_on_disk, pack_entries, path, put_layer_blob,
    symlink, whiteout,
};

fn sample() -> Vec<image::Entry> {
    vec![directory("d"), file("d/a", 3), hardlink("d/b", "d/a"), symlink("l", "d/a"), whiteout("gone")]
}

/// Checks that a failed unpacking left no layer and nothing else that stays.
#[track_caller]
fn check_nothing(root: &std::path::Path, store: Store) {
    assert_eq!(store.layers().unwrap(), []);
    store.sweep().unwrap();
    drop(store);
    assert_eq!(names(&root.join("layers")), [""; 0]);
    assert_eq!(names(&root.join("tmp")), ["partial"]);
    assert_eq!(names(&root.join("trash")), [""; 0]);
    assert_eq!(names(&root.join("locks")), [""; 0]);
}

#[test]
fn a_blob_becomes_a_layer_under_its_diff_id() {
    let (root, store) = new_store_on_disk();
    let (blob, diff_id) = put_layer_blob(&store, &sample());
    assert_eq!(store.layer_of_diff_id(&diff_id).unwrap(), None);
    let id = store.unpack(&blob, &diff_id, &[]).unwrap();
    assert_eq!(id.as_str(), diff_id.hex());
    assert_eq!(store.layer_of_diff_id(&diff_id).unwrap().as_ref(), Some(&id));
    let layer = store.layer(&id).unwrap();
    assert_eq!(fs::read(layer.tree().join("l")).unwrap(), b"333");
    let links: Vec<u64> = ["d/a", "d/b"].iter().map(|at| fs::metadata(layer.tree().join(at)).unwrap().ino()).collect();
    assert_eq!(links[0], links[1]);
    let expected: Index = sample().into_iter().collect();
    assert_eq!(layer.index().unwrap().content_id(), expected.content_id());
    let meta = layer.meta().unwrap();
    assert_eq!((meta.diff_id, meta.source, meta.content), (Some(diff_id), Some(blob.clone()), expected.content_id()));
    let made = fs::metadata(root.path().join("layers").join(id.as_str())).unwrap().ino();
    assert_eq!(store.unpack(&blob, &diff_id, &[]).unwrap(), id);
    assert_eq!(fs::metadata(root.path().join("layers").join(id.as_str())).unwrap().ino(), made);
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn every_compression_gives_the_same_layer() {
    let (_root, store) = new_store();
    for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
        let (bytes, packed) = pack_entries(&sample(), compression);
        let blob = descriptor(compression.layer_media_type(), packed.digest, packed.size);
        store.put_blob(None, &mut &bytes[..]).unwrap();
        let id = store.unpack(&blob, &packed.diff_id, &[]).unwrap();
        assert_eq!(store.check_layer(&id).unwrap(), None);
        store.remove_layer(&id).unwrap();
    }
}

#[test]
fn another_diff_id_than_promised_leaves_nothing() {
    let (root, store) = new_store();
    let (blob, diff_id) = put_layer_blob(&store, &sample());
    let other = Digest::of(b"other");
    let error = store.unpack(&blob, &other, &[]).unwrap_err();
    assert!(
        matches!(&error, Error::WrongDiffId { expected, actual, .. } if *expected == other && *actual == diff_id),
        "{error}"
    );
    assert!(store.has_blob(&digest_of(&blob).unwrap()));
    check_nothing(root.path(), store);
}

#[test]
fn a_broken_archive_leaves_nothing() {
    let (bytes, packed) = pack_entries(&[file("a", 100_000), file("b", 99_999)], Compression::GZIP);
    let plain = pack_entries(&[file("a", 100_000)], Compression::None).0;
    let mut flipped = bytes.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    for bad in
        [&bytes[..bytes.len() / 2], &bytes[..bytes.len() - 4], b"", b"no archive at all", &plain[..5_000], &flipped]
    {
        let (root, store) = new_store();
        let (digest, size) = store.put_blob(None, &mut &bad[..]).unwrap();
        let blob = descriptor(image::media_type::OCI_LAYER_GZIP, digest, size);
        let error = store.unpack(&blob, &packed.diff_id, &[]).unwrap_err();
        assert!(matches!(error, Error::Unpack { .. } | Error::WrongDiffId { .. } | Error::Io { .. }), "{error}");
        assert!(error.to_string().contains(&digest.hex()), "{error}");
        check_nothing(root.path(), store);
    }
}

#[test]
fn a_blob_that_was_damaged_here_is_dropped() {
    let (root, store) = new_store();
    let (blob, diff_id) = put_layer_blob(&store, &[file("a", 100_000)]);
    let digest = digest_of(&blob).unwrap();
    damage(&root.path().join("blobs/sha256").join(digest.hex()));
    let error = store.unpack(&blob, &diff_id, &[]).unwrap_err();
    assert!(matches!(&error, Error::DamagedBlob { digest: named, .. } if *named == digest), "{error}");
    assert!(!store.has_blob(&digest));
    assert!(matches!(store.unpack(&blob, &diff_id, &[]), Err(Error::MissingBlob(_))));
    check_nothing(root.path(), store);
}

#[test]
fn threads_and_processes_unpack_a_layer_once() {
    let (root, store) = new_store();
    let entries: Vec<_> = (0..200).map(|number| file(&format!("f{number}"), number)).collect();
    let (blob, diff_id) = put_layer_blob(&store, &entries);
    let other = Store::open(root.path()).unwrap();
    let unpack = |store: &Store| {
        let id = store.unpack(&blob, &diff_id, &[]).unwrap();
        fs::metadata(store.layer(&id).unwrap().tree()).unwrap().ino()
    };
    let inodes: Vec<u64> = std::thread::scope(|scope| {
        let (unpack, stores) = (&unpack, [&store, &other]);
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || unpack(stores[number % 2]))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(inodes.iter().all(|inode| *inode == inodes[0]));
    let store = Store::open(root.path()).unwrap();
    assert_eq!(store.layers().unwrap().len(), 1);
    // Nobody had to throw anything away.
    assert_eq!(names(&root.path().join("trash")), [""; 0]);
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn a_hard_link_may_lead_to_a_layer_below() {
    let (_root, store) = new_store();
    let (below, below_id) = put_layer_blob(&store, &[directory("d"), file("d/a", 5)]);
    let below = store.unpack(&below, &below_id, &[]).unwrap();
    // An index cannot say it, a tar can.
    let mut tar = image::layer::TarWriter::new(Vec::new());
    tar.append(&hardlink("d/b", "d/a"), |_| Ok(std::io::empty())).unwrap();
    let tar = tar.finish().unwrap();
    let (digest, size) = store.put_blob(None, &mut &tar[..]).unwrap();
    let blob = descriptor(image::media_type::OCI_LAYER, digest, size);
    assert!(matches!(store.unpack(&blob, &digest, &[]), Err(Error::Unpack { .. })));
    let id = store.unpack(&blob, &digest, std::slice::from_ref(&below)).unwrap();
    let tree = store.tree(&[below, id]).unwrap();
    assert_eq!(tree.data(&path("d/b")).unwrap().0, 5);
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn the_flavor_follows_from_who_runs() {
    let (overlay, ids) = layer_flavor();
    let file = tempfile::NamedTempFile::new().unwrap();
    // The kernel says the same.
    assert_eq!(std::os::unix::fs::chown(file.path(), Some(1), Some(1)).is_ok(), ids == Ids::Keep);
    let trusted = rustix::fs::setxattr(file.path(), "trusted.overlay.x", b"y", rustix::fs::XattrFlags::empty());
    assert_eq!(trusted.is_ok(), overlay == OverlayXattr::Trusted);
}
