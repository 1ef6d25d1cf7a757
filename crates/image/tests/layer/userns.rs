//! The same as in a user namespace, where owners, devices and attributes have their limits.
//!
//! A test runs itself once more inside: namespaces are entered before there are threads.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Output, Stdio};

use image::Kind;
use image::layer::{ApplyOptions, Ids, OverlayXattr, PackOptions, apply, pack, scan_tree};

use crate::support::{Root, Tar, brief, header, needs_root, path};

const INSIDE: &str = "KILN_TEST_IN_USER_NAMESPACE";

/// True in the run inside. Outside it runs `test` there, and says so if it cannot. The maps of uids and gids
/// have lines of inner id, outer id and count.
#[expect(clippy::print_stderr, reason = "a skipped test should say so")]
fn inside(test: &str, [uids, gids]: [&str; 2]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !Command::new("unshare").args(["-U", "true"]).status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("REQUIRE_USERNS").is_none(), "no user namespaces here");
        eprintln!("skipped: no user namespaces here");
        return false;
    }
    let output = run_inside(test, uids, gids).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "no such test: {test}");
    false
}

fn run_inside(test: &str, uids: &str, gids: &str) -> std::io::Result<Output> {
    // The shell waits for the map; root's capabilities come with the exec after it.
    let mut child = Command::new("unshare")
        .args(["-U", "sh", "-c", "echo; read -r line; exec \"$@\"", "sh"])
        .arg(std::env::current_exe()?)
        .args(["--exact", test])
        .env(INSIDE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdout.as_mut().expect("it is a pipe").read_exact(&mut [0])?;
    let process = format!("/proc/{}", child.id());
    std::fs::write(format!("{process}/setgroups"), "deny")?;
    std::fs::write(format!("{process}/uid_map"), uids)?;
    std::fs::write(format!("{process}/gid_map"), gids)?;
    child.stdin.take().expect("it is a pipe").write_all(b"\n")?;
    child.wait_with_output()
}

/// `cap_net_raw=ep` (vfs_cap_data, revision 2).
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn sample() -> Vec<u8> {
    let mut null = header(b'3', "null", "", 0);
    null.set_device_major(1).unwrap();
    null.set_device_minor(3).unwrap();
    let mut theirs = header(b'0', "theirs", "", 1);
    theirs.set_uid(33);
    theirs.set_mode(0o4755);
    Tar::default()
        .with(null, b"")
        .file("gone/.wh.x", "")
        .file("opaque/.wh..wh..opq", "")
        .pax(&[("SCHILY.xattr.security.capability", CAPABILITY), ("SCHILY.xattr.trusted.x", b"1")])
        .with(theirs, b"x")
        .end()
}

const SEEN: [&str; 5] = [
    "/gone directory 755",
    "/gone/x whiteout 0",
    "/null char 1:3 644",
    "/opaque opaque directory 755",
    "/theirs file of 1 4755",
];

#[test]
fn with_a_single_id() {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let maps = [format!("0 {} 1", uid.as_raw()), format!("0 {} 1", gid.as_raw())];
    if inside("userns::with_a_single_id", maps.each_ref().map(String::as_str)) {
        let root = check(Ids::Ignore);
        let mine = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(root.join("theirs")).unwrap());
        assert_eq!(mine, 0);
        let error = apply(&sample()[..], Root::new().fd().as_fd(), &[], &options(Ids::Keep)).unwrap_err();
        assert_eq!(error.to_string(), "failed to set owner 33:0 of /theirs");
    }
}

#[test]
fn with_many_ids() {
    let is_outside = std::env::var_os(INSIDE).is_none();
    if is_outside && needs_root() {
        return;
    }
    if inside("userns::with_many_ids", ["0 0 1\n1 100001 65535"; 2]) {
        let root = check(Ids::Keep);
        let theirs = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(root.join("theirs")).unwrap());
        assert_eq!(theirs, 33);
    }
}

fn options(ids: Ids) -> ApplyOptions {
    ApplyOptions { overlay: OverlayXattr::User, ids, ..ApplyOptions::default() }
}

/// Applies the sample: what the kernel refuses is in the index and packed all the same.
fn check(ids: Ids) -> Root {
    let root = Root::new();
    let index = apply(&sample()[..], root.fd().as_fd(), &[], &options(ids)).unwrap();
    assert_eq!(brief(&index), SEEN);
    let theirs = index.get(&path("theirs")).unwrap();
    assert_eq!((theirs.metadata.uid, theirs.metadata.xattrs.len()), (33, 2));
    let found = scan_tree(root.fd().as_fd(), OverlayXattr::User, ids).unwrap();
    let on_disk: Vec<_> = SEEN.into_iter().filter(|line| !line.starts_with("/null")).collect();
    assert_eq!(brief(&found)[1..], *on_disk);
    assert_eq!(found.get(&path("theirs")).unwrap().metadata.xattrs.len(), 1, "only the capability");
    let mut out = Vec::new();
    pack(&index, root.fd().as_fd(), &mut out, &PackOptions::default()).unwrap();
    assert!(matches!(index.get(&path("null")).unwrap().kind, Kind::CharDevice { major: 1, minor: 3 }));
    root
}
