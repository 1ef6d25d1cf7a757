//! Mounts of the specification, and the mount points that have to be made.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use sandbox::{Mount, MountKind, Rootfs, Spec};

use super::fixture::{Fixture, chain, tree, upper};
use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("stubs_are_reported", stubs_are_reported),
    ("links_of_an_image_cannot_lead_out", links_of_an_image_cannot_lead_out),
    ("a_dangling_link_gets_a_target", a_dangling_link_gets_a_target),
    ("files_of_etc_are_read_only", files_of_etc_are_read_only),
    ("binds_of_directories_and_files", binds_of_directories_and_files),
    ("nothing_is_bound_from_nowhere", nothing_is_bound_from_nowhere),
    ("directories_are_mounted_in_part", directories_are_mounted_in_part),
    ("snapshots_are_mounted_in_part", snapshots_are_mounted_in_part),
    ("tmpfs_has_its_size", tmpfs_has_its_size),
    ("data_has_its_mode", data_has_its_mode),
    ("later_mounts_stand_on_earlier_ones", later_mounts_stand_on_earlier_ones),
    ("thousands_of_mounts", thousands_of_mounts),
    ("the_root_is_no_target", the_root_is_no_target),
];

fn mount(target: &str, read_only: bool, kind: MountKind) -> Mount {
    Mount { target: target.into(), read_only, kind }
}

fn bind(source: impl Into<PathBuf>) -> MountKind {
    MountKind::Bind { source: source.into(), recursive: false }
}

fn data(bytes: &[u8], mode: u32) -> MountKind {
    MountKind::Data { bytes: bytes.to_vec(), mode, uid: 0, gid: 0 }
}

/// Adds a layer on top.
fn layer(fixture: &Fixture, spec: &mut Spec) -> PathBuf {
    let layer = fixture.directory();
    let Rootfs::Overlay { lowers, .. } = &mut spec.rootfs else { unreachable!() };
    lowers.insert(0, layer.clone());
    layer
}

fn stubs_are_reported(fixture: &Fixture) {
    let mut spec = fixture.shell(":");
    spec.hosts = Some(b"x".to_vec());
    spec.resolv_conf = Some(b"y".to_vec());
    spec.mounts = vec![
        mount("/var/cache/apt", false, bind(fixture.directory())),
        mount("/run/secrets/key", true, data(b"k", 0o400)),
        mount("/root", false, bind(fixture.directory())),
    ];
    let output = fixture.run(&spec);
    let expected = [
        "/etc/hosts",
        "/etc/resolv.conf",
        "/var",
        "/var/cache",
        "/var/cache/apt",
        "/run",
        "/run/secrets",
        "/run/secrets/key",
    ];
    assert_eq!(output.exit.stubs, expected);
    let mut below: Vec<_> = expected.iter().map(|path| path[1..].to_owned()).chain(["etc".to_owned()]).collect();
    below.sort();
    assert_eq!(tree(upper(&spec)), below);
}

fn links_of_an_image_cannot_lead_out(fixture: &Fixture) {
    let outside = fixture.directory();
    let mut spec = fixture.shell("cat /etc/hosts /var/x; cat /proc/self/mountinfo | grep -c tmpfs >/dev/null");
    let layer = layer(fixture, &mut spec);
    fs::create_dir(layer.join("etc")).unwrap();
    symlink(outside.join("hosts"), layer.join("etc/hosts")).unwrap();
    symlink("../../../../../../../../..", layer.join("up")).unwrap();
    symlink(format!("/up/{}", outside.display()), layer.join("var")).unwrap();
    // Even what is always mounted.
    symlink(outside.join("sys"), layer.join("sys")).unwrap();
    spec.hosts = Some(b"hosts\n".to_vec());
    spec.mounts = vec![mount("/var/x", true, data(b"data\n", 0o444))];
    assert_eq!(fixture.run(&spec).good(), "hosts\ndata");
    assert_eq!(tree(&outside), [""; 0]);
}

fn a_dangling_link_gets_a_target(fixture: &Fixture) {
    let mut spec = fixture.shell("cat /etc/resolv.conf");
    let layer = layer(fixture, &mut spec);
    fs::create_dir(layer.join("etc")).unwrap();
    symlink("../run/systemd/resolve/stub-resolv.conf", layer.join("etc/resolv.conf")).unwrap();
    spec.resolv_conf = Some(b"nameserver 192.0.2.1\n".to_vec());
    let output = fixture.run(&spec);
    assert_eq!(output.stdout, "nameserver 192.0.2.1\n", "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let run = ["/run", "/run/systemd", "/run/systemd/resolve", "/run/systemd/resolve/stub-resolv.conf"];
    assert_eq!(output.exit.stubs, run);
}

fn files_of_etc_are_read_only(fixture: &Fixture) {
    let mut spec = fixture.shell("cat /etc/hosts; stat -c '%a %u %s' /etc/hosts; echo x >> /etc/hosts");
    spec.hosts = Some(b"127.0.0.1 box\n".to_vec());
    let output = fixture.run(&spec);
    assert_eq!(output.stdout, "127.0.0.1 box\n644 0 14\n");
    assert!(output.stderr.contains("Read-only file system"), "{output:?}");
    assert_eq!(fs::metadata(upper(&spec).join("etc/hosts")).unwrap().len(), 0);
}

fn binds_of_directories_and_files(fixture: &Fixture) {
    let shared = fixture.directory();
    fs::write(shared.join("in"), "in").unwrap();
    let mut spec = fixture.shell("cat /rw/in /file; echo out > /rw/out; echo no > /ro/no");
    spec.mounts = vec![
        mount("/rw", false, bind(&shared)),
        mount("/ro", true, bind(&shared)),
        mount("/file", true, bind(shared.join("in"))),
    ];
    let output = fixture.run(&spec);
    assert_eq!(output.stdout, "inin");
    assert!(output.stderr.contains("Read-only file system"), "{output:?}");
    assert_eq!(fs::read_to_string(shared.join("out")).unwrap(), "out\n");
    assert_eq!(tree(&shared), ["in", "out"]);
    // A file does not fit on a directory.
    let mut spec = fixture.shell(":");
    spec.mounts = vec![mount("/etc", true, bind(shared.join("in")))];
    assert!(chain(&fixture.try_run(&spec).unwrap_err()).starts_with("mounting at /etc: "));
}

fn nothing_is_bound_from_nowhere(fixture: &Fixture) {
    let mut spec = fixture.shell(":");
    spec.mounts = vec![mount("/x", true, bind("/no/such/source"))];
    let error = chain(&fixture.try_run(&spec).unwrap_err());
    assert_eq!(error, "mounting /no/such/source at /x: No such file or directory (os error 2)");
}

fn directories_are_mounted_in_part(fixture: &Fixture) {
    let (directory, outside) = (fixture.directory(), fixture.directory());
    fs::create_dir_all(directory.join("sub/dir")).unwrap();
    fs::write(directory.join("sub/file"), "file\n").unwrap();
    fs::write(outside.join("secret"), "").unwrap();
    symlink("/sub", directory.join("inside")).unwrap();
    symlink(&outside, directory.join("absolute")).unwrap();
    symlink(format!("../../../../../../../..{}", outside.display()), directory.join("up")).unwrap();
    let beneath = |subpath: &str| MountKind::Beneath { directory: directory.clone(), subpath: subpath.into() };
    let mut spec = fixture.shell("ls /d; cat /f; echo new > /d/new; echo no > /f");
    spec.mounts = vec![mount("/d", false, beneath("/sub")), mount("/f", true, beneath("inside/file"))];
    let output = fixture.run(&spec);
    assert_eq!(output.stdout, "dir\nfile\nfile\n", "{output:?}");
    assert!(output.stderr.contains("Read-only file system"), "{output:?}");
    assert_eq!(fs::read_to_string(directory.join("sub/new")).unwrap(), "new\n");
    for subpath in
        ["absolute/secret", "up/secret", &format!("../../../../../../..{}/secret", outside.display()), "none"]
    {
        let mut spec = fixture.shell(":");
        spec.mounts = vec![mount("/s", true, beneath(subpath))];
        let error = chain(&fixture.try_run(&spec).unwrap_err());
        assert_eq!(error, format!("finding `{subpath}` to mount at /s: No such file or directory (os error 2)"));
    }
}

fn snapshots_are_mounted_in_part(fixture: &Fixture) {
    let (bottom, top) = (fixture.directory(), fixture.directory());
    fs::create_dir_all(bottom.join("sub/dir")).unwrap();
    fs::write(bottom.join("sub/a"), "bottom a\n").unwrap();
    fs::write(bottom.join("sub/b"), "bottom b\n").unwrap();
    fs::create_dir(top.join("sub")).unwrap();
    fs::write(top.join("sub/a"), "top a\n").unwrap();
    let stack = vec![top.clone(), bottom.clone()];
    let snapshot =
        |lowers: &[PathBuf], subpath: &str| MountKind::Snapshot { lowers: lowers.to_vec(), subpath: subpath.into() };
    let mut spec = fixture.shell("cat /s/a /s/b /one/sub/b /f; echo new > /w/a && cat /w/a; echo no > /s/a");
    spec.mounts = vec![
        mount("/s", true, snapshot(&stack, "/sub")),
        mount("/one", true, snapshot(&stack[1..], "")),
        mount("/f", true, snapshot(&stack, "sub/b")),
        mount("/w", false, snapshot(&stack, "sub")),
    ];
    let output = fixture.run(&spec);
    assert_eq!(output.stdout, "top a\nbottom b\nbottom b\nbottom b\nnew\n", "{output:?}");
    assert!(output.stderr.contains("Read-only file system"), "{output:?}");
    assert_eq!(fs::read_to_string(top.join("sub/a")).unwrap(), "top a\n");
    // A link in a stack leads nowhere but into it.
    symlink("/etc", top.join("out")).unwrap();
    let mut spec = fixture.shell(":");
    spec.mounts = vec![mount("/s", true, snapshot(&stack, "out/passwd"))];
    let error = chain(&fixture.try_run(&spec).unwrap_err());
    assert_eq!(error, "finding `out/passwd` to mount at /s: No such file or directory (os error 2)");
}

fn tmpfs_has_its_size(fixture: &Fixture) {
    let mut spec = fixture.shell("stat -c %a /t; df -k /t | tail -n 1 | awk '{print $2}'; echo x > /t/x");
    spec.mounts = vec![mount("/t", false, MountKind::Tmpfs { size: Some(1 << 20), mode: 0o1770 })];
    let output = fixture.run(&spec);
    assert_eq!(output.exit.stubs, ["/t"]);
    assert_eq!(output.good(), "1770\n1024");
    assert_eq!(tree(upper(&spec)), ["t"]);
}

fn data_has_its_mode(fixture: &Fixture) {
    let mut spec = fixture.shell("stat -c '%a %u:%g' /run/secrets/s; cat /run/secrets/s; /dev/pipes/script");
    spec.mounts = vec![
        mount("/run/secrets/s", true, data(b"secret\n", 0o400)),
        mount("/dev/pipes/script", true, data(b"#!/bin/sh\necho runs\n", 0o755)),
    ];
    let output = fixture.run(&spec);
    assert_eq!(output.exit.stubs, ["/run", "/run/secrets", "/run/secrets/s"], "none in /dev: {output:?}");
    assert_eq!(output.good(), "400 0:0\nsecret\nruns");
}

fn later_mounts_stand_on_earlier_ones(fixture: &Fixture) {
    let cache = fixture.directory();
    let mut spec = fixture.shell("cat /a/b/file");
    spec.mounts = vec![mount("/a", false, bind(&cache)), mount("/a/b/file", true, data(b"deep", 0o444))];
    let output = fixture.run(&spec);
    assert_eq!(output.stdout, "deep");
    // What was made in the cache is the cache's, not the root's.
    assert_eq!(output.exit.stubs, ["/a"]);
    assert_eq!(tree(&cache), ["b", "b/file"]);
}

fn thousands_of_mounts(fixture: &Fixture) {
    let source = fixture.directory();
    fs::write(source.join("f"), "x").unwrap();
    let mut spec = fixture.shell("cat /mnt/*/f | wc -c");
    spec.mounts = (0..2000).map(|number| mount(&format!("/mnt/{number}"), true, bind(&source))).collect();
    let output = fixture.run(&spec);
    assert_eq!(output.exit.stubs.len(), 2001);
    assert_eq!(output.good(), "2000");
}

fn the_root_is_no_target(fixture: &Fixture) {
    for target in ["/", "/.", "//", "relative", ""] {
        let mut spec = fixture.shell(":");
        spec.mounts = vec![mount(target, true, bind(fixture.directory()))];
        assert_eq!(chain(&fixture.try_run(&spec).unwrap_err()), format!("cannot mount at `{target}`"));
    }
}
