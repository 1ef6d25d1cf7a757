use super::*;
use crate::testing::{draft, make_layer, new_store, put_layer_blob};
use crate::{Holder, Policy, Target, What};

fn name(text: &str) -> image::Reference {
    text.parse().unwrap()
}

fn draft_of(layers: &[&crate::Layer]) -> Draft {
    let mut draft = draft(layers[0].id());
    draft.images[0].layers = layers.iter().map(|layer| layer.id().clone()).collect();
    draft
}

/// An image from outside with one layer: its manifest, and the blob of the layer.
fn put_base(store: &Store) -> (Descriptor, Digest) {
    let (layer, diff_id) = put_layer_blob(store, &[crate::testing::file("base", 3)]);
    let mut config = ImageConfig::default();
    config.rootfs.diff_ids.push(diff_id);
    let config = store.put_document(media_type::OCI_CONFIG, &config.to_json()).unwrap();
    let manifest = Manifest::build(&config, std::slice::from_ref(&layer), Style::Oci, &BTreeMap::new()).unwrap();
    (store.put_document(manifest.media_type, &manifest.bytes).unwrap(), digest_of(&layer).unwrap())
}

fn read_manifest(store: &Store, descriptor: &Descriptor) -> Manifest {
    let bytes = store.read_blob(&digest_of(descriptor).unwrap(), 1 << 20).unwrap();
    Manifest::parse(bytes, Some(descriptor.media_type().as_ref())).unwrap()
}

#[test]
fn a_draft_is_named_by_its_content_and_read_back() {
    let (_root, store) = new_store();
    let layer = make_layer(&store, "a", b"a");
    let (base, _) = put_base(&store);
    let mut draft = draft_of(&[&layer]);
    draft.images[0].base = Some(base);
    draft.epoch = Some(-5);
    draft.compression = Compression::Zstd { level: 3 };
    draft.index_annotations.insert("a".into(), "b".into());
    draft.images[0].annotations.insert("c".into(), "d".into());
    draft.images[0].entry_annotations.insert("e".into(), "f".into());
    draft.images[0].config.config.env = vec!["A=b".into()];
    draft.images[0].config.history.push(image::config::History { created_by: Some("x".into()), ..Default::default() });
    let id = store.put_draft(&draft).unwrap();
    assert_eq!(store.draft(&id).unwrap(), Some(draft.clone()));
    assert_eq!(store.put_draft(&draft).unwrap(), id);
    draft.epoch = None;
    assert_ne!(store.put_draft(&draft).unwrap(), id);
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn annotations_of_all_images_are_read_as_those_of_each() {
    let (_root, store) = new_store();
    let mut draft = draft_of(&[&make_layer(&store, "a", b"a")]);
    draft.images[0].annotations.insert("own".into(), "1".into());
    let mut document: serde_json::Value = serde_json::from_slice(&draft.document().unwrap()).unwrap();
    assert_eq!(document.get("annotations"), None);
    document["annotations"] = serde_json::json!({ "own": "2", "common": "3" });
    draft.images[0].annotations.insert("common".into(), "3".into());
    assert_eq!(Draft::parse(&serde_json::to_vec(&document).unwrap()), Some(draft));
}

#[test]
fn an_image_is_packed_when_somebody_asks_and_only_then() {
    let (_root, store) = new_store();
    let layer = make_layer(&store, "a", b"a");
    let id = store.put_draft(&draft_of(&[&layer])).unwrap();
    store.tag(&name("a:1"), &id).unwrap();
    store.tag(&name("a:2"), store.target(&name("a:1")).unwrap().unwrap()).unwrap();
    assert_eq!(store.target(&name("a:2")).unwrap(), Some(Target::Draft(id)));
    assert_eq!((store.resolve(&name("a:1")).unwrap(), store.blobs().unwrap()), (None, vec![]));

    let made = store.assemble(&id).unwrap();
    // Both names have the digest now, and are found by it.
    let digest = digest_of(&made).unwrap();
    for name in [name("a:1"), name("a:2"), name("a").with_digest(digest)] {
        assert_eq!(store.resolve(&name).unwrap().as_ref(), Some(&made), "{name}");
    }
    assert_eq!(store.target(&name("a").with_digest(digest)).unwrap(), Some(Target::Manifest(made.clone())));
    let manifest = read_manifest(&store, &made);
    let packed = store.pack(layer.id(), &PackOptions::default()).unwrap();
    assert_eq!(manifest.as_image().unwrap().layers(), &[packed.descriptor]);
    // The same draft again is the same image, and knows it.
    assert_eq!(store.put_draft(&draft_of(&[&layer])).unwrap(), id);
    assert_eq!(store.assembled(&id).unwrap(), Some(made.clone()));
    assert_eq!(store.make_image(&draft_of(&[&layer])).unwrap(), made);
    // What is gone is made again.
    store.remove_blob(&digest).unwrap();
    assert_eq!(store.resolve(&name("a:1")).unwrap(), None);
    assert_eq!(store.assemble(&id).unwrap(), made);
}

#[test]
fn layers_of_the_base_come_first_and_several_platforms_give_an_index() {
    let (_root, store) = new_store();
    let layer = make_layer(&store, "a", b"a");
    let (base, blob) = put_base(&store);
    let mut draft = draft_of(&[&layer]);
    draft.images[0].base = Some(base);
    let one = store.make_image(&draft).unwrap();
    let layers = read_manifest(&store, &one).layers().unwrap();
    assert_eq!((layers.len(), layers[0].digest), (2, blob));
    let mut other = draft.images[0].clone();
    other.platform = "linux/arm64/v8".parse().unwrap();
    other.config.architecture = "arm64".into();
    draft.images.push(other);
    let index = read_manifest(&store, &store.make_image(&draft).unwrap());
    let entries = index.as_index().unwrap().manifests();
    assert_eq!(entries[0].digest(), one.digest());
    assert_eq!(entries[1].platform().as_ref().unwrap().architecture().to_string(), "arm64");
}

#[test]
fn two_who_pack_at_once_agree() {
    let (_root, store) = new_store();
    let layers: Vec<_> = (0..4).map(|n: u8| make_layer(&store, &n.to_string(), &[n; 1000])).collect();
    let id = store.put_draft(&draft_of(&layers.iter().collect::<Vec<_>>())).unwrap();
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| store.assemble(&id).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|one| *one == made[0]));
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn a_named_draft_keeps_what_it_is_made_of() {
    let (_root, store) = new_store();
    let layer = make_layer(&store, "a", b"a");
    let (base, blob) = put_base(&store);
    let mut draft = draft_of(&[&layer]);
    draft.images[0].base = Some(base.clone());
    let id = store.put_draft(&draft).unwrap();
    store.tag(&name("a"), &id).unwrap();
    let all = Policy { now: i64::MAX, all: true, until: None, keep_storage: None, grace: 0 };
    assert_eq!(store.collect(&all).unwrap().items, []);
    let kept = |what: &What| matches!(what, What::Draft(_) | What::Layer(_) | What::Blob(_));
    for item in store.usage().unwrap().into_iter().filter(|item| kept(&item.what)) {
        assert_eq!(item.holders, [Holder::Name(name("a:latest"))], "{}", item.path);
    }
    assert!(store.has_layer(layer.id()) && store.has_blob(&blob) && store.has_blob(&digest_of(&base).unwrap()));
    let made = store.assemble(&id).unwrap();
    assert_eq!(store.collect(&all).unwrap().items, []);
    // Without its name nothing keeps it, and what goes first is what names the rest.
    store.untag(&name("a")).unwrap();
    let taken = store.collect(&all).unwrap().items;
    assert_eq!(taken[0].what, What::Draft(id));
    assert!(store.draft(&id).unwrap().is_none() && !store.has_layer(layer.id()));
    assert!(!store.has_blob(&digest_of(&made).unwrap()));
    assert!(!store.usage().unwrap().iter().any(|item| kept(&item.what)));
}

#[test]
fn a_damaged_draft_is_none_and_so_is_one_without_its_layers() {
    let (root, store) = new_store();
    let layer = make_layer(&store, "a", b"a");
    let id = store.put_draft(&draft_of(&[&layer])).unwrap();
    store.tag(&name("a"), &id).unwrap();
    let file = root.path().join(format!("drafts/{id}"));
    let whole = std::fs::read(&file).unwrap();
    for at in [0, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&file, damaged).unwrap();
        assert_eq!(store.draft(&id).unwrap(), None);
        assert!(matches!(store.assemble(&id), Err(Error::MissingDraft(_))));
        // The draft, and the name that stands for it.
        assert_eq!(store.verify().unwrap().len(), 2);
    }
    // Building again mends it.
    store.put_draft(&draft_of(&[&layer])).unwrap();
    assert_eq!(store.verify().unwrap(), []);
    store.remove_layer(layer.id()).unwrap();
    assert!(store.verify().unwrap()[0].reason.contains("is gone"));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(store.target(&name("a")).unwrap(), None);
    assert!(matches!(store.tag(&name("b"), &id), Err(Error::MissingDraft(_))));
}
