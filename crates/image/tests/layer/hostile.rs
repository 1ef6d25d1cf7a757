//! Archives that mean harm: each a clear error, and nothing outside the root touched.

use std::io::Read;
use std::os::fd::AsFd;

use image::Timestamp;
use image::layer::{ApplyError, ApplyOptions, Expansion, Limits, apply, decompress};

use crate::support::{Root, Tar, header, options, path};

/// Writes an error with all its causes, as people see it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[track_caller]
fn check_error(tar: &[u8], expected: &str) {
    check_error_with(tar, &options(), expected);
}

#[track_caller]
fn check_error_with(tar: &[u8], options: &ApplyOptions, expected: &str) {
    let root = Root::new();
    let error = apply(tar, root.fd().as_fd(), &[], options).unwrap_err();
    assert_eq!(chain(&error), expected);
    root.check_outside();
}

#[test]
fn names_that_climb_out() {
    check_error(&Tar::default().file("../outside", "x").end(), "archive entry `../outside` climbs out of its root");
    check_error(
        &Tar::default().file("a/../../outside", "x").end(),
        "archive entry `a/../../outside` climbs out of its root",
    );
    check_error(&Tar::default().directory("..").end(), "archive entry `..` climbs out of its root");
    check_error(
        &Tar::default().file("../.wh.outside", "").end(),
        "archive entry `../.wh.outside` climbs out of its root",
    );
    let long = Tar::default().pax(&[("path", b"../outside")]).file("harmless", "x").end();
    check_error(&long, "archive entry `../outside` climbs out of its root");
}

#[test]
fn absolute_names_are_taken_from_the_root() {
    let root = Root::new();
    let index = root.apply(&Tar::default().file("/etc/kiln-test", "x").end()).unwrap();
    assert!(index.get(&path("etc/kiln-test")).is_some());
    assert_eq!(std::fs::read(root.join("etc/kiln-test")).unwrap(), b"x");
    assert!(!std::path::Path::new("/etc/kiln-test").exists());
}

#[test]
fn writing_through_a_symbolic_link() {
    for target in ["..", "/tmp", "../outside", "b"] {
        let tar = Tar::default().directory("b").symlink("a", target);
        check_error(&tar.file("a/x", "x").end(), "/a/x lies below a symbolic link");
        let tar = Tar::default().directory("b").symlink("a", target);
        check_error(&tar.file("a/b/c/x", "x").end(), "/a/b/c/x lies below a symbolic link");
        let tar = Tar::default().directory("b").symlink("a", target);
        check_error(&tar.file("a/.wh.x", "").end(), "/a/x lies below a symbolic link");
    }
}

#[test]
fn a_link_in_the_way_is_replaced_not_followed() {
    let root = Root::new();
    let tar = Tar::default()
        .symlink("a", "../outside")
        .file("a", "mine")
        .symlink("d", "..")
        .directory("d")
        .file("d/outside", "mine");
    root.apply(&tar.end()).unwrap();
    assert_eq!(std::fs::read(root.join("a")).unwrap(), b"mine");
    assert_eq!(std::fs::read(root.join("d/outside")).unwrap(), b"mine");
    root.check_outside();
}

#[test]
fn writing_below_a_file() {
    check_error(&Tar::default().file("a", "x").file("a/b", "x").end(), "/a/b lies below what is no directory");
    check_error(&Tar::default().file("a", "x").file("a/.wh.b", "").end(), "/a/b lies below what is no directory");
}

#[test]
fn hard_links_that_lead_out() {
    let climbs = "hard link /a to `../outside`, which climbs out of its root";
    check_error(&Tar::default().hardlink("a", "../outside").end(), climbs);
    check_error(
        &Tar::default().hardlink("a", "../../../../etc/passwd").end(),
        "hard link /a to `../../../../etc/passwd`, which climbs out of its root",
    );
    check_error(&Tar::default().hardlink("a", "/etc/passwd").end(), "hard link /a to /etc/passwd, where no file is");
    let through = Tar::default().symlink("s", "..").hardlink("a", "s/outside");
    check_error(&through.end(), "hard link /a to /s/outside, where no file is");
    check_error(&Tar::default().hardlink("a", "a").end(), "hard link /a to /a, where no file is");
    check_error(&Tar::default().directory("d").hardlink("a", "d").end(), "hard link /a to /d, where no file is");
    check_error(&Tar::default().hardlink("a", ".").end(), "hard link /a to `.`, which climbs out of its root");
}

#[test]
fn a_hard_link_to_a_symbolic_link_is_one_itself() {
    let root = Root::new();
    root.apply(&Tar::default().symlink("s", "../outside").hardlink("a", "s").file("a", "mine").end()).unwrap();
    root.check_outside();
    let root = Root::new();
    root.apply(&Tar::default().symlink("s", "../outside").hardlink("a", "s").end()).unwrap();
    assert_eq!(std::fs::read_link(root.join("a")).unwrap(), std::path::Path::new("../outside"));
}

#[test]
fn improper_names() {
    let nul = Tar::default().pax(&[("path", b"a\0b")]).file("x", "").end();
    check_error(&nul, "archive entry `a\\x00b` has an improper name");
    check_error(&Tar::default().file("a/.wh.", "").end(), "archive entry `a/.wh.` has an improper name");
    check_error(&Tar::default().file(".wh...", "").end(), "archive entry `.wh...` has an improper name");
    check_error(&Tar::default().file(".", "").end(), "the root of the archive is no directory");
}

#[test]
fn truncated() {
    let whole = Tar::default().file("a", &"x".repeat(1000)).end();
    check_error(&whole[..100], "failed to read the layer archive: unexpected end of archive");
    check_error(&whole[..700], "failed to read the layer archive: unexpected end of archive");
    check_error(&whole[..1520], "failed to read the layer archive: unexpected end of archive");
}

#[test]
fn malformed_headers() {
    let mut tar = Tar::default().file("a", "x").end();
    tar[0] = b'b';
    check_error(&tar, "failed to read the layer archive: malformed archive at byte 512: wrong checksum of a header");
    let mut odd = header(b'0', "a", "", 0);
    odd.as_old_mut().size = *b"not a number";
    check_error(
        &Tar::default().with(odd, b"").end(),
        "failed to read the layer archive: malformed archive at byte 512: improper number in a header",
    );
    let mut odd = header(b'0', "a", "", 0);
    odd.as_old_mut().size = [0xff; 12];
    check_error(
        &Tar::default().with(odd, b"").end(),
        "failed to read the layer archive: malformed archive at byte 512: a number out of range",
    );
    check_error(
        &Tar::default().member(b'Z', "a", "", b"").end(),
        "failed to read the layer archive: unsupported kind of archive member `Z` at byte 512",
    );
    check_error(
        &Tar::default().member(b'x', "p", "", b"99 path=x\n").file("a", "").end(),
        "failed to read the layer archive: malformed archive at byte 1024: improper extended header",
    );
    let mut gap = Tar::default().file("a", "");
    gap.raw(&[0; 512], b"");
    check_error(
        &gap.file("b", "").end(),
        "failed to read the layer archive: malformed archive at byte 1536: an empty block between members",
    );
}

#[test]
fn absurd_sizes() {
    let mut huge = header(b'0', "a", "", 0);
    huge.set_size(1 << 62);
    check_error(&Tar::default().with(huge, b"").end(), "/a goes beyond the limit on the size of all files");
    let mut long = header(b'L', "././@LongLink", "", 0);
    long.set_size(1 << 40);
    check_error(
        &Tar::default().with(long, b"").end(),
        "failed to read the layer archive: malformed archive at byte 512: an extension header is too long",
    );
    let pax = Tar::default().pax(&[("size", b"99999999999999999999")]).file("a", "").end();
    check_error(&pax, "failed to read the layer archive: malformed archive at byte 1024: improper extended header");
    let pax = Tar::default().pax(&[("size", b"9223372036854775808")]).file("a", "").end();
    check_error(&pax, "failed to read the layer archive: malformed archive at byte 1536: size out of range");
    let sparse: [(&str, &[u8]); 3] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.name", b"a"), ("GNU.sparse.realsize", b"4611686018427387904")];
    let bomb = Tar::default().pax(&sparse).file("a", "0\n").end();
    // The map is a whole block, and this archive has less for the file.
    check_error(
        &bomb,
        "failed to read the layer archive: malformed archive at byte 1536: improper map of a sparse file",
    );
    let map = format!("0\n{}", "\0".repeat(510));
    let bomb = Tar::default().pax(&sparse).file("a", &map).end();
    check_error(&bomb, "/a goes beyond the limit on the size of all files");
}

#[test]
fn limits() {
    let limited = |limits: Limits| ApplyOptions { limits, ..options() };
    let tar = Tar::default().file("a/b/c", "12345").file("d", "").end();
    let check = |limits, expected| check_error_with(&tar, &limited(limits), expected);
    check(Limits { entries: 3, ..Limits::default() }, "/d goes beyond the limit on the number of entries");
    // Parents that no member names count, too.
    check(Limits { entries: 1, ..Limits::default() }, "/a goes beyond the limit on the number of entries");
    check(Limits { depth: 2, ..Limits::default() }, "/a/b/c goes beyond the limit on the depth of a path");
    check(Limits { path: 4, ..Limits::default() }, "/a/b/c goes beyond the limit on the length of a path");
    check(Limits { total_bytes: 4, ..Limits::default() }, "/a/b/c goes beyond the limit on the size of all files");
    let tar = Tar::default().pax(&[("SCHILY.xattr.user.a", b"123")]).file("a", "").end();
    let few = limited(Limits { xattr_bytes: 8, ..Limits::default() });
    check_error_with(&tar, &few, "/a goes beyond the limit on extended attributes");
}

#[test]
fn deep_paths_and_long_names() {
    let deep = vec!["d"; 2000].join("/");
    let tar = Tar::default().pax(&[("path", deep.as_bytes())]).file("x", "").end();
    check_error(&tar, &format!("/{deep} goes beyond the limit on the depth of a path"));
    let wide = "n".repeat(300);
    let tar = Tar::default().pax(&[("path", wide.as_bytes())]).file("x", "").end();
    check_error(&tar, &format!("failed to create /{wide}: File name too long (os error 36)"));
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut out, data).unwrap();
    out.finish().unwrap()
}

#[test]
fn corrupt_gzip() {
    let mut blob = gzip(&Tar::default().file("a", &"xyz".repeat(9999)).end());
    let middle = blob.len() / 2;
    let cut = blob[..middle].to_vec();
    blob[middle] ^= 0xff;
    let failed = |blob: &[u8]| {
        let root = Root::new();
        let plain = decompress(blob, Expansion::default()).unwrap();
        let error = apply(plain, root.fd().as_fd(), &[], &options()).unwrap_err();
        assert!(matches!(error, ApplyError::Archive(_)), "{error:?}");
    };
    failed(&blob);
    failed(&cut);
}

#[test]
fn a_bomb_is_defused() {
    let blob = gzip(&vec![0; 10 << 20]);
    let read = |expansion| {
        let mut out = Vec::new();
        decompress(&blob[..], expansion).unwrap().read_to_end(&mut out).map(|_| out.len())
    };
    assert_eq!(read(Expansion::default()).unwrap(), 10 << 20);
    assert_eq!(read(Expansion { free: 20 << 20, ratio: 1 }).unwrap(), 10 << 20);
    let error = read(Expansion { free: 1 << 20, ratio: 100 }).unwrap_err();
    assert_eq!(error.to_string(), "expands beyond all measure");
}

#[test]
fn overlay_attributes_do_not_come_in() {
    let records: [(&str, &[u8]); 5] = [
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.overlay.whiteout", b""),
        ("SCHILY.xattr.user.mine", b"1"),
        ("mtime", b"12.5"),
    ];
    let root = Root::new();
    let index = root.apply(&Tar::default().pax(&records).directory("a").end()).unwrap();
    let metadata = &index.get(&path("a")).unwrap().metadata;
    assert_eq!(metadata.xattrs, [(b"user.mine"[..].into(), b"1"[..].into())]);
    assert_eq!(metadata.mtime, Timestamp { seconds: 12, nanoseconds: 500_000_000 });
    let mut list = vec![0; 1000];
    let len = rustix::fs::listxattr(root.join("a"), &mut list).unwrap();
    assert!(!list[..len].windows(7).any(|part| part == b"overlay"));
}
