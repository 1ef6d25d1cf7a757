//! The index: its id and its form on disk.

use image::layer::Xattrs;
use image::{ContentHash, Entry, Index, Kind, LayerPath, Metadata, Timestamp};
use proptest::prelude::*;

use crate::support::{any_tree, path};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_encoded_comes_back(tree in any_tree()) {
        let index = tree.index();
        prop_assert_eq!(Index::decode(&index.encode()).unwrap(), index);
    }

    #[test]
    fn damage_is_found(tree in any_tree(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = tree.index().encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(Index::decode(&bytes).is_err());
        prop_assert!(Index::decode(&bytes[..at]).is_err());
    }

    /// The checksum keeps accidents out; whoever gets past it must not do harm either.
    #[test]
    fn a_right_checksum_over_damage_is_no_panic(tree in any_tree(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = tree.index().encode();
        let at = 40 + at.index(bytes.len() - 40);
        bytes[at] = byte;
        seal(&mut bytes);
        if let Ok(index) = Index::decode(&bytes) {
            let mut paths: Vec<_> = index.entries().iter().map(|entry| &entry.path).collect();
            prop_assert!(paths.is_sorted());
            paths.dedup();
            prop_assert_eq!(paths.len(), index.entries().len());
        }
    }

    #[test]
    fn garbage_is_no_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Index::decode(&bytes).is_err());
        bytes.splice(0..0, [&b"kilnidx\x01"[..], &[0; 32]].concat());
        seal(&mut bytes);
        let _ = Index::decode(&bytes);
    }

    #[test]
    fn the_id_tells_layers_apart(a in any_tree(), b in any_tree()) {
        let (a, b) = (timeless(&a.index()), timeless(&b.index()));
        prop_assert_eq!(a.content_id() == b.content_id(), a == b);
    }
}

fn seal(bytes: &mut [u8]) {
    let checksum = blake3::hash(&bytes[40..]);
    bytes[8..40].copy_from_slice(checksum.as_bytes());
}

fn timeless(index: &Index) -> Index {
    let forget = |entry: &Entry| {
        let metadata = Metadata { mtime: Timestamp::default(), ..entry.metadata.clone() };
        Entry { metadata, ..entry.clone() }
    };
    index.entries().iter().map(forget).collect()
}

/// Encodes entries by hand, in whatever order.
fn encoded(paths: &[(usize, &str)]) -> Vec<u8> {
    let mut bytes = [&b"kilnidx\x01"[..], &[0; 32]].concat();
    bytes.push(paths.len() as u8);
    for (shared, rest) in paths {
        bytes.extend([*shared as u8, rest.len() as u8]);
        bytes.extend(rest.as_bytes());
        bytes.extend([6, 0, 0, 0, 0, 0, 0]);
    }
    seal(&mut bytes);
    bytes
}

#[track_caller]
fn check_decode(paths: &[(usize, &str)], expected: Result<&[&str], &str>) {
    let decoded = Index::decode(&encoded(paths));
    let got = decoded.map(|index| index.entries().iter().map(|e| e.path.to_string()).collect::<Vec<_>>());
    match expected {
        Ok(expected) => assert_eq!(got.unwrap(), expected),
        Err(expected) => assert_eq!(got.unwrap_err().0, expected),
    }
}

#[test]
fn paths_must_be_proper_and_in_order() {
    check_decode(&[(0, "")], Ok(&["/"]));
    check_decode(&[(0, "a"), (1, "/b"), (1, ".b")], Ok(&["/a", "/a/b", "/a.b"]));
    check_decode(&[(0, "a"), (1, "")], Err("entries out of order"));
    check_decode(&[(0, "a"), (0, "a")], Err("entries out of order"));
    check_decode(&[(0, "b"), (0, "a")], Err("entries out of order"));
    check_decode(&[(0, "a.b"), (1, "/b")], Err("entries out of order"));
    check_decode(&[(0, "a/b"), (1, "")], Err("entries out of order"));
    check_decode(&[(0, "a"), (2, "b")], Err("path out of bounds"));
    check_decode(&[(0, "a/.."), (4, "b")], Err("improper path"));
    check_decode(&[(0, "a/."), (3, ".b")], Err("improper path"));
    check_decode(&[(0, "/a")], Err("improper path"));
    check_decode(&[(0, "a"), (1, "//b")], Err("improper path"));
    check_decode(&[(0, "a"), (1, "\0")], Err("improper path"));
}

fn entry(at: &str, kind: Kind, xattrs: &[(&str, &str)]) -> Entry {
    let xattrs: Xattrs = xattrs.iter().map(|(n, v)| (n.as_bytes().into(), v.as_bytes().into())).collect();
    Entry { path: path(at), kind, metadata: Metadata { xattrs, ..Metadata::default() } }
}

#[track_caller]
fn check_other_id(a: &[Entry], b: &[Entry]) {
    let id = |entries: &[Entry]| entries.iter().cloned().collect::<Index>().content_id();
    assert_ne!(id(a), id(b));
}

/// Where one field ends and the next begins is part of what is hashed.
#[test]
fn fields_do_not_run_into_each_other() {
    let file = |at: &str, xattrs: &[(&str, &str)]| entry(at, Kind::Fifo, xattrs);
    check_other_id(&[file("a", &[("x", "yz")])], &[file("a", &[("xy", "z")])]);
    check_other_id(&[file("a", &[("x", ""), ("y", "")])], &[file("a", &[("x", "y")])]);
    check_other_id(&[file("ab", &[])], &[file("a", &[]), file("b", &[])]);
    check_other_id(&[], &[file("a", &[])]);
    let link = |target: &[u8]| entry("l", Kind::Symlink { target: target.into() }, &[]);
    check_other_id(&[link(b"t")], &[entry("l", Kind::Hardlink { target: path("t") }, &[])]);
    let (major, minor) = (1, 2);
    check_other_id(
        &[entry("d", Kind::CharDevice { major, minor }, &[])],
        &[entry("d", Kind::BlockDevice { major, minor }, &[])],
    );
    check_other_id(
        &[entry("d", Kind::Directory { opaque: true }, &[])],
        &[entry("d", Kind::Directory { opaque: false }, &[])],
    );
    let content = |byte, size| entry("f", Kind::File { size, content: ContentHash([byte; 32]) }, &[]);
    check_other_id(&[content(0, 1)], &[content(1, 1)]);
    check_other_id(&[content(0, 1)], &[content(0, 2)]);
}

#[test]
fn the_time_is_no_part_of_the_id() {
    let mut late = entry("a", Kind::Fifo, &[]);
    late.metadata.mtime = Timestamp { seconds: 5, nanoseconds: 6 };
    let index = |entry: &Entry| Index::new(vec![entry.clone()]);
    assert_eq!(index(&late).content_id(), index(&entry("a", Kind::Fifo, &[])).content_id());
    late.metadata.mode = 1;
    assert_ne!(index(&late).content_id(), index(&entry("a", Kind::Fifo, &[])).content_id());
}

/// Ids are in caches: if this changes on purpose, caches go cold.
#[test]
fn golden() {
    let index = Index::new(vec![
        entry("", Kind::Directory { opaque: false }, &[]),
        entry("bin", Kind::File { size: 3, content: ContentHash([7; 32]) }, &[("user.a", "b")]),
        entry("lib", Kind::Symlink { target: b"usr/lib"[..].into() }, &[]),
        entry("old", Kind::Whiteout, &[]),
    ]);
    assert_eq!(index.content_id().hex(), "08e16d68e7195f390abd24c975641025d4f73443063816259fc734361b6ed4ed");
    assert_eq!(
        blake3::hash(&index.encode()).to_hex().as_str(),
        "e2d4bf1263039f98ecf49249ac1f106d48686e0818315c1350fa0b305b695711"
    );
    assert_eq!(LayerPath::root(), index.entries()[0].path);
}
