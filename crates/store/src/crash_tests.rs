//! Stopping at every point: whatever has a name is whole, and the next process goes on.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use image::Reference;

use crate::fault::{Fault, arm, disarm};
use crate::testing::{child, child_root, directory, file, hardlink, key, names, new_root, pack_entries};
use crate::{Record, RecordInput, Result, Store};

/// Does one of everything, named after `number`; may be done again after it was interrupted anywhere.
fn work(root: &Path, number: u8) -> Result<()> {
    let store = Store::open(root)?;
    let entries = [directory("d"), file("d/a", usize::from(number) + 1), hardlink("d/b", "d/a")];
    let (bytes, packed) = pack_entries(&entries, image::layer::Compression::GZIP);
    if let Some(mut partial) = store.partial_blob(&packed.digest)? {
        partial.restart()?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let written = partial.write_all(first).and_then(|()| partial.write_all(second));
        written.map_err(|error| crate::Error::io("write", root, error))?;
        partial.finish(packed.size)?;
    }
    let blob = image::descriptor::descriptor(image::media_type::OCI_LAYER_GZIP, packed.digest, packed.size);
    let below = store.unpack(&blob, &packed.diff_id, &[])?;

    let lock = store.lock_key(&key(number))?;
    if store.record(&key(number))?.is_none() {
        let draft = store.new_layer()?;
        std::fs::write(draft.tree().join("made"), [number; 100]).unwrap();
        let index = crate::testing::index_of(draft.tree());
        let layer = draft.commit(index, 0)?;
        let inputs = vec![RecordInput { name: "parent".to_owned(), value: below.to_string() }];
        let content = layer.meta()?.content;
        store.put_record(&key(number), &Record { layer: layer.id().clone(), content, created: 0, inputs })?;
        store.put_fact(&key(number), b"derived")?;
    }
    drop(lock);
    let Some(record) = store.hit(&key(number))? else { panic!("what was put is there") };
    store.pack(&record.layer, &image::layer::PackOptions::default())?;

    let name: Reference = format!("some/image:{number}").parse().unwrap();
    let manifest = format!("{{\"schemaVersion\":2,\"n\":{number}}}");
    let (digest, size) = store.put_blob(None, &mut manifest.as_bytes())?;
    store.tag(&name, &image::descriptor::descriptor(image::media_type::OCI_MANIFEST, digest, size))?;
    let built: Reference = format!("some/built:{number}").parse().unwrap();
    let draft = store.put_draft(&crate::testing::draft(&record.layer))?;
    store.tag(&built, &draft)?;
    store.assemble(&draft)?;
    store.put_context_index("context", &[number])?;
    store.put_build(&format!("build-{number}"), b"{}")?;
    drop(store.scratch()?);
    let passing: Reference = "some/passing/name".parse().unwrap();
    store.tag(&passing, &image::descriptor::descriptor(image::media_type::OCI_MANIFEST, digest, size))?;
    store.untag(&passing)?;
    store.sync()?;
    store.sweep()
}

/// Checks that nothing was harmed and nothing is in the way, then does the work that was interrupted.
#[track_caller]
fn check_whole(root: &Path, number: u8, at: &dyn std::fmt::Display) {
    let store = Store::open(root).unwrap();
    assert_eq!(store.verify().unwrap(), [], "{at}");
    drop(store);
    work(root, number).unwrap();
    let store = Store::open(root).unwrap();
    assert_eq!(store.verify().unwrap(), [], "{at}");
    assert!(store.resolve(&format!("some/image:{number}").parse().unwrap()).unwrap().is_some(), "{at}");
    assert!(store.resolve(&format!("some/built:{number}").parse().unwrap()).unwrap().is_some(), "{at}");
    drop(store);
    for (directory, left) in [("tmp", &["partial"][..]), ("tmp/partial", &[]), ("trash", &[]), ("locks", &[])] {
        assert_eq!(names(&root.join(directory)), left, "{directory} after {at}");
    }
    assert!(!root.join("dirty").exists(), "{at}");
}

#[test]
fn an_operation_that_fails_harms_nothing() {
    for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::IO] {
        let mut failed = 0;
        for at in 0.. {
            let root = new_root();
            arm(at, Fault::Fail(errno.raw_os_error()));
            let result = work(root.path(), 1);
            if disarm() {
                result.unwrap();
                break;
            }
            failed += u32::from(result.is_err());
            check_whole(root.path(), 1, &format_args!("{errno:?} at point {at}"));
        }
        // Some are not worth an error: what a sweep does later anyway.
        assert!(failed > 50, "{failed}");
    }
}

#[test]
fn a_full_disk_is_called_one() {
    let root = new_root();
    let store = Store::open(root.path()).unwrap();
    for at in 1..4 {
        arm(at, Fault::Fail(rustix::io::Errno::NOSPC.raw_os_error()));
        let error = store.put_blob(None, &mut &b"data"[..]).unwrap_err();
        assert!(!disarm());
        let text = error.to_string();
        assert!(
            matches!(error, crate::Error::Full { .. }) && text.contains("no space left") && text.contains("KILN_ROOT"),
            "{text}"
        );
    }
    assert_eq!(store.blobs().unwrap(), []);
}

#[test]
fn killed_between_any_two_operations() {
    let root = new_root();
    let mut at = 0;
    loop {
        let root = root.path().join(at.to_string());
        let mut child = child("crash_tests::works_until_killed", &root);
        let status = child.env("STORE_TEST_POINT", at.to_string()).status().unwrap();
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "{status}");
        check_whole(&root, 1, &format_args!("killed at point {at}"));
        std::fs::remove_dir_all(&root).unwrap();
        at += 1;
    }
    assert!(at > 80, "{at}");
}

#[test]
fn killed_at_any_moment_beside_others() {
    let root = new_root();
    drop(Store::open(root.path()).unwrap());
    for round in 0..20_u64 {
        let mut children: Vec<_> = (0..2)
            .map(|_| {
                child("crash_tests::works_until_killed", root.path())
                    .env("STORE_TEST_POINT", "forever")
                    .spawn()
                    .unwrap()
            })
            .collect();
        // Any moment will do: what holds must hold at each.
        std::thread::sleep(Duration::from_micros(3_000 + round * 2_711));
        for child in &mut children {
            child.kill().unwrap();
        }
        for child in &mut children {
            child.wait().unwrap();
        }
        let store = Store::open(root.path()).unwrap();
        assert_eq!(store.verify().unwrap(), [], "round {round}");
        store.sweep().unwrap();
        drop(store);
        assert_eq!(names(&root.path().join("tmp")), ["partial"], "round {round}");
    }
    (0..4).for_each(|number| work(root.path(), number).unwrap());
    check_whole(root.path(), 1, &"all rounds");
}

#[test]
#[ignore = "a process that another test starts, which ends it at some point"]
fn works_until_killed() {
    let Some(root) = child_root() else { return };
    match std::env::var("STORE_TEST_POINT").unwrap().parse() {
        Ok(at) => {
            arm(at, Fault::Kill);
            work(&root, 1).unwrap();
        }
        Err(_) => loop {
            (0..4).for_each(|number| work(&root, number).unwrap());
        },
    }
}

#[test]
fn processes_share_a_store() {
    let root = new_root();
    let children: Vec<_> = (0..4).map(|_| child("crash_tests::works_a_while", root.path()).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    check_whole(root.path(), 1, &"all");
    let store = Store::open(root.path()).unwrap();
    // Four keys were computed once each, and four layers unpacked once each.
    assert_eq!(store.layers().unwrap().len(), 8);
    assert_eq!(store.references().unwrap().len(), 8);
    assert_eq!(store.context_index("context").unwrap().map(|bytes| bytes.len()), Some(1));
}

#[test]
#[ignore = "a process that another test starts"]
fn works_a_while() {
    let Some(root) = child_root() else { return };
    for _ in 0..3 {
        (0..4).for_each(|number| work(&root, number).unwrap());
    }
}
