use super::*;
use crate::Error;
use crate::testing::{names, new_store};

fn begin(store: &Store, digest: &Digest) -> PartialBlob {
    store.partial_blob(digest).unwrap().unwrap()
}

#[test]
fn an_interrupted_download_goes_on_where_it_ended() {
    let (root, store) = new_store();
    let digest = Digest::of(b"first second");
    begin(&store, &digest).write_all(b"first ").unwrap();
    drop(store);
    let store = Store::open(root.path()).unwrap();
    let mut partial = begin(&store, &digest);
    assert_eq!((partial.size(), partial.digest()), (6, &digest));
    partial.write_all(b"second").unwrap();
    partial.finish(12).unwrap();
    assert_eq!(store.read_blob(&digest, 100).unwrap(), b"first second");
    assert_eq!(names(&root.path().join("tmp/partial")), [""; 0]);
    assert!(store.partial_blob(&digest).unwrap().is_none());
    assert!(matches!(store.try_partial_blob(&digest).unwrap(), Download::Here));
}

#[test]
fn a_wrong_whole_is_thrown_away() {
    let (root, store) = new_store();
    let digest = Digest::of(b"right");
    let mut partial = begin(&store, &digest);
    partial.write_all(b"wrong").unwrap();
    assert!(matches!(partial.finish(5), Err(Error::WrongBlob { .. })));
    assert_eq!(names(&root.path().join("tmp/partial")), [""; 0]);
    let mut partial = begin(&store, &digest);
    assert_eq!(partial.size(), 0);
    partial.write_all(b"right").unwrap();
    assert!(matches!(partial.finish(6), Err(Error::WrongBlob { .. })));
    assert!(!store.has_blob(&digest));
}

#[test]
fn a_restart_forgets_what_came() {
    let (_root, store) = new_store();
    let digest = Digest::of(b"right");
    begin(&store, &digest).write_all(b"something longer").unwrap();
    let mut partial = begin(&store, &digest);
    partial.restart().unwrap();
    assert_eq!(partial.size(), 0);
    partial.write_all(b"right").unwrap();
    partial.finish(5).unwrap();
    assert_eq!(store.read_blob(&digest, 5).unwrap(), b"right");
}

#[test]
fn one_downloads_and_the_others_find_it_done() {
    let (_root, store) = new_store();
    let digest = Digest::of(b"content");
    let mut partial = begin(&store, &digest);
    assert!(matches!(store.try_partial_blob(&digest).unwrap(), Download::Busy));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| store.partial_blob(&digest).unwrap().is_none())).collect();
        partial.write_all(b"content").unwrap();
        partial.finish(7).unwrap();
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
    });
}

#[test]
fn the_next_goes_on_when_one_gives_up() {
    let (_root, store) = new_store();
    let digest = Digest::of(b"content");
    let mut partial = begin(&store, &digest);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut partial = store.partial_blob(&digest).unwrap().unwrap();
            assert_eq!(partial.size(), 3);
            partial.write_all(b"tent").unwrap();
            partial.finish(7).unwrap();
        });
        partial.write_all(b"con").unwrap();
        drop(partial);
        waiting.join().unwrap();
    });
    assert_eq!(store.read_blob(&digest, 7).unwrap(), b"content");
}
