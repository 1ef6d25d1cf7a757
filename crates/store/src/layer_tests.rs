use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::testing::{damage, index_of, make_layer, names, new_store, path};

#[test]
fn a_draft_becomes_a_layer() {
    let (root, store) = new_store();
    let draft = store.new_layer().unwrap();
    assert_eq!(fs::metadata(draft.tree()).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(draft.tree().parent(), draft.work().parent());
    fs::write(draft.tree().join("file"), "content").unwrap();
    // What overlay leaves there.
    fs::create_dir_all(draft.work().join("work/incompat")).unwrap();
    fs::set_permissions(draft.work().join("work"), fs::Permissions::from_mode(0o0)).unwrap();
    let index = index_of(draft.tree());
    let layer = draft.commit(index.clone(), 1_234).unwrap();
    assert_eq!(layer.id().as_str().len(), 32);
    assert_eq!(layer.tree(), root.path().join("layers").join(layer.id().as_str()).join("tree"));
    assert_eq!(fs::read_to_string(layer.tree().join("file")).unwrap(), "content");
    assert_eq!(names(layer.tree().parent().unwrap()), ["index", "meta", "tree"]);
    let expected = LayerMeta { content: index.content_id(), created: 1_234, diff_id: None, source: None };
    let id = layer.id().clone();
    drop((layer, store));
    let store = Store::open(root.path()).unwrap();
    assert_eq!(store.layers().unwrap(), std::slice::from_ref(&id));
    let layer = store.layer(&id).unwrap();
    assert_eq!((layer.meta().unwrap(), &*layer.index().unwrap()), (expected, &index));
    assert!(layer.index().unwrap().get(&path("file")).is_some());
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn a_dropped_draft_leaves_nothing() {
    let (root, store) = new_store();
    let draft = store.new_layer().unwrap();
    fs::write(draft.tree().join("file"), "content").unwrap();
    drop(draft);
    assert_eq!(names(&root.path().join("trash")).len(), 1);
    store.sweep().unwrap();
    assert_eq!(names(&root.path().join("trash")), [""; 0]);
    assert_eq!(store.layers().unwrap(), []);
    drop(store);
    assert_eq!(names(&root.path().join("tmp")), ["partial"]);
}

#[test]
fn two_layers_of_equal_content_are_two() {
    let (_root, store) = new_store();
    let (first, second) = (make_layer(&store, "a", b"a"), make_layer(&store, "a", b"a"));
    assert_ne!(first.id(), second.id());
    assert_eq!(store.layers().unwrap().len(), 2);
}

#[test]
fn a_removed_layer_is_missing() {
    let (_root, store) = new_store();
    let layer = make_layer(&store, "a", b"a");
    assert!(store.remove_layer(layer.id()).unwrap() && !store.remove_layer(layer.id()).unwrap());
    assert!(!store.has_layer(layer.id()) && !layer.tree().exists());
    for error in [
        store.layer(layer.id()).map(drop).unwrap_err(),
        layer.meta().map(drop).unwrap_err(),
        layer.index().map(drop).unwrap_err(),
        store.tree(std::slice::from_ref(layer.id())).map(drop).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::MissingLayer(id) if id == layer.id()), "{error}");
    }
}

#[test]
fn damage_is_an_error_that_names_the_layer() {
    let (root, store) = new_store();
    let id = make_layer(&store, "a", b"a").id().clone();
    drop(store);
    let directory = root.path().join("layers").join(id.as_str());
    damage(&directory.join("index"));
    let store = Store::open(root.path()).unwrap();
    let error = store.layer(&id).unwrap().index().unwrap_err();
    assert!(matches!(&error, Error::DamagedLayer { id: named, .. } if *named == id), "{error}");
    for text in
        ["", "{}", "{\"version\":2,\"content\":\"\",\"created\":0}", "{\"version\":1,\"content\":\"x\",\"created\":0}"]
    {
        fs::write(directory.join("meta"), text).unwrap();
        assert!(matches!(store.layer(&id).unwrap().meta(), Err(Error::DamagedLayer { .. })), "{text}");
    }
    fs::remove_file(directory.join("meta")).unwrap();
    assert!(matches!(store.layer(&id).unwrap().meta(), Err(Error::DamagedLayer { .. })));
}

#[test]
fn only_names_of_layers_are_layer_ids() {
    let hex = "0123456789abcdef";
    for good in [hex.repeat(2), hex.repeat(4)] {
        assert_eq!(LayerId::parse(&good).unwrap().as_str(), good);
    }
    for bad in ["", "..", hex, &hex.to_uppercase().repeat(2), &hex.repeat(3), &format!("../{}", &hex.repeat(2)[3..])] {
        assert_eq!(LayerId::parse(bad), None, "{bad}");
    }
}
