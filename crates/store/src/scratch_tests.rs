use std::fs::{self, File};

use image::Digest;

use super::*;
use crate::testing::{child, child_root, names, new_store};

#[test]
fn a_scratch_directory_goes_with_all_that_is_in_it() {
    let (root, store) = new_store();
    let scratch = store.scratch().unwrap();
    fs::create_dir_all(scratch.path().join("a/b")).unwrap();
    fs::write(scratch.path().join("a/b/c"), "c").unwrap();
    let path = scratch.path().to_owned();
    assert!(path.starts_with(root.path().join("tmp")));
    drop(scratch);
    assert!(!path.exists());
    assert_eq!(names(&root.path().join("trash")), [""; 0]);
    drop(store);
    assert_eq!(names(&root.path().join("tmp")), ["partial"]);
}

#[test]
fn a_sweep_takes_what_the_dead_left_and_nothing_else() {
    let (root, store) = new_store();
    let tmp = root.path().join("tmp");
    fs::create_dir_all(tmp.join("p-dead/0/tree")).unwrap();
    fs::write(tmp.join("p-dead/0/tree/file"), "x").unwrap();
    fs::create_dir(tmp.join("other")).unwrap();
    fs::write(root.path().join("trash/old"), "x").unwrap();
    let mine = store.scratch().unwrap();
    let other = Store::open(root.path()).unwrap();
    let theirs = other.scratch().unwrap();
    store.sweep().unwrap();
    assert!(mine.path().exists() && theirs.path().exists());
    assert!(!tmp.join("p-dead").exists() && tmp.join("other").exists());
    assert_eq!(names(&root.path().join("trash")), [""; 0]);
}

#[test]
fn a_sweep_leaves_downloads_that_can_go_on() {
    let (root, store) = new_store();
    let file = |digest: &Digest| root.path().join("tmp/partial").join(digest.hex());
    let [fresh, here, old, held] = [b"fresh", b"here!", b"old!!", b"held!"].map(|text| Digest::of(text));
    for digest in [&fresh, &here, &old, &held] {
        fs::write(file(digest), "x").unwrap();
    }
    store.put_blob(None, &mut &b"here!"[..]).unwrap();
    let long_ago = SystemTime::now() - PARTIAL_AGE - Duration::from_secs(60);
    for digest in [&old, &held] {
        File::options().write(true).open(file(digest)).unwrap().set_modified(long_ago).unwrap();
    }
    let download = store.partial_blob(&held).unwrap().unwrap();
    store.sweep().unwrap();
    assert_eq!([&fresh, &here, &old, &held].map(|digest| file(digest).exists()), [true, false, false, true]);
    drop(download);
}

#[test]
fn a_sweep_removes_the_locks_of_the_dead() {
    let (root, store) = new_store();
    fs::write(root.path().join("locks/left"), "").unwrap();
    let _held = store.lock_named("held", true).unwrap();
    Store::open(root.path()).unwrap().sweep().unwrap();
    assert_eq!(names(&root.path().join("locks")), ["held"]);
}

#[test]
fn sweeps_at_once_do_not_disturb_each_other_or_those_who_work() {
    let (root, store) = new_store();
    for number in 0..50 {
        fs::create_dir_all(root.path().join(format!("tmp/p-{number}/a/b"))).unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let store = Store::open(root.path()).unwrap();
                (0..10).for_each(|_| store.sweep().unwrap());
            });
            scope.spawn(|| {
                for number in 0..50_u8 {
                    let store = Store::open(root.path()).unwrap();
                    store.put_blob(None, &mut &[number][..]).unwrap();
                    assert!(store.scratch().unwrap().path().is_dir());
                }
            });
        }
    });
    store.sweep().unwrap();
    assert_eq!(names(&root.path().join("tmp")), ["partial"]);
    assert_eq!(store.blobs().unwrap().len(), 50);
}

#[test]
fn the_kernel_tells_that_a_killed_process_is_dead() {
    let (root, store) = new_store();
    let mut child = child("scratch::tests::holds_a_scratch_directory", root.path()).spawn().unwrap();
    let scratch = loop {
        let found = names(&root.path().join("tmp")).into_iter().find(|name| name.starts_with(PREFIX));
        if let Some(name) = found
            && root.path().join("tmp").join(&name).join("0/file").exists()
        {
            break root.path().join("tmp").join(name);
        }
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    };
    store.sweep().unwrap();
    assert!(scratch.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    store.sweep().unwrap();
    assert!(!scratch.exists());
}

#[test]
#[ignore = "a process that another test starts and kills"]
fn holds_a_scratch_directory() {
    let Some(root) = child_root() else { return };
    let scratch = Store::open(&root).unwrap().scratch().unwrap();
    fs::write(scratch.path().join("file"), "x").unwrap();
    loop {
        std::thread::park();
    }
}
