use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::testing::{child, child_root, key, names, new_store};

#[test]
fn one_thread_at_a_time() {
    let (root, store) = new_store();
    let (inside, total) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let _lock = store.lock_key(&key(1)).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    total.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(total.into_inner(), 400);
    assert_eq!(names(&root.path().join("locks")), [""; 0]);
}

#[test]
fn other_keys_are_free() {
    let (_root, store) = new_store();
    let held = store.lock_key(&key(1)).unwrap();
    assert!(store.try_lock_key(&key(1)).unwrap().is_none());
    assert!(store.try_lock_key(&key(2)).unwrap().is_some());
    drop(held);
    assert!(store.try_lock_key(&key(1)).unwrap().is_some());
}

/// A counter that loses steps unless one process at a time reads and writes it.
#[test]
fn one_process_at_a_time() {
    let (root, _store) = new_store();
    std::fs::write(root.path().join("builds/counter"), "0").unwrap();
    let children: Vec<_> = (0..4).map(|_| child("lock::tests::counts", root.path()).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(std::fs::read_to_string(root.path().join("builds/counter")).unwrap(), "400");
}

#[test]
#[ignore = "a process that another test starts"]
fn counts() {
    let Some(root) = child_root() else { return };
    let store = Store::open(&root).unwrap();
    let file = root.join("builds/counter");
    for _ in 0..100 {
        let _lock = store.lock_key(&key(7)).unwrap();
        let count: u32 = std::fs::read_to_string(&file).unwrap().parse().unwrap();
        std::fs::write(&file, (count + 1).to_string()).unwrap();
    }
}

#[test]
fn the_lock_of_a_killed_process_is_free() {
    let (root, store) = new_store();
    let mut child = child("lock::tests::holds_a_lock", root.path()).spawn().unwrap();
    // The context says that the lock is held.
    while store.context_index("held").unwrap().is_none() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    assert!(store.try_lock_key(&key(1)).unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    drop(store.lock_key(&key(1)).unwrap());
    assert_eq!(names(&root.path().join("locks")), [""; 0]);
}

#[test]
#[ignore = "a process that another test starts and kills"]
fn holds_a_lock() {
    let Some(root) = child_root() else { return };
    let store = Store::open(&root).unwrap();
    let _lock = store.lock_key(&key(1)).unwrap();
    store.put_context_index("held", b"").unwrap();
    loop {
        std::thread::park();
    }
}
