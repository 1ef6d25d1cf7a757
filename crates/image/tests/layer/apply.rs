//! Applying layers.

use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use image::layer::{ApplyOptions, Ids, Names, OverlayXattr, apply, scan_tree};
use image::{Kind, Metadata, Timestamp};

use crate::support::{Root, Tar, brief, header, is_root, needs_root, options, path};

fn xattr(path: std::path::PathBuf, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 100];
    let len = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}

#[test]
fn whiteouts_are_devices_and_opaque_directories_have_the_attribute() {
    let root = Root::new();
    let tar = Tar::default().directory("a").file("a/.wh..wh..opq", "").file("a/new", "x").file("b/.wh.gone", "");
    let index = root.apply(&tar.end()).unwrap();
    let expected = ["/a opaque directory 755", "/a/new file of 1 644", "/b directory 755", "/b/gone whiteout 0"];
    assert_eq!(brief(&index), expected);
    let gone = std::fs::symlink_metadata(root.join("b/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let opaque = if is_root() { "trusted.overlay.opaque" } else { "user.overlay.opaque" };
    assert_eq!(xattr(root.join("a"), opaque), Some(b"y".into()));
    assert_eq!(xattr(root.join("b"), opaque), None);
}

#[test]
fn the_attributes_of_a_user_namespace() {
    let root = Root::new();
    let options = ApplyOptions { overlay: OverlayXattr::User, ..options() };
    apply(&Tar::default().file("a/.wh..wh..opq", "").end()[..], root.fd().as_fd(), &[], &options).unwrap();
    assert_eq!(xattr(root.join("a"), "user.overlay.opaque"), Some(b"y".into()));
    assert_eq!(xattr(root.join("a"), "trusted.overlay.opaque"), None);
}

/// Wherever it stands in the tar, a whiteout hides lower layers only.
#[test]
fn a_whiteout_spares_its_own_layer() {
    let check = |tar: Tar, expected: &[&str]| assert_eq!(brief(&Root::new().apply(&tar.end()).unwrap()), expected);
    check(Tar::default().file("a", "x").file(".wh.a", ""), &["/a file of 1 644"]);
    check(Tar::default().file(".wh.a", "").file("a", "x"), &["/a file of 1 644"]);
    let opaque = ["/d opaque directory 755", "/d/x file of 1 644"];
    check(Tar::default().file(".wh.d", "").directory("d").file("d/x", "x"), &opaque);
    check(Tar::default().file("d/x", "x").file(".wh.d", ""), &opaque);
    check(Tar::default().file("d/x", "x").file("d/.wh..wh..opq", ""), &opaque);
    let below = ["/d opaque directory 755", "/d/x whiteout 0"];
    check(Tar::default().file(".wh.d", "").file("d/.wh.x", ""), &below);
    check(Tar::default().file("d/.wh.x", "").file(".wh.d", ""), &below);
    check(Tar::default().file(".wh..wh..opq", ""), &["/ opaque directory 755"]);
}

#[test]
fn other_files_of_aufs_are_left_out() {
    let tar =
        Tar::default().directory(".wh..wh.plnk").file(".wh..wh.plnk/12.34", "x").file(".wh..wh.aufs", "").file("a", "");
    assert_eq!(brief(&Root::new().apply(&tar.end()).unwrap()), ["/a file of 0 644"]);
}

#[test]
fn any_archive_may_hold_names_of_whiteouts() {
    let root = Root::new();
    let options = ApplyOptions { names: Names::Archive, owner: Some((0, 0)), ..options() };
    let tar = Tar::default().directory("./").file("d/.wh.a", "x").file(".wh..wh..opq", "").end();
    let index = apply(&tar[..], root.fd().as_fd(), &[], &options).unwrap();
    assert_eq!(brief(&index), ["/.wh..wh..opq file of 0 644", "/d directory 755", "/d/.wh.a file of 1 644"]);
}

#[test]
fn an_archive_goes_into_what_is_there() {
    let root = Root::new();
    std::fs::create_dir_all(root.join("kept/by")).unwrap();
    std::fs::set_permissions(root.join("kept"), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(root.join("kept/mine"), "mine").unwrap();
    std::fs::write(root.join("kept/old"), "old").unwrap();
    std::os::unix::fs::symlink("kept", root.join("link")).unwrap();
    let id = if is_root() { 1234 } else { rustix::process::geteuid().as_raw() };
    let options = ApplyOptions { names: Names::Archive, owner: Some((id, id)), ..options() };
    let tar =
        Tar::default().file("kept/old", "new").file("fresh/x", "").directory("kept/by").file("link", "file").end();
    let index = apply(&tar[..], root.fd().as_fd(), &[], &options).unwrap();
    let expected = [
        "/fresh directory 755",
        "/fresh/x file of 0 644",
        "/kept/by directory 755",
        "/kept/old file of 3 644",
        "/link file of 4 644",
    ];
    assert_eq!(brief(&index), expected);
    assert_eq!(std::fs::metadata(root.join("kept")).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(std::fs::read(root.join("kept/mine")).unwrap(), b"mine");
    assert_eq!(std::fs::read(root.join("kept/old")).unwrap(), b"new");
    for name in ["fresh", "fresh/x", "kept/by", "kept/old"] {
        assert_eq!(std::fs::metadata(root.join(name)).unwrap().uid(), id, "{name}");
    }
    let through = Tar::default().symlink("l", "kept").file("l/x", "").end();
    let error = apply(&through[..], root.fd().as_fd(), &[], &options).unwrap_err();
    assert_eq!(error.to_string(), "/l/x lies below a symbolic link");
}

#[test]
fn of_one_name_the_last_member_wins() {
    let check = |tar: Tar, expected: &[&str]| {
        let root = Root::new();
        let index = root.apply(&tar.end()).unwrap();
        assert_eq!(brief(&index), expected);
        let ApplyOptions { overlay, ids, .. } = options();
        let found = scan_tree(root.fd().as_fd(), overlay, ids).unwrap();
        assert_eq!(brief(&found)[1..], *expected, "on disk");
    };
    check(Tar::default().file("a", "x").file("a", "xyz"), &["/a file of 3 644"]);
    check(Tar::default().file("a", "x").symlink("a", "b"), &["/a symlink to b 777"]);
    check(Tar::default().file("d/e/f", "x").file("d", "y"), &["/d file of 1 644"]);
    check(Tar::default().file("d/e/f", "x").file("d", "y").directory("d"), &["/d directory 755"]);
    check(
        Tar::default().file("d/x", "1").directory("d").file("d/y", "2"),
        &["/d directory 755", "/d/x file of 1 644", "/d/y file of 1 644"],
    );
    check(
        Tar::default().symlink("d", "x").file("d", "y").file("e", "").directory("e"),
        &["/d file of 1 644", "/e directory 755"],
    );
    check(Tar::default().file("a", "1").hardlink("b", "a").file("a", "22"), &["/a file of 2 644", "/b file of 1 644"]);
}

#[test]
fn of_a_files_names_the_least_is_the_file() {
    let root = Root::new();
    let tar = Tar::default().file("m", "x").hardlink("z", "m").hardlink("a", "z").hardlink("m", "m");
    let index = root.apply(&tar.end()).unwrap();
    assert_eq!(brief(&index), ["/a file of 1 644", "/m link to /a 644", "/z link to /a 644"]);
    let inode = |name| std::fs::metadata(root.join(name)).unwrap().ino();
    assert!(inode("a") == inode("m") && inode("m") == inode("z"));
}

#[test]
fn parents_without_a_member() {
    let index = Root::new().apply(&Tar::default().file("a/b/c", "").end()).unwrap();
    assert_eq!(brief(&index), ["/a directory 755", "/a/b directory 755", "/a/b/c file of 0 644"]);
    assert_eq!(index.entries()[0].metadata, Metadata { mode: 0o755, ..Metadata::default() });
}

#[test]
fn parents_without_a_member_are_as_they_are_below() {
    let lower = Root::new();
    let mut tmp = header(b'5', "tmp/", "", 0);
    tmp.set_mode(0o1777);
    lower.apply(&Tar::default().with(tmp, b"").file("etc/x", "").end()).unwrap();
    let upper = Root::new();
    let tar = Tar::default().file("tmp/a", "").file("etc/y", "").end();
    let index = apply(&tar[..], upper.fd().as_fd(), &[lower.fd().as_fd()], &options()).unwrap();
    assert_eq!(brief(&index)[2..], ["/tmp directory 1777", "/tmp/a file of 0 644"]);
    assert_eq!(std::fs::metadata(upper.join("tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
}

#[test]
fn hard_links_to_lower_layers_are_copies() {
    let (bottom, top, upper) = (Root::new(), Root::new(), Root::new());
    bottom.apply(&Tar::default().file("d/a", "bottom").file("d/b", "bottom").file("e/x", "bottom").end()).unwrap();
    top.apply(&Tar::default().file("d/a", "top").file("d/.wh.b", "").file("e/.wh..wh..opq", "").end()).unwrap();
    let link = |target: &str| {
        let tar = Tar::default().hardlink("link", target).end();
        apply(&tar[..], upper.fd().as_fd(), &[top.fd().as_fd(), bottom.fd().as_fd()], &options())
    };
    assert_eq!(brief(&link("d/a").unwrap()), ["/link file of 3 644"]);
    assert_eq!(std::fs::read(upper.join("link")).unwrap(), b"top");
    assert_eq!(link("d/b").unwrap_err().to_string(), "hard link /link to /d/b, where no file is");
    assert_eq!(link("e/x").unwrap_err().to_string(), "hard link /link to /e/x, where no file is");
    assert_eq!(link("d").unwrap_err().to_string(), "hard link /link to /d, where no file is");
}

#[test]
fn times_are_set_to_the_nanosecond() {
    let root = Root::new();
    let time = |text: &'static str| Tar::default().pax(&[("mtime", text.as_bytes())]);
    let mut tar = time("1000.000000001").directory("d").end();
    tar.truncate(tar.len() - 1024);
    tar.extend(time("-1.5").file("d/f", "x").end());
    let index = root.apply(&tar).unwrap();
    let check = |name: &str, seconds, nanoseconds| {
        let metadata = std::fs::metadata(root.join(name)).unwrap();
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (seconds, i64::from(nanoseconds)), "{name}");
        assert_eq!(index.get(&path(name)).unwrap().metadata.mtime, Timestamp { seconds, nanoseconds });
    };
    check("d", 1000, 1);
    check("d/f", -2, 500_000_000);
}

#[test]
fn modes_and_owners() {
    if needs_root() {
        return;
    }
    let root = Root::new();
    let with = |kind, name: &str, mode, id| {
        let mut header = header(kind, name, "", 0);
        header.set_mode(mode);
        header.set_uid(id);
        header.set_gid(id + 1);
        header
    };
    let tar = Tar::default()
        .with(with(b'5', "shared/", 0o2775, 100), b"")
        .with(with(b'5', "closed/", 0o500, 4_000_000_000), b"")
        .with(with(b'0', "closed/su", 0o6755, 7), b"")
        .with(with(b'0', "shared/none", 0, 0), b"")
        .with(with(b'0', "shared/all", 0o777, 0), b"");
    let index = root.apply(&tar.end()).unwrap();
    let check = |name: &str, mode, uid, gid| {
        let on_disk = std::fs::metadata(root.join(name)).unwrap();
        assert_eq!((on_disk.mode() & 0o7777, on_disk.uid(), on_disk.gid()), (mode, uid, gid), "{name}");
        let Metadata { mode: m, uid: u, gid: g, .. } = index.get(&path(name)).unwrap().metadata;
        assert_eq!((m, u, g), (mode, uid, gid), "{name}");
    };
    check("shared", 0o2775, 100, 101);
    check("closed", 0o500, 4_000_000_000, 4_000_000_001);
    check("closed/su", 0o6755, 7, 8);
    check("shared/none", 0, 0, 1);
    check("shared/all", 0o777, 0, 1);
}

#[test]
fn a_set_group_id_root_gives_nothing_away() {
    if needs_root() {
        return;
    }
    let root = Root::new();
    std::os::unix::fs::chown(root.path(), None, Some(1234)).unwrap();
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o2755)).unwrap();
    root.apply(&Tar::default().file("d/f", "").end()).unwrap();
    for (name, mode) in [("d", 0o755), ("d/f", 0o644)] {
        let metadata = std::fs::metadata(root.join(name)).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.gid()), (mode, 0), "{name}");
    }
}

#[test]
fn ignored_owners_are_in_the_index_alone() {
    let root = Root::new();
    let mut file = header(b'0', "f", "", 0);
    file.set_uid(1234);
    let options = ApplyOptions { ids: Ids::Ignore, ..options() };
    let index = apply(&Tar::default().with(file, b"").end()[..], root.fd().as_fd(), &[], &options).unwrap();
    assert_eq!(index.entries()[0].metadata.uid, 1234);
    assert_eq!(std::fs::metadata(root.join("f")).unwrap().uid(), rustix::process::geteuid().as_raw());
}

/// `cap_net_raw=ep`, as files carry it (vfs_cap_data, revision 2).
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn capabilities_survive_the_change_of_owner() {
    if needs_root() {
        return;
    }
    let root = Root::new();
    let mut ping = header(b'0', "ping", "", 1);
    ping.set_uid(5);
    ping.set_mode(0o755);
    let tar = Tar::default().pax(&[("SCHILY.xattr.security.capability", CAPABILITY)]).with(ping, b"x").end();
    let index = root.apply(&tar).unwrap();
    assert_eq!(xattr(root.join("ping"), "security.capability").unwrap(), CAPABILITY);
    assert_eq!(index.entries()[0].metadata.xattrs, [(b"security.capability"[..].into(), CAPABILITY.into())]);
    let found = scan_tree(root.fd().as_fd(), OverlayXattr::Trusted, Ids::Keep).unwrap();
    assert_eq!(found.get(&path("ping")), index.get(&path("ping")));
}

#[test]
fn attributes_that_the_kernel_refuses_stay_in_the_index() {
    let root = Root::new();
    // No such namespace of attributes.
    let tar = Tar::default().pax(&[("SCHILY.xattr.nonsense.x", b"1")]).symlink("l", "x").end();
    let index = root.apply(&tar).unwrap();
    assert_eq!(index.entries()[0].metadata.xattrs.len(), 1);
    assert_eq!(xattr(root.join("l"), "nonsense.x"), None);
}

#[test]
fn devices_and_fifos() {
    if needs_root() {
        return;
    }
    let root = Root::new();
    let device = |kind, name, major, minor| {
        let mut header = header(kind, name, "", 0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        header
    };
    let tar = Tar::default()
        .with(device(b'3', "null", 1, 3), b"")
        .with(device(b'4', "disk", 259, 70_000), b"")
        .with(device(b'3', "gone", 0, 0), b"")
        .member(b'6', "fifo", "", b"");
    let index = root.apply(&tar.end()).unwrap();
    let expected = ["/disk block 259:70000 644", "/fifo fifo 644", "/gone whiteout 0", "/null char 1:3 644"];
    assert_eq!(brief(&index), expected);
    let found = scan_tree(root.fd().as_fd(), OverlayXattr::Trusted, Ids::Keep).unwrap();
    assert_eq!(found.entries()[1..], *index.entries());
}

#[test]
fn the_root_has_a_member_of_its_own() {
    let root = Root::new();
    let mut own = header(b'5', "./", "", 0);
    own.set_mode(0o700);
    let index = root.apply(&Tar::default().with(own, b"").file("./a", "").end()).unwrap();
    assert_eq!(brief(&index), ["/ directory 700", "/a file of 0 644"]);
    let metadata = std::fs::metadata(root.path()).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o700, 1_000_000));
}

#[test]
fn long_names_of_gnu_tar() {
    let (long, target) = ("n".repeat(200), "t".repeat(300));
    let tar = Tar::default()
        .member(b'K', "././@LongLink", "", format!("{target}\0").as_bytes())
        .member(b'L', "././@LongLink", "", format!("{long}\0").as_bytes())
        .symlink("short", "short");
    let index = Root::new().apply(&tar.end()).unwrap();
    assert_eq!(brief(&index), [format!("/{long} symlink to {target} 777")]);
}

#[test]
fn extended_headers_override_and_take_back() {
    let records: [(&str, &[u8]); 6] =
        [("path", b"other"), ("path", b"second"), ("uid", b"12"), ("uid", b""), ("size", b"2"), ("comment", b"x")];
    let mut file = header(b'0', "first", "", 2);
    file.set_uid(3);
    let index = Root::new().apply(&Tar::default().pax(&records).with(file, b"ab").file("next", "").end()).unwrap();
    assert_eq!(brief(&index), ["/next file of 0 644", "/second file of 2 644"]);
    assert_eq!(index.get(&path("second")).unwrap().metadata.uid, 3);
}

#[test]
fn global_headers_are_ignored() {
    let tar = Tar::default().member(b'g', "pax_global_header", "", b"13 path=nope\n").file("a", "").end();
    assert_eq!(brief(&Root::new().apply(&tar).unwrap()), ["/a file of 0 644"]);
}

#[test]
fn old_tars_name_directories_with_a_slash() {
    let tar = Tar::default().member(0, "d/", "", b"").member(0, "d/f", "", b"x").end();
    assert_eq!(brief(&Root::new().apply(&tar).unwrap()), ["/d directory 644", "/d/f file of 1 644"]);
}

#[test]
fn members_without_data_claim_sizes() {
    let mut link = header(b'2', "l", "x", 0);
    link.set_size(4096);
    let tar = Tar::default().with(link, b"").file("a", "x").end();
    assert_eq!(brief(&Root::new().apply(&tar).unwrap()), ["/a file of 1 644", "/l symlink to x 777"]);
}

#[test]
fn the_kind_of_a_file_is_told_by_its_bytes() {
    let index = Root::new().apply(&Tar::default().file("a", "hello").end()).unwrap();
    let Kind::File { size, content } = index.entries()[0].kind else { panic!("no file") };
    assert_eq!((size, content.0), (5, *blake3::hash(b"hello").as_bytes()));
}
