use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::testing::{names, new_store};

#[test]
fn a_new_store_keeps_others_out_and_is_opened_again() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("a/b");
    drop(Store::open(&root).unwrap());
    let store = Store::open(&root).unwrap();
    assert_eq!(store.root(), root);
    assert_eq!(std::fs::read_to_string(root.join("format")).unwrap(), "kiln store 1\n");
    for name in LAYOUT.iter().map(|name| root.join(name)).chain([root.clone(), root.join("blobs/sha256")]) {
        assert_eq!(std::fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o700, "{}", name.display());
    }
    let mut expected: Vec<&str> = LAYOUT.to_vec();
    expected.push("format");
    expected.sort_unstable();
    assert_eq!(names(&root), expected);
    assert_eq!(names(&root.join("tmp")), ["partial"]);
}

#[test]
fn another_format_is_refused() {
    let (root, store) = new_store();
    drop(store);
    std::fs::write(root.path().join("format"), "kiln store 2\n").unwrap();
    let error = Store::open(root.path()).unwrap_err();
    assert!(matches!(&error, Error::Format { found, .. } if found == "kiln store 2"), "{error}");
    assert!(error.to_string().contains("KILN_ROOT"), "{error}");
}

#[test]
fn a_directory_of_something_else_is_not_made_a_store() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("tmp")).unwrap();
    std::fs::create_dir(root.path().join("home")).unwrap();
    let error = Store::open(root.path()).unwrap_err();
    assert!(matches!(&error, Error::NotAStore { found, .. } if found == "home"), "{error}");
    assert_eq!(names(root.path()), ["home", "tmp"]);
}

#[test]
fn a_fresh_filesystem_and_an_interrupted_start_become_a_store() {
    let root = tempfile::tempdir().unwrap();
    for name in ["lost+found", "blobs", "tmp"] {
        std::fs::create_dir(root.path().join(name)).unwrap();
    }
    assert_eq!(Store::open(root.path()).unwrap().verify().unwrap(), []);
}

#[test]
fn what_cannot_be_a_directory_is_named_with_a_way_out() {
    let root = tempfile::NamedTempFile::new().unwrap();
    for path in [root.path().to_owned(), root.path().join("below"), "/proc/kiln".into()] {
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, Error::Open { .. }), "{error}");
        assert!(
            error.to_string().contains("KILN_ROOT") && error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn collection_waits_for_all_who_use_the_store() {
    let (root, first) = new_store();
    let second = Store::open(root.path()).unwrap();
    let clone = second.clone();
    drop((first, second));
    assert!(Store::try_exclusive(root.path()).unwrap().is_none());
    drop(clone);
    let alone = Store::try_exclusive(root.path()).unwrap().unwrap();
    assert!(Store::try_exclusive(root.path()).unwrap().is_none());
    let waiting = std::thread::spawn({
        let root = root.path().to_owned();
        move || Store::open(&root).unwrap().put_blob(None, &mut &b"late"[..]).unwrap()
    });
    // Whoever comes now waits; nothing can appear before the store is let go.
    assert!(!waiting.is_finished() && alone.blobs().unwrap().is_empty());
    drop(alone);
    let (digest, _) = waiting.join().unwrap();
    assert!(Store::exclusive(root.path()).unwrap().has_blob(&digest));
}

#[test]
fn many_that_make_one_store_share_its_lock() {
    let root = tempfile::tempdir().unwrap();
    let stores: Vec<Store> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| Store::open(root.path()).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for store in stores {
        assert!(Store::try_exclusive(root.path()).unwrap().is_none());
        drop(store);
    }
    assert!(Store::try_exclusive(root.path()).unwrap().is_some());
    assert_eq!(names(&root.path().join("tmp")), ["partial"]);
}
