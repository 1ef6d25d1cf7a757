use super::*;
use crate::testing::{names, new_store, put_layer_blob, put_manifest};

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn digest(target: &Descriptor) -> Digest {
    digest_of(target).unwrap()
}

#[test]
fn a_name_stands_for_what_it_was_last_given() {
    let (root, store) = new_store();
    let (first, second) = (put_manifest(&store, "1"), put_manifest(&store, "2"));
    assert_eq!(store.resolve(&name("busybox:1.36")).unwrap(), None);
    store.tag(&name("busybox:1.36"), &first).unwrap();
    let file = root.path().join("refs/docker.io/library/busybox/:1.36");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(json, serde_json::json!({ "version": 1, "manifest": first }));
    assert_eq!(store.resolve(&name("busybox:1.36")).unwrap(), Some(first.clone()));
    store.tag(&name("busybox:1.36"), &second).unwrap();
    assert_eq!(store.resolve(&name("busybox:1.36")).unwrap(), Some(second));
    store.tag(&name("busybox"), &first).unwrap();
    assert_eq!(store.resolve(&name("busybox:latest")).unwrap(), Some(first));
    assert!(store.untag(&name("busybox:1.36")).unwrap() && !store.untag(&name("busybox:1.36")).unwrap());
    assert_eq!(store.resolve(&name("busybox:1.36")).unwrap(), None);
    assert!(store.untag(&name("busybox")).unwrap());
    assert_eq!(names(&root.path().join("refs")), [""; 0]);
}

#[test]
fn names_that_look_alike_are_kept_apart() {
    let (_root, store) = new_store();
    let all =
        ["a:b", "a/b:c", "a/b/c:d", "localhost:5000/a:b", "localhost/a:b", "[::1]:5000/a:b", "a:B", "a__b/c-d:_e.f-g"];
    let targets: Vec<_> = all.iter().map(|text| put_manifest(&store, text)).collect();
    for (text, target) in all.iter().zip(&targets) {
        store.tag(&name(text), target).unwrap();
    }
    for (text, target) in all.iter().zip(&targets) {
        assert_eq!(store.resolve(&name(text)).unwrap().as_ref(), Some(target), "{text}");
    }
    let mut expected: Vec<_> = all.iter().map(|text| name(text)).zip(targets.iter().map(Target::from)).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(store.references().unwrap(), expected);
    assert!(store.untag(&name("a/b:c")).unwrap());
    assert!(store.resolve(&name("a/b/c:d")).unwrap().is_some());
}

#[test]
fn a_digest_is_found_under_any_name_of_the_repository() {
    let (root, store) = new_store();
    let target = put_manifest(&store, "1");
    let by_digest = name("a:whatever").with_digest(digest(&target));
    store.tag(&name("a:b"), &target).unwrap();
    assert_eq!(store.resolve(&by_digest).unwrap(), Some(target.clone()));
    // And as a bare manifest, under no name at all.
    store.untag(&name("a:b")).unwrap();
    assert_eq!(store.resolve(&by_digest).unwrap(), Some(target.clone()));
    // A name with a digest is a name of its own.
    store.tag(&by_digest, &target).unwrap();
    assert!(root.path().join(format!("refs/docker.io/library/a/@{}", digest(&target))).is_file());
    let listed = store.references().unwrap();
    assert_eq!(listed, [(name(&format!("a@{}", digest(&target))), Target::from(&target))]);
    assert!(store.untag(&by_digest).unwrap());
    let (layer, _) = put_layer_blob(&store, &[]);
    assert_eq!(store.resolve(&name("a").with_digest(digest(&layer))).unwrap(), None);
    assert_eq!(store.resolve(&name("a").with_digest(Digest::of(b"absent"))).unwrap(), None);
}

#[test]
fn only_what_is_here_can_be_named() {
    let (_root, store) = new_store();
    let target = put_manifest(&store, "1");
    let other = put_manifest(&store, "2");
    let wrong = name("a").with_digest(digest(&other));
    assert!(matches!(store.tag(&wrong, &target), Err(Error::Tag { .. })));
    store.tag(&name("a"), &target).unwrap();
    store.remove_blob(&digest(&target)).unwrap();
    assert!(matches!(store.tag(&name("b"), &target), Err(Error::MissingBlob(_))));
    // The image is gone: it has to be asked for elsewhere.
    assert_eq!(store.resolve(&name("a")).unwrap(), None);
    assert_eq!(store.references().unwrap().len(), 1);
}

#[test]
fn a_damaged_file_names_nothing() {
    let (root, store) = new_store();
    let target = put_manifest(&store, "1");
    store.tag(&name("a:b"), &target).unwrap();
    let file = root.path().join("refs/docker.io/library/a/:b");
    for text in ["", "{", "{\"version\":1}", &format!("{{\"version\":2,\"manifest\":{}}}", serde_json::json!(target))] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(store.resolve(&name("a:b")).unwrap(), None, "{text}");
        assert_eq!(store.references().unwrap(), [], "{text}");
    }
    store.tag(&name("a:b"), &target).unwrap();
    assert_eq!(store.resolve(&name("a:b")).unwrap(), Some(target));
}

#[test]
fn no_name_leads_out_of_its_directory() {
    let (_root, store) = new_store();
    let target = put_manifest(&store, "1");
    let make = |registry: &str, repository: &str, tag: &str| Reference {
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        tag: Some(tag.to_owned()),
        digest: None,
    };
    let bad = [
        ("..", "a", "b"),
        ("r", "../a", "b"),
        ("r", "a/..", "b"),
        ("r", "a//c", "b"),
        ("r", "a", "../b"),
        ("r", "a", ""),
    ];
    for (registry, repository, tag) in
        bad.into_iter().chain([("", "a", "b"), ("r", "", "b"), ("r", ":a", "b"), ("r/s", "a", "b")])
    {
        let name = make(registry, repository, tag);
        assert!(matches!(store.tag(&name, &target), Err(Error::InvalidName { .. })), "{name:?}");
        assert!(matches!(store.resolve(&name), Err(Error::InvalidName { .. })), "{name:?}");
        assert!(matches!(store.untag(&name), Err(Error::InvalidName { .. })), "{name:?}");
    }
}

#[test]
fn names_come_and_go_at_once() {
    let (_root, store) = new_store();
    let target = put_manifest(&store, "1");
    store.tag(&name("stays/here:always"), &target).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, target) = (&store, &target);
            scope.spawn(move || {
                for _ in 0..100 {
                    // All in one directory, which each of them may find empty and remove.
                    let name = name(&format!("some/where/deep:{thread}"));
                    store.tag(&name, target).unwrap();
                    assert_eq!(store.resolve(&name).unwrap().as_ref(), Some(target));
                    assert!(store.untag(&name).unwrap());
                }
            });
        }
    });
    assert_eq!(store.references().unwrap().len(), 1);
}
