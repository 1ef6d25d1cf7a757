//! The bytes of a packed layer.

use std::io::Read;
use std::os::fd::AsFd;

use image::layer::{
    Compression, MemberKind, PackOptions, TarReader, TarWriter, WriteError, pack, pack_with, write_tar,
};
use image::{Digest, Entry, Index, Kind, Metadata, Timestamp};

use crate::support::{Root, Tree, file_kind, path};

fn metadata(mode: u32) -> Metadata {
    Metadata { mode, mtime: Timestamp { seconds: 1_700_000_000, nanoseconds: 999_999_999 }, ..Metadata::default() }
}

/// A bit of everything.
fn sample() -> Tree {
    let mut tree = Tree::default();
    tree.add(path(""), Kind::Directory { opaque: false }, metadata(0o755));
    tree.add(path("bin"), Kind::Symlink { target: b"usr/bin"[..].into() }, metadata(0o777));
    tree.add(path("dev/null"), Kind::CharDevice { major: 1, minor: 3 }, metadata(0o666));
    tree.add(path("etc"), Kind::Directory { opaque: true }, metadata(0o755));
    tree.add_file(path("etc/motd"), b"welcome\n".to_vec(), metadata(0o644));
    tree.add(path("etc/shadow"), Kind::Whiteout, Metadata::default());
    let capability = (b"security.capability"[..].into(), b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..].into());
    tree.add_file(
        path("usr/bin/ping"),
        vec![7; 1000],
        Metadata { xattrs: vec![capability], uid: 5, ..metadata(0o755) },
    );
    tree.add(
        path("usr/bin/ping4"),
        Kind::Hardlink { target: path("usr/bin/ping") },
        Metadata { uid: 5, ..metadata(0o755) },
    );
    tree.add_file(path("usr/share/grüße"), Vec::new(), metadata(0o600));
    tree
}

fn tar_of(tree: &Tree, clamp_mtime: Option<i64>) -> Vec<u8> {
    let options = PackOptions { compression: Compression::None, clamp_mtime, ..PackOptions::default() };
    let mut out = Vec::new();
    let packed = pack_with(&tree.index(), |path| tree.open(path), &mut out, &options).unwrap();
    assert_eq!(packed.diff_id, Digest::of(&out));
    assert_eq!((packed.digest, packed.size, packed.uncompressed_size), (packed.diff_id, out.len() as u64, packed.size));
    out
}

/// Layer digests depend on these bytes: if they change on purpose, every layer gets another digest.
#[test]
fn golden() {
    assert_eq!(
        Digest::of(&tar_of(&sample(), None)).hex(),
        "866a990a08e90d52c72c799ece21ec6f358830c04a7fb43b1921a35f24570908"
    );
    let mut out = Vec::new();
    let tree = sample();
    let packed = pack_with(&tree.index(), |path| tree.open(path), &mut out, &PackOptions::default()).unwrap();
    assert_eq!(packed.digest, Digest::of(&out));
    assert_eq!(packed.digest.hex(), "8889bf5d18977d73706a3aa0af6a53cb9211e64db1dbcf0add010adbbfa4ae63");
}

#[test]
fn members_in_order() {
    let tar = tar_of(&sample(), None);
    let mut archive = tar::Archive::new(&tar[..]);
    let describe = |entry: tar::Entry<'_, &[u8]>| {
        let header = entry.header();
        let kind = header.as_old().linkflag[0] as char;
        format!("{kind} {} {:o} {}", entry.path().unwrap().display(), header.mode().unwrap(), header.mtime().unwrap())
    };
    let members: Vec<_> = archive.entries().unwrap().map(|entry| describe(entry.unwrap())).collect();
    assert_eq!(
        members,
        [
            "2 bin 777 1700000000",
            "5 dev/ 755 0",
            "3 dev/null 666 1700000000",
            "5 etc/ 755 1700000000",
            "0 etc/.wh..wh..opq 0 0",
            "0 etc/motd 644 1700000000",
            "0 etc/.wh.shadow 0 0",
            "5 usr/ 755 0",
            "5 usr/bin/ 755 0",
            "0 usr/bin/ping 755 1700000000",
            "1 usr/bin/ping4 755 1700000000",
            "5 usr/share/ 755 0",
            "0 usr/share/grüße 600 1700000000",
        ]
    );
}

#[test]
fn the_epoch_is_the_latest_time() {
    let clamped = tar_of(&sample(), Some(1_000));
    let mut reader = TarReader::new(&clamped[..]);
    let mut times = Vec::new();
    while let Some(member) = reader.next_member().unwrap() {
        times.push(member.mtime.seconds);
    }
    assert_eq!(times.iter().max(), Some(&1_000));
    assert_eq!(times.iter().min(), Some(&0));
}

/// Writes one entry and returns the header blocks before its own, and its own.
fn headers(entry: &Entry) -> (Vec<u8>, tar::Header) {
    let mut writer = TarWriter::new(Vec::new());
    writer.append(entry, |_| Ok(&b""[..])).unwrap();
    let bytes = writer.finish().unwrap();
    let own = bytes.len() - 1024 - 512;
    (bytes[..own].to_vec(), tar::Header::from_byte_slice(&bytes[own..own + 512]).clone())
}

fn entry(at: &str, metadata: Metadata) -> Entry {
    Entry { path: path(at), kind: Kind::Fifo, metadata }
}

/// Extended headers are written where a plain one does not do, and nowhere else.
#[track_caller]
fn check_records(entry: &Entry, expected: &[&[u8]]) -> tar::Header {
    let (before, header) = headers(entry);
    let records = expected.concat();
    if records.is_empty() {
        assert_eq!(before.escape_ascii().to_string(), "");
    } else {
        let len = records.len();
        assert_eq!(before[512..512 + len].escape_ascii().to_string(), records.escape_ascii().to_string());
        assert_eq!(before.len(), 512 + len.next_multiple_of(512));
    }
    header
}

#[test]
fn extended_headers_only_where_needed() {
    let ids = |id| Metadata { uid: id, gid: id, ..Metadata::default() };
    check_records(&entry("a", Metadata::default()), &[]);
    check_records(&entry("a", ids(0o777_7777)), &[]);
    let header = check_records(&entry("a", ids(0o1000_0000)), &[b"15 gid=2097152\n", b"15 uid=2097152\n"]);
    assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
    let time = |seconds| Metadata { mtime: Timestamp { seconds, nanoseconds: 5 }, ..Metadata::default() };
    check_records(&entry("a", time(0o777_7777_7777)), &[]);
    check_records(&entry("a", time(0o1_0000_0000_0000)), &[b"21 mtime=68719476736\n"]);
    check_records(&entry("a", time(-1)), &[b"12 mtime=-1\n"]);
    let xattrs = vec![(b"user.b"[..].into(), b"2\0"[..].into()), (b"user.a=%"[..].into(), b"1"[..].into())];
    check_records(
        &entry("a", Metadata { xattrs, ..Metadata::default() }),
        &[b"31 SCHILY.xattr.user.a%3D%25=1\n", b"26 SCHILY.xattr.user.b=2\0\n"],
    );
}

#[test]
fn long_names_are_split_if_they_can_be() {
    let name = |at: &str| check_records(&entry(at, Metadata::default()), &[]).path_bytes().into_owned();
    let (n100, n155) = ("n".repeat(100), "p".repeat(155));
    assert_eq!(name(&n100), n100.as_bytes());
    assert_eq!(name(&format!("{n155}/{n100}")), format!("{n155}/{n100}").as_bytes());
    let too_long = ["n".repeat(101), format!("{}/x", "p".repeat(156)), format!("{n155}/{n100}x")];
    for long in too_long {
        let record = format!("path={long}\n");
        let record = format!("{} {record}", record.len() + 4);
        check_records(&entry(&long, Metadata::default()), &[record.as_bytes()]);
    }
}

#[test]
fn names_that_are_not_ascii() {
    check_records(&entry("é", Metadata::default()), &["11 path=é\n".as_bytes()]);
    // Not UTF-8 either: as it is.
    let latin1 =
        |bytes: &[u8]| Entry { path: image::LayerPath::new(bytes).unwrap(), ..entry("x", Metadata::default()) };
    assert_eq!(check_records(&latin1(b"\xe9"), &[]).path_bytes(), &b"\xe9"[..]);
    let long = [0xe9; 101];
    check_records(&latin1(&long), &[b"21 hdrcharset=BINARY\n", b"111 path=", &long, b"\n"]);
    let link = Entry { kind: Kind::Symlink { target: "ü".as_bytes().into() }, ..entry("a", Metadata::default()) };
    check_records(&link, &["15 linkpath=ü\n".as_bytes()]);
}

#[test]
fn what_a_tar_cannot_say() {
    let check = |entry: &Entry, expected: &str| {
        let error = TarWriter::new(Vec::new()).append(entry, |_| Ok(&b""[..])).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let device = Entry { kind: Kind::CharDevice { major: 1, minor: 1 << 21 }, ..entry("d", Metadata::default()) };
    check(&device, "/d cannot be written to a tar: its device number is too large");
    check(&entry("", Metadata::default()), "/ cannot be written to a tar: it is the root, and no directory");
}

#[test]
fn a_file_must_be_what_the_index_says() {
    let entry = Entry { kind: file_kind(b"hello"), ..entry("f", Metadata::default()) };
    let write = |data: &'static [u8]| TarWriter::new(Vec::new()).append(&entry, |_| Ok(data));
    write(b"hello").unwrap();
    for other in [&b"hellO"[..], b"hell", b"hello!", b""] {
        let error = write(other).unwrap_err();
        assert_eq!(error.to_string(), "/f is not what it was when it was indexed");
    }
    let root = Root::new();
    let index = Index::new(vec![entry]);
    let options = PackOptions::default();
    let error = pack(&index, root.fd().as_fd(), std::io::sink(), &options).unwrap_err();
    assert!(matches!(error, WriteError::Read { .. }), "{error:?}");
    std::fs::write(root.join("f"), "other").unwrap();
    let error = pack(&index, root.fd().as_fd(), std::io::sink(), &options).unwrap_err();
    assert!(matches!(error, WriteError::Changed { .. }), "{error:?}");
    std::os::unix::fs::symlink("/etc/passwd", root.join("g")).unwrap();
    let link = Index::new(vec![Entry { path: path("g"), ..index.entries()[0].clone() }]);
    let error = pack(&link, root.fd().as_fd(), std::io::sink(), &options).unwrap_err();
    assert!(matches!(error, WriteError::Read { .. }), "{error:?}");
}

#[test]
fn a_tar_can_be_written_without_an_index() {
    let mut writer = TarWriter::new(Vec::new());
    writer.append_file(&path("a/b"), &metadata(0o644), 5, &b"hello"[..]).unwrap();
    assert!(writer.append_file(&path("c"), &metadata(0o644), 5, &b"hell"[..]).is_err());
    let mut writer = TarWriter::new(Vec::new());
    writer.append_file(&path("a/b"), &metadata(0o644), 5, &b"hello"[..]).unwrap();
    let tar = writer.finish().unwrap();
    let mut reader = TarReader::new(&tar[..]);
    let member = reader.next_member().unwrap().unwrap();
    assert_eq!((member.kind, &member.path[..], member.size), (MemberKind::File, &b"a/b"[..], 5));
    let mut data = String::new();
    reader.data().read_to_string(&mut data).unwrap();
    assert_eq!(data, "hello");
    assert!(reader.next_member().unwrap().is_none());
}

#[test]
fn a_plain_tar_of_a_directory() {
    let root = Root::new();
    let tar = tar_of(&sample(), None);
    let index = root.apply(&tar).unwrap();
    assert!(write_tar(&index, root.fd().as_fd(), Vec::new(), None).unwrap() == tar);
}
