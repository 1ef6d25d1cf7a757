use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use image::ContentId;
use image::descriptor::digest_of;

use super::*;
use crate::Record;
use crate::testing::{damage, directory, file, hardlink, key, make_layer, new_store, put_layer_blob, put_manifest};

#[track_caller]
fn check(store: &Store, expected: &[(&str, &str)]) {
    let found = store.verify().unwrap();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (problem, (name, reason)) in found.iter().zip(expected) {
        assert!(
            problem.name.starts_with(name) && problem.reason.contains(reason),
            "{problem:?}, expected {name} {reason}"
        );
    }
}

#[test]
fn each_kind_of_damage_is_found() {
    let (root, store) = new_store();
    let at = |name: &str| root.path().join(name);
    let target = put_manifest(&store, "1");
    let other = put_manifest(&store, "2");
    store.tag(&"a:b".parse().unwrap(), &target).unwrap();
    store.put_fact(&key(1), b"fact").unwrap();
    store.put_context_index("c", b"index").unwrap();
    let layer = make_layer(&store, "f", b"some data");
    let record = Record { layer: layer.id().clone(), content: ContentId([0; 32]), created: 0, inputs: Vec::new() };
    store.put_record(&key(1), &record).unwrap();
    store.put_record(&key(2), &record).unwrap();
    check(&store, &[]);

    damage(&at("facts/01").join(key(1).hex()));
    damage(&at("contexts/c"));
    damage(&at("records/01").join(key(1).hex()));
    damage(&at("blobs/sha256").join(digest_of(&other).unwrap().hex()));
    fs::remove_file(at("blobs/sha256").join(digest_of(&target).unwrap().hex())).unwrap();
    store.remove_layer(layer.id()).unwrap();
    check(
        &store,
        &[
            ("blobs/sha256/", "its bytes have the digest"),
            ("refs/docker.io/library/a/:b", "is not there"),
            ("records/01/", "damaged"),
            ("records/02/", "is gone"),
            ("facts/01/", "damaged"),
            ("contexts/c", "damaged"),
        ],
    );
}

#[test]
fn each_difference_of_a_layer_and_its_index_is_found() {
    let entries =
        [directory("d"), file("d/a", 5), hardlink("d/b", "d/a"), crate::testing::symlink("l", "d"), file("z", 0)];
    let change = |action: &dyn Fn(&std::path::Path), reason: &str| {
        let (_root, store) = new_store();
        let (blob, diff_id) = put_layer_blob(&store, &entries);
        let id = store.unpack(&blob, &diff_id, &[]).unwrap();
        check(&store, &[]);
        action(store.layer(&id).unwrap().tree());
        check(&store, &[(&format!("layers/{id}"), reason)]);
    };
    change(&|tree| fs::write(tree.join("d/a"), "5x555").unwrap(), "/d/a has other data");
    change(&|tree| fs::write(tree.join("d/a"), "").unwrap(), "/d/a has 0 bytes instead of 5");
    change(&|tree| fs::remove_file(tree.join("z")).unwrap(), "/z is missing");
    change(&|tree| fs::write(tree.join("d/new"), "").unwrap(), "/d/new is not in its index");
    change(&|tree| fs::write(tree.parent().unwrap().join("index"), "").unwrap(), "damaged layer index");
    change(
        &|tree| {
            fs::remove_file(tree.join("l")).unwrap();
            symlink("x", tree.join("l")).unwrap();
        },
        "/l leads elsewhere",
    );
    change(
        &|tree| {
            fs::remove_file(tree.join("d/b")).unwrap();
            fs::write(tree.join("d/b"), "55555").unwrap();
        },
        "/d/b is a file of its own",
    );
    change(
        &|tree| {
            fs::remove_dir_all(tree.join("d")).unwrap();
            symlink("/", tree.join("d")).unwrap();
        },
        "/d is of another kind",
    );
    change(
        &|tree| {
            let meta = tree.parent().unwrap().join("meta");
            let text = fs::read_to_string(&meta).unwrap();
            let content = text.split('"').nth(5).unwrap().to_owned();
            fs::write(&meta, text.replace(&content, &"0".repeat(64))).unwrap();
        },
        "another content id",
    );
    change(&|tree| fs::set_permissions(tree.join("z"), fs::Permissions::from_mode(0o4755)).unwrap(), "mode");
}
