use std::fs;
use std::io::Read;

use image::media_type;

use super::*;
use crate::testing::{file, index_of, make_layer, names, new_store, put_layer_blob};
use crate::{Record, Tree};

fn gzip() -> PackOptions {
    PackOptions::default()
}

#[test]
fn a_layer_is_packed_once_for_each_way() {
    let (root, store) = new_store();
    let id = make_layer(&store, "a", b"content").id().clone();
    let packed = store.pack(&id, &gzip()).unwrap();
    assert_eq!(packed.descriptor.media_type().as_ref(), media_type::OCI_LAYER_GZIP);
    let digest = digest_of(&packed.descriptor).unwrap();
    let blob = root.path().join("blobs/sha256").join(digest.hex());
    let bytes = fs::read(&blob).unwrap();
    assert_eq!((Digest::of(&bytes), bytes.len() as u64), (digest, packed.descriptor.size()));
    let mut tar = Vec::new();
    image::layer::decompress(&bytes[..], Default::default()).unwrap().read_to_end(&mut tar).unwrap();
    assert_eq!(Digest::of(&tar), packed.diff_id);

    let modified = fs::metadata(&blob).unwrap().modified().unwrap();
    drop(store);
    let store = Store::open(root.path()).unwrap();
    assert_eq!(store.pack(&id, &gzip()).unwrap(), packed);
    assert_eq!(fs::metadata(&blob).unwrap().modified().unwrap(), modified);
    let plain = store.pack(&id, &PackOptions { compression: Compression::None, ..gzip() }).unwrap();
    assert_eq!(plain.diff_id, packed.diff_id);
    assert_eq!(digest_of(&plain.descriptor).unwrap(), plain.diff_id);
    assert_eq!(store.blobs().unwrap().len(), 2);
    assert_eq!(store.layer(&id).unwrap().meta().unwrap().diff_id, Some(packed.diff_id));
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn the_diff_id_leads_back_to_the_layer() {
    let (root, store) = new_store();
    let id = make_layer(&store, "a", b"content").id().clone();
    let packed = store.pack(&id, &gzip()).unwrap();
    assert_eq!(store.layer_of_diff_id(&packed.diff_id).unwrap().as_ref(), Some(&id));
    // What comes back from a registry need not be unpacked.
    assert_eq!(store.unpack(&packed.descriptor, &packed.diff_id, &[]).unwrap(), id);
    assert!(store.remove_layer(&id).unwrap());
    assert_eq!(names(&root.path().join("diffs")), [""; 0]);
    assert_eq!(store.layer_of_diff_id(&packed.diff_id).unwrap(), None);
    let again = store.unpack(&packed.descriptor, &packed.diff_id, &[]).unwrap();
    assert_eq!(again.as_str(), packed.diff_id.hex());
}

#[test]
fn a_clamped_packing_is_another() {
    let (_root, store) = new_store();
    let id = make_layer(&store, "a", b"content").id().clone();
    let clamped = store.pack(&id, &PackOptions { clamp_mtime: Some(1_000), ..gzip() }).unwrap();
    assert_eq!(store.layer(&id).unwrap().meta().unwrap().diff_id, None);
    let packed = store.pack(&id, &gzip()).unwrap();
    assert_ne!(clamped, packed);
    assert_eq!(store.layer(&id).unwrap().meta().unwrap().diff_id, Some(packed.diff_id));
    for diff_id in [clamped.diff_id, packed.diff_id] {
        assert_eq!(store.layer_of_diff_id(&diff_id).unwrap().as_ref(), Some(&id));
    }
}

#[test]
fn a_collected_blob_is_made_again_with_the_same_bytes() {
    let (root, store) = new_store();
    let layer = make_layer(&store, "a", b"content");
    let packed = store.pack(layer.id(), &gzip()).unwrap();
    let digest = digest_of(&packed.descriptor).unwrap();
    assert!(store.remove_blob(&digest).unwrap());
    assert_eq!(store.pack(layer.id(), &gzip()).unwrap(), packed);
    assert_eq!(store.check_blob(&digest).unwrap(), None);
    // Unless somebody changed the files.
    assert!(store.remove_blob(&digest).unwrap());
    fs::write(layer.tree().join("a"), "CONTENT").unwrap();
    let error = store.pack(layer.id(), &gzip()).unwrap_err();
    assert!(matches!(error, Error::PackedDiffers { .. } | Error::Pack { .. }), "{error}");
    assert!(!store.has_blob(&digest));
    drop((layer, store));
    assert_eq!(names(&root.path().join("tmp")), ["partial"]);
}

#[test]
fn a_layer_from_outside_is_the_blob_it_came_as() {
    let (_root, store) = new_store();
    let (blob, diff_id) = put_layer_blob(&store, &[file("a", 3)]);
    let id = store.unpack(&blob, &diff_id, &[]).unwrap();
    for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
        let packed = store.pack(&id, &PackOptions { compression, clamp_mtime: Some(0), ..gzip() }).unwrap();
        assert_eq!(packed, Packed { diff_id, descriptor: blob.clone() });
    }
    let digest = digest_of(&blob).unwrap();
    store.remove_blob(&digest).unwrap();
    let error = store.pack(&id, &gzip()).unwrap_err();
    assert!(matches!(&error, Error::MissingSource { blob, .. } if *blob == digest), "{error}");
}

#[test]
fn threads_pack_a_layer_once() {
    let (root, store) = new_store();
    let draft = store.new_layer().unwrap();
    for number in 0..100 {
        fs::write(draft.tree().join(format!("f{number}")), vec![number; 10_000]).unwrap();
    }
    let index = index_of(draft.tree());
    let id = draft.commit(index, 0).unwrap().id().clone();
    let other = Store::open(root.path()).unwrap();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (store, id) = (if number % 2 == 0 { &store } else { &other }, &id);
            let compression = if number < 3 { Compression::GZIP } else { Compression::ZSTD };
            scope.spawn(move || store.pack(id, &PackOptions { compression, ..gzip() }).unwrap());
        }
    });
    // None forgot what another remembered.
    assert_eq!(store.meta(&id).unwrap().packed.len(), 2);
    assert_eq!(store.blobs().unwrap().len(), 2);
}

/// Handles go to other threads.
#[test]
fn handles_can_be_sent() {
    fn check<T: Send + Sync>() {}
    check::<Store>();
    check::<Tree>();
    check::<Record>();
    check::<crate::KeyLock>();
    check::<crate::LayerDraft>();
    check::<crate::PartialBlob>();
    check::<crate::Scratch>();
}

#[test]
fn packing_can_be_stopped_and_done_later() {
    let (root, store) = new_store();
    let layer = make_layer(&store, "a", b"a");
    let stopped = store.pack_unless(layer.id(), &PackOptions::default(), &AtomicBool::new(true)).unwrap_err();
    assert!(stopped.to_string().starts_with("failed to pack"), "{stopped}");
    assert_eq!(store.blobs().unwrap(), []);
    for process in names(&root.path().join("tmp")) {
        assert_eq!(names(&root.path().join("tmp").join(process)), [""; 0]);
    }
    store.pack(layer.id(), &PackOptions::default()).unwrap();
    assert_eq!(store.verify().unwrap(), []);
}
