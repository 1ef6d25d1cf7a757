//! Other programs read what is written here, and the other way round.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use image::layer::{ApplyOptions, scan_tree, write_tar};
use image::{Index, Kind, Metadata};

use crate::support::{Root, brief, is_root, options, path};

/// Runs `script` in `directory` and returns what it printed.
#[track_caller]
fn sh(directory: &Path, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(directory)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}");
    String::from_utf8(output.stdout).unwrap()
}

/// A directory as people have them, in `tree` below a directory of its own.
fn tree() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let name = "n".repeat(120);
    sh(
        directory.path(),
        &format!(
            "umask 022; mkdir -p tree/sub/{name}/{name}; cd tree; echo hello > file; ln file sub/hard; ln -s ../file sub/sym
            echo grüße > sub/grüße; : > sub/{name}/{name}/empty; mkfifo pipe; chmod 4755 file; chmod 1777 sub
            touch -d @1234567890.123456789 file; touch -d @-5 sub/grüße; ln -s {name}{name} long
            truncate -s 3M sparse; printf data | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none"
        ),
    );
    let set = |name: &str, key: &str, value: &[u8]| {
        let file = directory.path().join("tree").join(name);
        rustix::fs::setxattr(file, key, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    set("file", "user.one", b"1");
    set("file", "user.two", b"2\0=\n");
    set("sub", "user.dir", b"");
    directory
}

fn scanned(directory: &Path) -> Index {
    let ApplyOptions { overlay, ids, .. } = options();
    scan_tree(std::fs::File::open(directory).unwrap().as_fd(), overlay, ids).unwrap()
}

/// Returns an index with what a format keeps: whole seconds or not, attributes or not.
fn keeping(index: &Index, nanoseconds: bool, xattrs: bool) -> Vec<image::Entry> {
    let mut entries = index.entries().to_vec();
    for entry in &mut entries {
        let Metadata { mtime, xattrs: all, .. } = &mut entry.metadata;
        if !nanoseconds {
            mtime.nanoseconds = 0;
        }
        if !xattrs {
            all.clear();
        }
    }
    entries
}

#[track_caller]
fn check_from_tar(flags: &str, nanoseconds: bool, xattrs: bool) {
    let directory = tree();
    sh(directory.path(), &format!("tar -cf tar -C tree {flags} --numeric-owner ."));
    let root = Root::new();
    let index = root.apply(&std::fs::read(directory.path().join("tar")).unwrap()).unwrap();
    let expected = scanned(&directory.path().join("tree"));
    assert_eq!(brief(&index), brief(&expected), "{flags}");
    if is_root() {
        assert_eq!(keeping(&index, nanoseconds, xattrs), keeping(&expected, nanoseconds, xattrs), "{flags}");
        assert_eq!(scanned(&root.path()), index, "{flags}: on disk");
    }
    let blocks = |file: std::path::PathBuf| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(file).unwrap());
    if flags.contains("--sparse") {
        assert!(blocks(root.join("sparse")) < 1000, "{flags}: the holes are filled");
    }
}

#[test]
fn tars_of_gnu_tar() {
    check_from_tar("--format=gnu", false, false);
    check_from_tar("--format=pax", true, false);
    check_from_tar("--format=pax --xattrs --xattrs-include='*'", true, true);
    check_from_tar("--format=gnu --sparse", false, false);
    check_from_tar("--format=pax --sparse --sparse-version=0.0", true, false);
    check_from_tar("--format=pax --sparse --sparse-version=0.1", true, false);
    check_from_tar("--format=pax --sparse --sparse-version=1.0 --xattrs", true, true);
}

#[test]
fn many_holes() {
    let directory = tempfile::tempdir().unwrap();
    let script = "mkdir tree; truncate -s 8M tree/sparse
        for i in $(seq 60); do printf data | dd of=tree/sparse bs=1 seek=$((i * 100000)) conv=notrunc status=none; done
        tar -cf gnu -C tree --sparse --format=gnu .; tar -cf pax -C tree --sparse --format=pax .";
    sh(directory.path(), script);
    let expected = blake3::hash(&std::fs::read(directory.path().join("tree/sparse")).unwrap());
    for format in ["gnu", "pax"] {
        let tar = std::fs::read(directory.path().join(format)).unwrap();
        assert!(tar.len() < 1 << 20, "tar found no holes");
        let index = Root::new().apply(&tar).unwrap();
        let Kind::File { size, content } = index.get(&path("sparse")).unwrap().kind else { panic!("no file") };
        assert_eq!((size, content.0), (8 << 20, *expected.as_bytes()), "{format}");
    }
}

#[test]
fn a_file_named_twice() {
    let directory = tempfile::tempdir().unwrap();
    sh(directory.path(), "echo x > a; tar -cf tar a a ./a");
    let index = Root::new().apply(&std::fs::read(directory.path().join("tar")).unwrap()).unwrap();
    assert_eq!(brief(&index), ["/a file of 2 644"]);
}

fn write_sample(directory: &Path) {
    let tree = directory.join("tree");
    let index = scanned(&tree);
    let file = std::fs::File::create(directory.join("ours.tar")).unwrap();
    write_tar(&index, std::fs::File::open(tree).unwrap().as_fd(), file, None).unwrap();
}

#[test]
fn gnu_tar_reads_ours() {
    let directory = tree();
    write_sample(directory.path());
    sh(
        directory.path(),
        "mkdir out; tar -xpf ours.tar -C out --xattrs --xattrs-include='*' --numeric-owner 2>errors; ! grep -v 'implausibly old' errors >&2",
    );
    let without_root = |index: Index| {
        let entries: Index = index.entries().iter().filter(|entry| !entry.path.is_root()).cloned().collect();
        keeping(&entries, false, true)
    };
    assert_eq!(
        without_root(scanned(&directory.path().join("out"))),
        without_root(scanned(&directory.path().join("tree")))
    );
}

#[test]
fn python_reads_ours() {
    let directory = tree();
    write_sample(directory.path());
    let script = r#"python3 -c '
import tarfile
for m in tarfile.open("ours.tar"):
    xattrs = {k: v for k, v in m.pax_headers.items() if k.startswith("SCHILY")}
    print(m.type.decode(), m.name.replace("n" * 120, "N"), oct(m.mode), m.size, int(m.mtime) if m.name in ("file", "sub/grüße") else "", m.linkname.replace("n" * 120, "N"), sorted(xattrs))
'"#;
    let expected = "\
0 file 0o4755 6 1234567890  ['SCHILY.xattr.user.one', 'SCHILY.xattr.user.two']
2 long 0o777 0  NN []
6 pipe 0o644 0   []
0 sparse 0o644 3145728   []
5 sub 0o1777 0   ['SCHILY.xattr.user.dir']
0 sub/grüße 0o644 8 -5  []
1 sub/hard 0o4755 0  file []
5 sub/N 0o755 0   []
5 sub/N/N 0o755 0   []
0 sub/N/N/empty 0o644 0   []
2 sub/sym 0o777 0  ../file []
";
    assert_eq!(sh(directory.path(), script), expected);
}
