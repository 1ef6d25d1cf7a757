//! A real overlay: what a shell does in it is what a scan finds, and the layer shows the same when it is mounted again.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use image::layer::{ApplyOptions, Compression, PackOptions, ScanOptions, Stack, apply, pack, scan, scan_tree};
use image::{Entry, Index, Kind, LayerPath};

use crate::support::{Root, Tar, brief, needs_root, options};

/// Runs `script` with an overlay of `lowers` (topmost first) at `merged`, in a mount namespace of its own. A file system in
/// memory holds the upper directory, for overlays do not nest.
#[track_caller]
fn in_overlay(directory: &Path, lowers: &str, script: &str) {
    let script = format!(
        "mount -t tmpfs tmpfs mnt; mkdir mnt/upper mnt/work mnt/merged; mkdir mnt/lower
         for l in {lowers}; do mkdir mnt/lower/$l; (cd $l && tar -cf - --xattrs --xattrs-include='*' .) | tar -xpf - -C mnt/lower/$l --xattrs --xattrs-include='*'; done
         lowerdir=$(for l in {lowers}; do printf ':mnt/lower/%s' $l; done)
         mount -t overlay overlay -o lowerdir=${{lowerdir#:}},upperdir=mnt/upper,workdir=mnt/work mnt/merged
         (cd mnt/merged; {script})
         umount mnt/merged
         (cd mnt/upper && tar -cf - --xattrs --xattrs-include='*' .) | tar -xpf - -C upper --xattrs --xattrs-include='*'"
    );
    let status = Command::new("unshare").args(["-m", "sh", "-euc", &script]).current_dir(directory).status().unwrap();
    assert!(status.success(), "{script}");
}

/// Returns what a tree shows, times of directories aside: these depend on how it was put together.
fn seen(index: &Index) -> Vec<Entry> {
    let mut entries = index.entries().to_vec();
    for entry in &mut entries {
        if matches!(entry.kind, Kind::Directory { .. }) {
            entry.metadata.mtime = Default::default();
            entry.kind = Kind::Directory { opaque: false };
        }
    }
    entries.retain(|entry| !entry.path.is_root());
    entries
}

#[track_caller]
fn check(script: &str, expected: &[&str]) {
    if needs_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["mnt", "base", "upper", "after", "again"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    let open = |name: &str| std::fs::File::open(directory.path().join(name)).unwrap();
    let base = Tar::default()
        .file("d/a", "1")
        .file("d/b", "22")
        .file("d/sub/c", "333")
        .file("e/f", "4")
        .symlink("l", "d/a")
        .end();
    let lower = apply(&base[..], open("base").as_fd(), &[], &ApplyOptions::default()).unwrap();
    let copy = "tar -cf - --xattrs --xattrs-include='*' . | tar -xpf - -C ../../after --xattrs --xattrs-include='*'";
    in_overlay(directory.path(), "base", &format!("{script}\n{copy}"));

    let scan_options = ScanOptions { remove: true, ..ScanOptions::default() };
    let found = scan(open("upper").as_fd(), &Stack::new([&lower]), &scan_options).unwrap();
    assert_eq!(brief(&found.index), expected);

    // Packed, applied and mounted over the base again it shows what the shell left behind.
    let mut tar = Vec::new();
    let plain = PackOptions { compression: Compression::None, ..PackOptions::default() };
    pack(&found.index, open("upper").as_fd(), &mut tar, &plain).unwrap();
    let layer = Root::new();
    let applied = layer.apply(&tar).unwrap();
    assert_eq!(brief(&applied), brief(&found.index));
    let moved =
        Command::new("cp").args(["-a", "--"]).arg(layer.path()).arg(directory.path().join("layer")).status().unwrap();
    assert!(moved.success());
    std::fs::remove_dir_all(directory.path().join("upper")).unwrap();
    std::fs::create_dir(directory.path().join("upper")).unwrap();
    in_overlay(directory.path(), "layer base", &copy.replace("after", "again"));
    let whole = |name: &str| {
        let index = scan_tree(open(name).as_fd(), options().overlay, options().ids).unwrap();
        seen(&index)
            .into_iter()
            .map(|mut entry| {
                entry.metadata.mtime.nanoseconds = 0;
                entry
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(whole("again"), whole("after"));
    // And the stack of indexes sees it as the kernel does.
    let stack = Stack::new([&found.index, &lower]);
    for entry in whole("after") {
        let kind = stack.get(&entry.path).map(|entry| entry.kind);
        match (&entry.kind, &kind) {
            (Kind::Directory { .. }, Some(Kind::Directory { .. }))
            | (Kind::Hardlink { .. }, Some(Kind::File { .. })) => {}
            _ => assert_eq!(kind.as_ref(), Some(&entry.kind), "{}", entry.path),
        }
    }
    let gone = |path: &LayerPath| !whole("after").iter().any(|entry| entry.path == *path);
    for entry in lower.entries().iter().filter(|entry| !entry.path.is_root() && gone(&entry.path)) {
        assert_eq!(stack.get(&entry.path), None);
    }
}

#[test]
fn nothing() {
    check("true", &[]);
}

#[test]
fn reading_and_touching_back() {
    check("cat d/a > /dev/null; chmod 600 d/a; chmod 644 d/a; chmod 700 e; chmod 755 e", &[]);
}

#[test]
fn writing() {
    check("echo more >> d/a; echo new > d/new", &["/d directory 755", "/d/a file of 6 644", "/d/new file of 4 644"]);
}

#[test]
fn removing() {
    check("rm d/a; rm -r e", &["/d directory 755", "/d/a whiteout 0", "/e whiteout 0"]);
}

#[test]
fn made_and_removed() {
    check("echo x > d/x; rm d/x; mkdir n; rmdir n", &[]);
}

#[test]
fn a_directory_replaced() {
    let expected = ["/d opaque directory 755", "/d/b file of 2 644", "/e file of 2 644"];
    check("rm -r d; mkdir d; echo y > d/b; rm -r e; echo x > e", &expected);
}

#[test]
fn a_file_replaced_by_a_directory() {
    let expected = ["/d directory 755", "/d/a directory 755", "/d/a/x file of 0 644", "/l directory 755"];
    check("rm d/a; mkdir d/a; : > d/a/x; rm l; mkdir l", &expected);
}

#[test]
fn a_directory_moved() {
    check(
        "mv d n 2>/dev/null || { cp -a d n; rm -r d; }",
        &[
            "/d whiteout 0",
            "/n directory 755",
            "/n/a file of 1 644",
            "/n/b file of 2 644",
            "/n/sub directory 755",
            "/n/sub/c file of 3 644",
        ],
    );
}

#[test]
fn new_directories_are_not_opaque() {
    check("mkdir -p n/m; echo x > n/m/x", &["/n directory 755", "/n/m directory 755", "/n/m/x file of 2 644"]);
}

#[test]
fn links_and_devices() {
    let expected = [
        "/d directory 755",
        "/d/a file of 1 644",
        "/d/hard link to /d/a 644",
        "/d/sym symlink to a 777",
        "/null char 1:3 644",
        "/pipe fifo 644",
    ];
    check("ln d/a d/hard; ln -s a d/sym; mkfifo pipe; mknod null c 1 3", &expected);
}

#[test]
fn owners_and_capabilities() {
    check(
        "chown 7:8 d/a; setcap cap_net_raw=ep d/b",
        &["/d directory 755", "/d/a file of 1 644", "/d/b file of 2 644"],
    );
}
