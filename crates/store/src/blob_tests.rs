use std::io::{Read, Write};

use image::blobs::{BlobSink, Blobs};

use super::*;
use crate::testing::{damage, names, new_store};

#[track_caller]
fn check_refused(expected: (Digest, u64), data: &mut dyn Read, reason: &str) {
    let (root, store) = new_store();
    let error = store.put_blob(Some(expected), data).unwrap_err();
    assert!(matches!(&error, Error::WrongBlob { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(reason) && text.contains(&expected.0.to_string()), "{text}");
    drop(store);
    assert_eq!(names(&root.path().join(BLOBS)), [""; 0]);
    assert_eq!(names(&root.path().join("tmp")), ["partial"]);
}

#[test]
fn what_was_put_is_there() {
    let (root, store) = new_store();
    let digest = Digest::of(b"abc");
    assert!(!store.has_blob(&digest));
    assert_eq!(store.blob_size(&digest).unwrap(), None);
    assert_eq!(store.put_blob(None, &mut &b"abc"[..]).unwrap(), (digest, 3));
    assert_eq!(store.put_blob(Some((digest, 3)), &mut &b"not read"[..]).unwrap(), (digest, 3));
    assert_eq!(std::fs::read(root.path().join("blobs/sha256").join(digest.hex())).unwrap(), b"abc");
    let mut text = String::new();
    store.open_blob(&digest).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), store.blob_size(&digest).unwrap()), ("abc", Some(3)));
    assert_eq!(store.read_blob(&digest, 3).unwrap(), b"abc");
    assert!(matches!(store.read_blob(&digest, 2), Err(Error::BlobTooLarge { size: 3, limit: 2, .. })));
    assert_eq!(store.blobs().unwrap(), [digest]);
    assert!(store.remove_blob(&digest).unwrap() && !store.remove_blob(&digest).unwrap());
    assert!(matches!(store.open_blob(&digest), Err(Error::MissingBlob(missing)) if missing == digest));
}

#[test]
fn what_is_not_as_announced_gets_no_name() {
    let digest = Digest::of(b"abc");
    check_refused((digest, 2), &mut &b"abc"[..], "more than the expected 2 bytes");
    check_refused((digest, 4), &mut &b"abc"[..], "it has 3 bytes, expected are 4");
    check_refused((Digest::of(b"abd"), 3), &mut &b"abc"[..], &format!("its bytes have the digest {digest}"));
    // Without end: stops when it is too long.
    check_refused((digest, 1000), &mut std::io::repeat(1), "more than the expected 1000 bytes");
}

#[test]
fn a_source_that_fails_leaves_nothing() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _buffer: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
    let (root, store) = new_store();
    let error = store.put_blob(None, &mut (&b"begin"[..]).chain(Failing)).unwrap_err();
    assert!(matches!(&error, Error::Source(source) if source.kind() == std::io::ErrorKind::ConnectionReset), "{error}");
    drop(store);
    assert_eq!(names(&root.path().join("tmp")), ["partial"]);
}

#[test]
fn a_damaged_blob_is_named_and_dropped_so_that_it_can_come_again() {
    let (root, store) = new_store();
    let (digest, size) = store.put_blob(None, &mut &b"some text"[..]).unwrap();
    damage(&root.path().join("blobs/sha256").join(digest.hex()));
    let error = store.read_blob(&digest, 100).unwrap_err();
    assert!(matches!(&error, Error::DamagedBlob { digest: named, .. } if *named == digest), "{error}");
    assert!(!store.has_blob(&digest));
    store.put_blob(Some((digest, size)), &mut &b"some text"[..]).unwrap();
    assert_eq!(store.read_blob(&digest, 100).unwrap(), b"some text");
    // One that was cut off is replaced without being read first.
    std::fs::write(root.path().join("blobs/sha256").join(digest.hex()), "some").unwrap();
    store.put_blob(Some((digest, size)), &mut &b"some text"[..]).unwrap();
    assert_eq!(store.read_blob(&digest, 100).unwrap(), b"some text");
}

#[test]
fn a_writer_writes_in_pieces() {
    let (root, store) = new_store();
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"ab").unwrap();
    writer.write_all(b"c").unwrap();
    assert_eq!(writer.size(), 3);
    assert_eq!(writer.finish(Some((Digest::of(b"abc"), 3))).unwrap(), (Digest::of(b"abc"), 3));
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"abd").unwrap();
    assert!(matches!(writer.finish(Some((Digest::of(b"abc"), 3))), Err(Error::WrongBlob { .. })));
    store.blob_writer().unwrap().write_all(b"dropped").unwrap();
    drop(store);
    assert_eq!(names(&root.path().join("tmp")), ["partial"]);
    assert_eq!(names(&root.path().join(BLOBS)), [Digest::of(b"abc").hex()]);
}

#[test]
fn the_seam_to_images_verifies_what_is_read() {
    let (root, store) = new_store();
    let (digest, size) = BlobSink::put(&store, None, &mut &b"some text"[..]).unwrap();
    let mut bytes = Vec::new();
    Blobs::open(&store, &digest).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!((bytes.as_slice(), store.size(&digest).unwrap()), (&b"some text"[..], size));
    let wrong = BlobSink::put(&store, Some((Digest::of(b"x"), 9)), &mut &b"some text"[..]).unwrap_err();
    assert_eq!(wrong.kind(), std::io::ErrorKind::InvalidData);
    damage(&root.path().join("blobs/sha256").join(digest.hex()));
    let error = Blobs::open(&store, &digest).unwrap().read_to_end(&mut bytes).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert!(error.to_string().contains(&digest.to_string()), "{error}");
    assert_eq!(Blobs::open(&store, &digest).err().unwrap().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(store.size(&digest).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn threads_may_put_the_same_blob() {
    let (root, store) = new_store();
    let data = vec![7; 300_000];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| store.put_blob(None, &mut &data[..]).unwrap());
        }
    });
    assert_eq!(store.blobs().unwrap(), [Digest::of(&data)]);
    assert_eq!(store.verify().unwrap(), []);
    drop(store);
    assert_eq!(names(&root.path().join("tmp")), ["partial"]);
}
