use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::testing::{names, new_store};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn links_are_removed_and_not_followed() {
    let (root, store) = new_store();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "x").unwrap();
    fs::create_dir(root.path().join("trash/a")).unwrap();
    symlink(outside.path(), root.path().join("trash/a/link")).unwrap();
    symlink(outside.path(), root.path().join("trash/link")).unwrap();
    empty(store.dir()).unwrap();
    assert_eq!(names(&root.path().join("trash")), [""; 0]);
    assert!(outside.path().join("file").exists());
}

#[test]
fn depth_costs_no_descriptors() {
    let (root, store) = new_store();
    let mut at = fs::File::open(root.path().join("trash")).unwrap();
    for _ in 0..500 {
        rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap().into();
    }
    empty(store.dir()).unwrap();
    assert_eq!(names(&root.path().join("trash")), [""; 0]);
}

#[test]
fn directories_that_may_not_be_written_go_too() {
    let (root, store) = new_store();
    let tree = root.path().join("trash/tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/file"), "x").unwrap();
    fs::create_dir(tree.join("shut")).unwrap();
    set_mode(&tree.join("a/b"), 0o555);
    set_mode(&tree.join("a"), 0o555);
    set_mode(&tree.join("shut"), 0o000);
    // Root could remove them as they are.
    let result = as_somebody(root.path(), || empty(store.dir()).is_ok() && remove(store.dir(), "tmp").is_ok());
    assert!(result);
    assert_eq!(names(&root.path().join("trash")), [""; 0]);
    assert!(!root.path().join("tmp").exists());
}

#[test]
fn what_is_not_ours_stays_and_holds_nothing_up() {
    if !has_many_ids() {
        return;
    }
    let (root, store) = new_store();
    fs::create_dir(root.path().join("trash/theirs")).unwrap();
    fs::write(root.path().join("trash/theirs/file"), "x").unwrap();
    as_somebody(root.path(), || {
        fs::write(root.path().join("trash/ours"), "x").unwrap();
    });
    std::os::unix::fs::chown(root.path().join("trash/theirs"), Some(0), Some(0)).unwrap();
    as_somebody_only(|| empty(store.dir()).unwrap());
    assert_eq!(names(&root.path().join("trash")), ["theirs"]);
    empty(store.dir()).unwrap();
    assert_eq!(names(&root.path().join("trash")), [""; 0]);
}

/// True for root, also that of a user namespace with more than one id.
fn has_many_ids() -> bool {
    crate::layer_flavor().1 == image::layer::Ids::Keep
}

/// Gives `root` to a user without privileges and runs `action` as that user; as it is for who is none to begin with.
fn as_somebody<T: Send>(root: &Path, action: impl FnOnce() -> T + Send) -> T {
    if has_many_ids() {
        for entry in walkdir::WalkDir::new(root) {
            std::os::unix::fs::lchown(entry.unwrap().path(), Some(65534), Some(65534)).unwrap();
        }
    }
    as_somebody_only(action)
}

fn as_somebody_only<T: Send>(action: impl FnOnce() -> T + Send) -> T {
    let becomes_nobody = has_many_ids();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if becomes_nobody {
                // Of this thread alone, which ends soon.
                let nobody = rustix::fs::Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            action()
        });
        thread.join().unwrap()
    })
}
