use std::io::{Seek, Write};

use tar::{Builder, EntryType, Header};

use super::*;
use crate::layout::Attributes;
use crate::probe::Probe;
use crate::testing::{Fake, path};

/// A member: path, kind, mode, data or link target.
type Line<'a> = (&'a str, char, u32, &'a str);

fn archive(members: &[Line<'_>]) -> Archive {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, mode, text) in members {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(*mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(99);
        header.set_entry_type(match kind {
            'd' => EntryType::Directory,
            'l' => EntryType::Symlink,
            'h' => EntryType::Link,
            _ => EntryType::Regular,
        });
        if *kind == 'f' {
            header.set_size(text.len() as u64);
        } else {
            header.set_size(0);
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, if *kind == 'f' { text.as_bytes() } else { b"" }).unwrap();
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&builder.into_inner().unwrap()).unwrap();
    file.rewind().unwrap();
    Archive { file, name: "/a.tar".to_owned() }
}

fn extract(parent: &Fake, destination: &str, members: &[Line<'_>]) -> Result<Vec<String>> {
    let spool = tempfile::tempdir().unwrap();
    let probe = Probe::new(parent, &path(destination), None).unwrap();
    let mut layout = Layout::new(probe, Attributes::default());
    archive(members).extract(&mut layout, parent, spool.path(), &Cancel::new())?;
    Ok(layout.index().iter().map(line).collect())
}

fn line(entry: &Entry) -> String {
    let kind = match &entry.kind {
        Kind::Directory { opaque: true } => "o".to_owned(),
        Kind::Directory { .. } => "d".to_owned(),
        Kind::File { size, .. } => format!("f{size}"),
        Kind::Hardlink { target } => format!("h{target}"),
        Kind::Symlink { target } => format!("l{}", String::from_utf8_lossy(target)),
        _ => "x".to_owned(),
    };
    let Metadata { mode, uid, gid, .. } = entry.metadata;
    format!("{kind} {mode:o} {uid}:{gid} {}", entry.path)
}

#[track_caller]
fn check(parent: &Fake, destination: &str, members: &[Line<'_>], expected: &[&str]) {
    assert_eq!(extract(parent, destination, members).unwrap(), expected);
}

#[track_caller]
fn fails(parent: &Fake, members: &[Line<'_>], expected: &str) {
    assert_eq!(extract(parent, "/d", members).unwrap_err().to_string(), expected);
}

#[test]
fn members_with_their_owners_below_the_destination() {
    check(
        &Fake::new(),
        "/d",
        &[("./", 'd', 0o700, ""), ("./x", 'd', 0o750, ""), ("./x/f", 'f', 0o4755, "abc"), ("/y", 'l', 0, "x/f")],
        &["d 755 0:0 /d", "d 750 7:8 /d/x", "f3 4755 7:8 /d/x/f", "lx/f 777 7:8 /d/y"],
    );
}

#[test]
fn parents_that_are_not_named_are_made_or_kept() {
    let parent = Fake::new().directory("d/old", 0o711);
    check(
        &parent,
        "/d",
        &[("old/f", 'f', 0o644, ""), ("new/f", 'f', 0o644, "")],
        &["d 755 0:0 /d", "d 755 0:0 /d/new", "f0 644 7:8 /d/new/f", "d 711 0:0 /d/old", "f0 644 7:8 /d/old/f"],
    );
}

#[test]
fn files_and_directories_replace_each_other() {
    let parent = Fake::new().directory("d/a", 0o755).file("d/a/x", "").file("d/b", "");
    check(
        &parent,
        "/d",
        &[("a", 'f', 0o644, "1"), ("b", 'd', 0o755, "")],
        &["d 755 0:0 /d", "f1 644 7:8 /d/a", "d 755 7:8 /d/b"],
    );
    check(
        &parent,
        "/d",
        &[("a", 'f', 0o644, "1"), ("a", 'd', 0o700, ""), ("a/y", 'f', 0o644, "")],
        &["d 755 0:0 /d", "o 700 7:8 /d/a", "f0 644 7:8 /d/a/y"],
    );
}

#[test]
fn links_on_the_way_are_followed_beneath_the_destination() {
    let parent = Fake::new().directory("d/usr/bin", 0o755).link("d/bin", "/usr/bin").directory("usr/bin", 0o700);
    check(
        &parent,
        "/d",
        &[("bin/tool", 'f', 0o755, "")],
        &["d 755 0:0 /d", "d 755 0:0 /d/usr", "d 755 0:0 /d/usr/bin", "f0 755 7:8 /d/usr/bin/tool"],
    );
}

#[test]
fn a_link_of_the_archive_does_not_lead_out() {
    check(
        &Fake::new().directory("etc", 0o755),
        "/d",
        &[("out", 'l', 0, "../../etc"), ("out/passwd", 'f', 0o644, "")],
        &["d 755 0:0 /d", "d 755 0:0 /d/etc", "f0 644 7:8 /d/etc/passwd", "l../../etc 777 7:8 /d/out"],
    );
}

#[test]
fn hard_links_stay_within_the_archive() {
    check(
        &Fake::new(),
        "/d",
        &[("b", 'f', 0o644, "1"), ("a", 'h', 0o600, "b")],
        &["d 755 0:0 /d", "f1 600 7:8 /d/a", "h/d/a 600 7:8 /d/b"],
    );
    // The last that is said of a file counts for all of its names.
    check(
        &Fake::new(),
        "/d",
        &[
            ("b", 'f', 0o644, "1"),
            ("a", 'h', 0o600, "b"),
            ("c", 'h', 0o4755, "a"),
            ("l", 'l', 0, "b"),
            ("m", 'h', 0, "l"),
        ],
        &[
            "d 755 0:0 /d",
            "f1 4755 7:8 /d/a",
            "h/d/a 4755 7:8 /d/b",
            "h/d/a 4755 7:8 /d/c",
            "lb 777 7:8 /d/l",
            "lb 777 7:8 /d/m",
        ],
    );
    let none =
        "failed to extract /a.tar: `b`, the target of a hard link, is neither in the archive nor at the destination";
    fails(&Fake::new(), &[("a", 'h', 0, "b")], none);
    let parent = Fake::new().file("b", "of the image");
    fails(&parent, &[("a", 'h', 0, "../b")], &none.replace("`b`", "`../b`"));
    check(
        &parent,
        "/d",
        &[("b", 'f', 0o600, "1"), ("e/a", 'h', 0o600, "../../b")],
        &["d 755 0:0 /d", "f1 600 7:8 /d/b", "d 755 0:0 /d/e", "h/d/b 600 7:8 /d/e/a"],
    );
}

#[test]
fn hard_links_reach_what_the_image_has_below_the_destination() {
    let parent = Fake::new().directory("d/s", 0o711).file("d/s/f", "abc").link("d/l", "s/f").link("d/t", "s");
    check(
        &parent,
        "/d",
        &[("a", 'h', 0o600, "t/f"), ("b", 'h', 0o640, "s/f"), ("m", 'h', 0, "l")],
        &[
            "d 755 0:0 /d",
            "f3 640 7:8 /d/a",
            "h/d/a 640 7:8 /d/b",
            "ls/f 777 7:8 /d/l",
            "ls/f 777 7:8 /d/m",
            "d 711 0:0 /d/s",
            "h/d/a 640 7:8 /d/s/f",
        ],
    );
    let reason = |text: &str| format!("failed to extract /a.tar: {text}");
    fails(&parent, &[("a", 'h', 0, "s")], &reason("`s`, the target of a hard link, is a directory"));
    fails(&parent, &[("a", 'h', 0, "/")], &reason("`/`, the target of a hard link, is the destination"));
    let gone = "`s/f`, the target of a hard link, is neither in the archive nor at the destination";
    fails(&parent, &[("s", 'f', 0o644, ""), ("a", 'h', 0, "s/f")], &reason(gone));
    fails(&parent, &[("s/f", 'h', 0o644, "s/f")], &reason(gone));
}

#[test]
fn some_names_of_the_destination_say_something_of_it() {
    let parent = Fake::new().directory("d", 0o711);
    for name in [".", "./", "", "a/..", "./b/../"] {
        check(&parent, "/d", &[(name, 'd', 0o700, "")], &["d 711 0:0 /d"]);
    }
    for name in ["/", "//", "..", "../", "/..", "a/../..", "../a/.."] {
        check(&parent, "/d", &[(name, 'd', 0o700, "")], &["d 700 7:8 /d"]);
        check(&parent, "/", &[(name, 'd', 0o700, "")], &[]);
    }
    check(&parent, "/d", &[(".", 'f', 0o700, "a")], &["d 711 0:0 /d"]);
    let reason = "failed to extract /a.tar: `..` is the destination, which is a directory";
    fails(&parent, &[("..", 'f', 0o644, "")], reason);
}

#[test]
fn an_existing_directory_keeps_its_extended_attributes() {
    let parent = Fake::new().directory("d/s", 0o711).xattr("d/s", "user.a", "1");
    let spool = tempfile::tempdir().unwrap();
    let probe = Probe::new(&parent, &path("/d"), None).unwrap();
    let mut layout = Layout::new(probe, Attributes::default());
    archive(&[("s", 'd', 0o700, "")]).extract(&mut layout, &parent, spool.path(), &Cancel::new()).unwrap();
    let metadata = &layout.planned[&path("d/s")].metadata;
    assert_eq!((metadata.mode, metadata.xattrs.len()), (0o700, 1));
}

#[test]
fn whiteout_names_are_ordinary() {
    check(&Fake::new(), "/d", &[(".wh.x", 'f', 0o600, "")], &["d 755 0:0 /d", "f0 600 7:8 /d/.wh.x"]);
}

#[test]
fn what_climbs_ends_at_the_destination() {
    let parent = Fake::new().file("x", "of the image");
    let expected: &[&str] = &["d 755 0:0 /d", "f0 644 7:8 /d/x"];
    for name in ["../x", "a/../../x", "/../../x", "a/../x"] {
        check(&parent, "/d", &[(name, 'f', 0o644, "")], expected);
    }
}

#[test]
fn directories_that_are_made_have_nothing_of_the_flags() {
    let spool = tempfile::tempdir().unwrap();
    let probe = Probe::new(&Fake::new(), &path("/n/d"), None).unwrap();
    let owner = Some(crate::owner::Owner { uid: 1, gid: 2 });
    let chmod = Some(plan::Chmod::Octal(0o700));
    let mut layout = Layout::new(probe, Attributes { owner, chmod, ..Attributes::default() });
    archive(&[("p/f", 'f', 0o640, "")]).extract(&mut layout, &Fake::new(), spool.path(), &Cancel::new()).unwrap();
    let lines: Vec<String> = layout.index().iter().map(line).collect();
    assert_eq!(lines, ["d 755 1:2 /n", "d 755 1:2 /n/d", "d 755 0:0 /n/d/p", "f0 640 1:2 /n/d/p/f"]);
}

#[test]
fn a_damaged_archive_is_an_error() {
    let broken = archive(&[("a", 'f', 0o644, "a long text that is cut off")]);
    broken.file.set_len(520).unwrap();
    let probe = Probe::new(&Fake::new(), &path("/d"), None).unwrap();
    let mut layout = Layout::new(probe, Attributes::default());
    let spool = tempfile::tempdir().unwrap();
    let result = broken.extract(&mut layout, &Fake::new(), spool.path(), &Cancel::new());
    assert!(matches!(result, Err(SolveErrorKind::Archive { .. })));
}
