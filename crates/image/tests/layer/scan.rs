//! Reading upper directories, made by hand as an overlay would.

use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use image::layer::{ApplyOptions, Ids, Lower, Scan, ScanError, ScanOptions, Stack, scan, scan_tree};
use image::{Entry, Index, Kind, LayerPath, Timestamp};
use rustix::fs::XattrFlags;

use crate::support::{Root, Tar, brief, is_root, options, path};

fn set_xattr(file: impl AsRef<Path>, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(file.as_ref(), name, value, XattrFlags::empty()).unwrap();
}

fn overlay(name: &str) -> String {
    format!("{}.overlay.{name}", if is_root() { "trusted" } else { "user" })
}

fn set_time(file: impl AsRef<Path>, seconds: impl Into<f64>) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs_f64(seconds.into());
    std::fs::File::open(file).unwrap().set_modified(time).unwrap();
}

fn time_of(file: impl AsRef<Path>) -> i64 {
    std::os::unix::fs::MetadataExt::mtime(&std::fs::metadata(file).unwrap())
}

fn whiteout(file: impl AsRef<Path>) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, file.as_ref(), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

/// An upper directory over one layer, which it starts as a copy of: everything copied up, nothing changed.
struct Upper {
    root: Root,
    lower: Index,
}

impl Upper {
    fn new(tar: Tar) -> Self {
        let root = Root::new();
        let lower = root.apply(&tar.end()).unwrap();
        Self { root, lower }
    }

    fn options(&self) -> ScanOptions {
        let ApplyOptions { overlay, ids, .. } = options();
        ScanOptions { overlay, ids, ignore: Vec::new(), remove: true }
    }

    fn scan(&self) -> Scan {
        self.scan_with(&self.options())
    }

    /// Scans, and checks that what stays in the directory is what the index says.
    #[track_caller]
    fn scan_with(&self, options: &ScanOptions) -> Scan {
        let scan = scan(self.root.fd().as_fd(), &Stack::new([&self.lower]), options).unwrap();
        if options.remove {
            let left = scan_tree(self.root.fd().as_fd(), options.overlay, Ids::Keep).unwrap();
            let left: Index = left.entries().iter().filter(|entry| !entry.path.is_root()).cloned().collect();
            assert_eq!(brief(&left), brief(&scan.index), "on disk");
            if options.ids == Ids::Keep {
                assert_eq!(left, scan.index, "on disk");
            }
        }
        scan
    }
}

fn paths(paths: &[LayerPath]) -> Vec<String> {
    paths.iter().map(ToString::to_string).collect()
}

fn sample() -> Tar {
    Tar::default().file("etc/a", "1").file("etc/b", "2").file("usr/bin/x", "3").symlink("usr/l", "x").directory("empty")
}

#[test]
fn what_was_only_copied_up_is_no_change() {
    let upper = Upper::new(sample());
    let scan = upper.scan();
    assert_eq!(brief(&scan.index), [""; 0]);
    let all = ["/empty", "/etc", "/etc/a", "/etc/b", "/usr", "/usr/bin", "/usr/bin/x", "/usr/l"];
    assert_eq!(paths(&scan.unchanged), all);
    assert_eq!(std::fs::read_dir(upper.root.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_removed_unless_asked() {
    let upper = Upper::new(sample());
    std::fs::write(upper.root.join("etc/new"), "new").unwrap();
    let before = scan_tree(upper.root.fd().as_fd(), options().overlay, Ids::Keep).unwrap();
    let scan = upper.scan_with(&ScanOptions { remove: false, ..upper.options() });
    assert_eq!(brief(&scan.index), ["/etc directory 755", "/etc/new file of 3 644"]);
    assert_eq!(scan_tree(upper.root.fd().as_fd(), options().overlay, Ids::Keep).unwrap(), before);
}

#[test]
fn a_change_keeps_the_directories_above_it() {
    let upper = Upper::new(sample());
    std::fs::write(upper.root.join("usr/bin/x"), "9").unwrap();
    set_time(upper.root.join("usr/bin"), 7);
    let scan = upper.scan();
    assert_eq!(brief(&scan.index), ["/usr directory 755", "/usr/bin directory 755", "/usr/bin/x file of 1 644"]);
    assert_eq!(scan.index.get(&path("usr/bin")).unwrap().metadata.mtime.seconds, 7);
    assert_eq!(time_of(upper.root.join("usr/bin")), 7, "removing something else must not show");
}

#[test]
fn the_time_of_a_file_is_a_change_that_of_a_directory_is_not() {
    let upper = Upper::new(sample());
    set_time(upper.root.join("etc/a"), 7);
    set_time(upper.root.join("empty"), 7);
    assert_eq!(brief(&upper.scan().index), ["/etc directory 755", "/etc/a file of 1 644"]);
}

/// Programs may give a file its old size and time back.
#[test]
fn content_counts_not_the_time() {
    let upper = Upper::new(sample());
    std::fs::write(upper.root.join("etc/a"), "9").unwrap();
    set_time(upper.root.join("etc/a"), 1_000_000);
    assert_eq!(brief(&upper.scan().index), ["/etc directory 755", "/etc/a file of 1 644"]);
}

#[test]
fn modes_and_attributes_are_changes() {
    let upper = Upper::new(sample());
    std::fs::set_permissions(upper.root.join("etc/a"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(upper.root.join("empty"), std::fs::Permissions::from_mode(0o700)).unwrap();
    set_xattr(upper.root.join("usr"), "user.x", b"1");
    let expected = ["/empty directory 700", "/etc directory 755", "/etc/a file of 1 600", "/usr directory 755"];
    assert_eq!(brief(&upper.scan().index), expected);
}

#[test]
fn whiteouts_of_nothing_are_dropped() {
    let upper = Upper::new(sample());
    std::fs::remove_file(upper.root.join("etc/a")).unwrap();
    whiteout(upper.root.join("etc/a"));
    whiteout(upper.root.join("etc/never"));
    std::fs::write(upper.root.join("etc/b"), "").unwrap();
    set_xattr(upper.root.join("etc/b"), &overlay("whiteout"), b"");
    let scan = upper.scan_with(&ScanOptions { remove: false, ..upper.options() });
    assert_eq!(brief(&scan.index), ["/etc directory 755", "/etc/a whiteout 0", "/etc/b whiteout 0"]);
    assert!(scan.unchanged.contains(&path("etc/never")));
}

#[test]
fn opaque_directories_hide_what_was_there() {
    let upper = Upper::new(sample());
    set_xattr(upper.root.join("usr"), &overlay("opaque"), b"y");
    let scan = upper.scan();
    let expected =
        ["/usr opaque directory 755", "/usr/bin directory 755", "/usr/bin/x file of 1 644", "/usr/l symlink to x 777"];
    assert_eq!(brief(&scan.index), expected);
}

/// The kernel marks new directories, too. Where the layer is used again something may be there to be hidden.
#[test]
fn an_opaque_directory_that_hides_nothing_is_a_plain_one() {
    let upper = Upper::new(Tar::default().file("was-file", ""));
    for name in ["new", "was-file"] {
        let _ = std::fs::remove_file(upper.root.join(name));
        std::fs::create_dir(upper.root.join(name)).unwrap();
        set_xattr(upper.root.join(name), &overlay("opaque"), b"y");
        set_time(upper.root.join(name), 7);
    }
    let scan = upper.scan();
    assert_eq!(brief(&scan.index), ["/new directory 755", "/was-file directory 755"]);
    assert_eq!(
        rustix::fs::lgetxattr(upper.root.join("new"), overlay("opaque"), &mut [0; 9]),
        Err(rustix::io::Errno::NODATA)
    );
    assert_eq!(time_of(upper.root.join("new")), 7);
}

#[test]
fn marks_of_the_overlay_are_not_ours() {
    let upper = Upper::new(sample());
    for name in ["origin", "impure", "nlink", "uuid", "protattr"] {
        set_xattr(upper.root.join("etc/a"), &overlay(name), b"y");
        set_xattr(upper.root.join("empty"), &overlay(name), b"y");
    }
    assert_eq!(brief(&upper.scan().index), [""; 0]);
}

#[test]
fn a_redirect_cannot_be_understood() {
    for (name, at) in [("redirect", "etc"), ("metacopy", "etc/a")] {
        let upper = Upper::new(sample());
        set_xattr(upper.root.join(at), &overlay(name), b"/usr");
        let error = scan(upper.root.fd().as_fd(), &Stack::new([&upper.lower]), &upper.options()).unwrap_err();
        assert!(matches!(&error, ScanError::Redirect { path: p } if *p == path(at)), "{error}");
    }
}

#[test]
fn hard_links() {
    let upper = Upper::new(sample());
    std::fs::hard_link(upper.root.join("etc/b"), upper.root.join("etc/a0")).unwrap();
    std::fs::write(upper.root.join("empty/z"), "z").unwrap();
    std::fs::hard_link(upper.root.join("empty/z"), upper.root.join("empty/y")).unwrap();
    let scan = upper.scan();
    // `b` has not changed, but it is the same file as one that is new.
    let expected = [
        "/empty directory 755",
        "/empty/y file of 1 644",
        "/empty/z link to /empty/y 644",
        "/etc directory 755",
        "/etc/a0 file of 1 644",
        "/etc/b link to /etc/a0 644",
    ];
    assert_eq!(brief(&scan.index), expected);
}

#[test]
fn hard_links_that_have_not_changed() {
    let upper = Upper::new(Tar::default().file("b", "x").hardlink("a", "b").hardlink("c", "b"));
    assert_eq!(brief(&upper.lower), ["/a file of 1 644", "/b link to /a 644", "/c link to /a 644"]);
    assert_eq!(brief(&upper.scan().index), [""; 0]);
}

#[test]
fn sockets_are_dropped() {
    let upper = Upper::new(sample());
    let socket = std::os::unix::net::UnixListener::bind(upper.root.join("etc/socket")).unwrap();
    let scan = upper.scan();
    assert_eq!(brief(&scan.index), [""; 0]);
    drop(socket);
}

#[test]
fn mount_points_made_for_the_step_leave_no_trace() {
    let upper = Upper::new(Tar::default().directory("etc").directory("run"));
    for (file, directory) in [("etc/hosts", ""), ("etc/resolv.conf", ""), ("", "proc"), ("", "run/secrets/deep")] {
        match file {
            "" => std::fs::create_dir_all(upper.root.join(directory)).unwrap(),
            _ => std::fs::write(upper.root.join(file), "").unwrap(),
        }
    }
    let ignore =
        ["etc/hosts", "etc/resolv.conf", "proc", "run/secrets", "run/secrets/deep", "etc/absent"].map(path).into();
    let scan = upper.scan_with(&ScanOptions { ignore, ..upper.options() });
    assert_eq!(brief(&scan.index), [""; 0]);
    assert_eq!(std::fs::read_dir(upper.root.path()).unwrap().count(), 0);
}

#[test]
fn mount_points_that_are_in_use_stay() {
    let upper = Upper::new(Tar::default().file("etc/hosts", ""));
    set_time(upper.root.join("etc/hosts"), 7);
    std::fs::create_dir(upper.root.join("proc")).unwrap();
    std::fs::write(upper.root.join("proc/x"), "").unwrap();
    std::fs::write(upper.root.join("full"), "x").unwrap();
    let ignore = ["etc/hosts", "proc", "full"].map(path).into();
    let scan = upper.scan_with(&ScanOptions { ignore, ..upper.options() });
    let expected = [
        "/etc directory 755",
        "/etc/hosts file of 0 644",
        "/full file of 1 644",
        "/proc directory 755",
        "/proc/x file of 0 644",
    ];
    assert_eq!(brief(&scan.index), expected);
}

#[test]
fn a_mount_point_does_not_change_the_time_of_its_directory() {
    let check = |touched: f64, expected: f64| {
        let upper = Upper::new(Tar::default().with(etc(), b"").file("etc/passwd", "1"));
        std::fs::write(upper.root.join("etc/passwd"), "2").unwrap();
        std::fs::write(upper.root.join("etc/hosts"), "").unwrap();
        set_time(upper.root.join("etc/hosts"), 500);
        set_time(upper.root.join("etc"), touched);
        let scan = upper.scan_with(&ScanOptions { ignore: vec![path("etc/hosts")], ..upper.options() });
        assert_eq!(brief(&scan.index), ["/etc directory 755", "/etc/passwd file of 1 644"]);
        let Timestamp { seconds, nanoseconds } = scan.index.get(&path("etc")).unwrap().metadata.mtime;
        assert_eq!(seconds as f64 + f64::from(nanoseconds) / 1e9, expected);
        assert_eq!(time_of(upper.root.join("etc")), expected as i64);
    };
    check(500.0, 100.0);
    // The clocks of two files differ that much.
    check(500.005, 100.0);
    // Something else happened in it later.
    check(500.5, 500.5);
    check(600.0, 600.0);
}

fn etc() -> tar::Header {
    let mut header = crate::support::header(b'5', "etc/", "", 0);
    header.set_mtime(100);
    header
}

#[test]
fn owners_that_the_disk_cannot_hold() {
    let mut theirs = crate::support::header(b'0', "theirs", "", 0);
    theirs.set_uid(1234);
    let root = Root::new();
    let apply_options = ApplyOptions { ids: Ids::Ignore, ..options() };
    let tar = Tar::default().with(theirs, b"").file("other", "").end();
    let lower = image::layer::apply(&tar[..], root.fd().as_fd(), &[], &apply_options).unwrap();
    let upper = Upper { root, lower };
    std::fs::write(upper.root.join("new"), "").unwrap();
    let scan_options = ScanOptions { ids: Ids::Ignore, ..upper.options() };
    assert_eq!(
        brief(&upper.scan_with(&ScanOptions { remove: false, ..scan_options.clone() }).index),
        ["/new file of 0 644"]
    );
    std::fs::write(upper.root.join("theirs"), "x").unwrap();
    let index = upper.scan_with(&scan_options).index;
    assert_eq!(brief(&index), ["/new file of 0 644", "/theirs file of 1 644"]);
    let owner = |name| index.get(&path(name)).unwrap().metadata.uid;
    assert_eq!((owner("new"), owner("theirs")), (0, 1234));
}

#[test]
fn symbolic_links_are_compared_by_target() {
    let upper = Upper::new(sample());
    std::fs::remove_file(upper.root.join("usr/l")).unwrap();
    symlink("elsewhere", upper.root.join("usr/l")).unwrap();
    assert_eq!(brief(&upper.scan().index), ["/usr directory 755", "/usr/l symlink to elsewhere 777"]);
}

/// Looks nothing up but what is in the upper directory.
struct Counting<'a>(Stack<'a>, std::cell::Cell<usize>);

impl Lower for Counting<'_> {
    fn lookup(&self, path: &LayerPath) -> Option<Entry> {
        self.1.set(self.1.get() + 1);
        self.0.get(path)
    }
}

#[test]
fn what_has_not_changed_costs_nothing() {
    let lower: Index = (0..1000)
        .map(|i| Entry { path: path(&format!("d/{i}")), kind: Kind::Fifo, metadata: image::Metadata::default() })
        .collect();
    let root = Root::new();
    std::fs::create_dir(root.join("d")).unwrap();
    std::fs::write(root.join("d/new"), "").unwrap();
    let counting = Counting(Stack::new([&lower]), std::cell::Cell::new(0));
    let upper = Upper { root, lower: Index::default() };
    let scan = scan(upper.root.fd().as_fd(), &counting, &upper.options()).unwrap();
    assert_eq!(brief(&scan.index), ["/d directory 755", "/d/new file of 0 644"]);
    assert_eq!(counting.1.get(), 3);
}

#[test]
fn many_files_are_read_by_many_threads() {
    let root = Root::new();
    for i in 0..300 {
        std::fs::write(root.join(format!("{i:03}")), i.to_string()).unwrap();
    }
    std::fs::hard_link(root.join("299"), root.join("3")).unwrap();
    let index = scan_tree(root.fd().as_fd(), options().overlay, Ids::Keep).unwrap();
    assert_eq!(index.entries().len(), 302);
    for i in 0..300 {
        let Kind::File { content, .. } = index.get(&path(&format!("{i:03}"))).unwrap().kind else { panic!("no file") };
        assert_eq!(content.0, *blake3::hash(i.to_string().as_bytes()).as_bytes());
    }
    assert_eq!(index.get(&path("3")).unwrap().kind, Kind::Hardlink { target: path("299") });
}

#[test]
fn paths_longer_than_the_kernel_takes() {
    let root = Root::new();
    let name = "n".repeat(250);
    let mut directory = root.fd();
    let depth = 20;
    for _ in 0..depth {
        rustix::fs::mkdirat(&directory, &*name, rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        directory = rustix::fs::openat(&directory, &*name, flags, rustix::fs::Mode::empty()).unwrap();
    }
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::WRONLY;
    drop(rustix::fs::openat(&directory, "file", flags, rustix::fs::Mode::RUSR).unwrap());
    let index = scan_tree(root.fd().as_fd(), options().overlay, Ids::Keep).unwrap();
    assert_eq!(index.entries().len(), depth + 2);
    let last = index.entries().last().unwrap();
    assert_eq!((last.path.as_bytes().len(), last.path.file_name()), (depth * 251 + 4, &b"file"[..]));
    assert_eq!(Index::decode(&index.encode()).unwrap(), index);
}
