use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use dockerfile::Span;
use image::layer::scan_tree;
use image::{Entry, Index};
use plan::Chmod;

use super::*;
use crate::files::Nothing;
use crate::layout::Attributes;
use crate::owner::Owner;
use crate::probe::Probe;
use crate::select::select;
use crate::testing::{Fake, path};

const NOW: Timestamp = Timestamp { seconds: 1_000, nanoseconds: 7 };

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn disk() -> Disk {
    let (overlay, _) = store::layer_flavor();
    Disk { ids: if is_root() { Ids::Keep } else { Ids::Ignore }, overlay }
}

/// Writes a copy of all of `source` to `/app`, and returns what was planned, whether it was faithful, and where it is.
fn write(source: &dyn Files, attributes: Attributes) -> (Layout, bool, tempfile::TempDir) {
    let probe = Probe::new(&Nothing, &path("/app"), None).unwrap();
    let mut layout = Layout::new(probe, attributes);
    for taken in &select(source, ".", Span::default()).unwrap().taken {
        layout.copy(0, taken, false).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    let writer =
        Writer { tree: directory.path(), sources: &[source], inline: &[], spool: None, disk: disk(), cancel: &cancel };
    let faithful = writer.write(&mut layout).unwrap();
    (layout, faithful, directory)
}

/// Reads back what is on disk.
fn read(directory: &tempfile::TempDir) -> Index {
    let tree = File::open(directory.path()).unwrap();
    let index = scan_tree(tree.as_fd(), disk().overlay, Ids::Keep).unwrap();
    index.entries().iter().filter(|entry| !entry.path.is_root()).cloned().collect()
}

fn source() -> Fake {
    Fake::new()
        .file("bin/tool", "#!/bin/sh")
        .mode("bin/tool", 0o4755)
        .touched("bin/tool", 42)
        .file("bin/empty", "")
        .hardlink("bin/zz", "bin/tool")
        .directory("locked", 0o500)
        .file("locked/x", "inside")
        .touched("locked", 43)
        .link("link", "/etc/passwd")
        .touched("link", 44)
        .fifo("fifo")
        .file("large", &"0123456789".repeat(100_000))
}

#[test]
fn the_disk_holds_what_the_index_says() {
    let attributes = Attributes { now: NOW, ..Attributes::default() };
    let (layout, faithful, directory) = write(&source(), attributes);
    assert!(faithful);
    if is_root() {
        assert_eq!(read(&directory), Index::new(layout.index()));
    }
    assert_eq!(std::fs::read_to_string(directory.path().join("app/locked/x")).unwrap(), "inside");
    assert_eq!(std::fs::metadata(directory.path()).unwrap().mode() & 0o7777, 0o755, "the root is as its parent's");
}

#[test]
fn owners_modes_and_times() {
    if !is_root() {
        return;
    }
    let owner = Some(Owner { uid: 12, gid: 34 });
    let attributes = Attributes { now: NOW, owner, chmod: Some(Chmod::Octal(0o640)) };
    let (layout, _, directory) = write(&source(), attributes);
    assert_eq!(read(&directory), Index::new(layout.index()));
    let tool = std::fs::metadata(directory.path().join("app/bin/tool")).unwrap();
    assert_eq!((tool.uid(), tool.gid(), tool.mode() & 0o7777, tool.mtime()), (12, 34, 0o640, 42));
    assert_eq!(tool.nlink(), 2);
}

/// A tree whose files are not what they were when they were selected.
struct Changing(Fake);

impl Files for Changing {
    fn look(&self, path: &LayerPath) -> Result<Option<Entry>> {
        Files::look(&self.0, path)
    }

    fn entry(&self, path: &LayerPath) -> Result<Option<Entry>> {
        self.0.entry(path)
    }

    fn children(&self, path: &LayerPath) -> Result<Vec<Entry>> {
        self.0.children(path)
    }

    fn below(&self, path: &LayerPath) -> Result<Vec<Entry>> {
        self.0.below(path)
    }

    fn open(&self, _path: &LayerPath) -> Result<File> {
        Fake::new().file("new", "changed meanwhile").open(&path("new"))
    }

    fn is_immutable(&self) -> bool {
        false
    }
}

#[test]
fn a_file_that_changes_is_recorded_as_it_was_written() {
    let (layout, faithful, directory) = write(&Changing(Fake::new().file("a", "old")), Attributes::default());
    assert!(!faithful);
    assert_eq!(
        (layout.files[0].size, &*std::fs::read(directory.path().join("app/a")).unwrap()),
        (17, &b"changed meanwhile"[..])
    );
    assert_eq!(layout.files[0].content.0, *blake3::hash(b"changed meanwhile").as_bytes());
}

#[test]
fn many_files_by_several_threads() {
    let mut source = Fake::new();
    for n in 0..300 {
        source = source.file(&format!("d{}/f{n}", n % 7), &format!("{n}"));
    }
    let (layout, faithful, directory) = write(&source, Attributes::default());
    assert!(faithful);
    for n in 0..300 {
        let path = directory.path().join(format!("app/d{}/f{n}", n % 7));
        assert_eq!(std::fs::read_to_string(path).unwrap(), n.to_string());
    }
    assert_eq!(layout.index().len(), 1 + 7 + 300);
}

#[test]
fn a_canceled_copy_stops() {
    let probe = Probe::new(&Nothing, &path("/app"), None).unwrap();
    let mut layout = Layout::new(probe, Attributes::default());
    layout.inline(0, "a", b"text", true).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let writer =
        Writer { tree: directory.path(), sources: &[], inline: &[b"text"], spool: None, disk: disk(), cancel: &cancel };
    assert!(matches!(writer.write(&mut layout), Err(SolveErrorKind::Canceled)));
}
