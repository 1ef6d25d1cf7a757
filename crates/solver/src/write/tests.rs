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
    let directory = tempfile::tempdir().unwrap();
    let (layout, faithful) = write_to(directory.path(), source, attributes, None);
    (layout, faithful, directory)
}

fn write_to(tree: &Path, source: &dyn Files, attributes: Attributes, earlier: Option<&Earlier>) -> (Layout, bool) {
    let probe = Probe::new(&Nothing, &path("/app"), None).unwrap();
    let mut layout = Layout::new(probe, attributes);
    for taken in &select(source, ".", Span::default()).unwrap().taken {
        layout.copy(0, taken, false).unwrap();
    }
    let cancel = Cancel::new();
    let writer = Writer { tree, sources: &[source], inline: &[], spool: None, earlier, disk: disk(), cancel: &cancel };
    let faithful = writer.write(&mut layout).unwrap();
    (layout, faithful)
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
    let writer = Writer {
        tree: directory.path(),
        sources: &[],
        inline: &[b"text"],
        spool: None,
        earlier: None,
        disk: disk(),
        cancel: &cancel,
    };
    assert!(matches!(writer.write(&mut layout), Err(SolveErrorKind::Canceled)));
}

/// Writes a copy into a layer of `store`, with what `earlier` has.
fn layer(store: &store::Store, source: &dyn Files, earlier: Option<&store::Layer>) -> store::Layer {
    let draft = store.new_layer().unwrap();
    let earlier = earlier.map(|layer| Earlier::open(layer).unwrap());
    let (layout, faithful) = write_to(draft.tree(), source, Attributes::default(), earlier.as_ref());
    assert!(faithful);
    draft.commit(Index::new(layout.index()), 1).unwrap()
}

fn inode(layer: &store::Layer, at: &str) -> u64 {
    std::fs::metadata(layer.tree().join("app").join(at)).unwrap().ino()
}

/// True where a file that is taken over is the same inode, and not a clone.
fn links(store: &store::Store) -> bool {
    !earlier::can_clone(&File::open(store.root()).unwrap().into())
}

#[test]
fn what_is_the_same_as_before_is_not_copied() {
    let store = testkit::store();
    let before = || source().file("d/f", "1").mode("d/f", 0o640).touched("d/f", 7).file("d/g", "2");
    let first = layer(&store, &before(), None);
    let second = layer(&store, &before().file("d/g", "3"), Some(&first));
    let shared = |at: &str| inode(&first, at) == inode(&second, at);
    assert_eq!(["d/f", "large", "bin/empty", "locked/x"].map(shared), [links(&store); 4]);
    assert!(!shared("d/g"), "other data");
    assert!(!shared("bin/tool") && !shared("bin/zz"), "several names are one file of the layer alone");
    assert_eq!(inode(&second, "bin/tool"), inode(&second, "bin/zz"));
    let third = layer(&store, &before(), Some(&second));
    assert_eq!(third.index().unwrap().encode(), first.index().unwrap().encode());
    assert_eq!(store.verify().unwrap(), []);
    store.remove_layer(first.id()).unwrap();
    store.remove_layer(third.id()).unwrap();
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn whatever_differs_is_copied() {
    let store = testkit::store();
    let before = || Fake::new().file("d/f", "data").touched("d/f", 7);
    let first = layer(&store, &before(), None);
    let before_bytes = std::fs::metadata(first.tree().join("app/d/f")).unwrap();
    let changed = [
        ("mode", before().mode("d/f", 0o600)),
        ("time", before().touched("d/f", 8)),
        ("attributes", before().xattr("d/f", "user.a", "1")),
        ("data", before().file("d/f", "atad").touched("d/f", 7)),
        ("owner", if is_root() { before().owned("d/f", 1, 0) } else { before().mode("d/f", 0o400) }),
        ("group", if is_root() { before().owned("d/f", 0, 1) } else { before().mode("d/f", 0o400) }),
        ("place", Fake::new().file("e/f", "data").touched("e/f", 7).file("d/f", "x")),
        ("names", before().hardlink("d/g", "d/f")),
    ];
    for (what, source) in changed {
        let second = layer(&store, &source, Some(&first));
        assert_ne!(inode(&first, "d/f"), inode(&second, "d/f"), "{what}");
        let fresh = layer(&store, &source, None);
        assert_eq!(second.index().unwrap().encode(), fresh.index().unwrap().encode(), "{what}");
    }
    let after = std::fs::metadata(first.tree().join("app/d/f")).unwrap();
    assert_eq!((before_bytes.mode(), before_bytes.mtime(), after.nlink()), (after.mode(), after.mtime(), 1));
    assert_eq!(store.verify().unwrap(), []);
}

type Damage = fn(&Path);

#[test]
fn an_earlier_layer_that_is_not_what_it_says_is_left_alone() {
    let source = || Fake::new().file("d/f", "data").file("d/g", "data").file("e/h", "data").file("top", "data");
    let damage: [(&str, Damage); 4] = [
        ("cut short", |tree| std::fs::write(tree.join("app/d/f"), "").unwrap()),
        ("gone", |tree| std::fs::remove_file(tree.join("app/d/g")).unwrap()),
        ("a link on the way", |tree| {
            std::fs::rename(tree.join("app/e"), tree.join("app/away")).unwrap();
            std::os::unix::fs::symlink("away", tree.join("app/e")).unwrap();
        }),
        ("no file", |tree| {
            std::fs::remove_file(tree.join("app/top")).unwrap();
            std::os::unix::fs::symlink("d/g", tree.join("app/top")).unwrap();
        }),
    ];
    for (what, damage) in damage {
        let store = testkit::store();
        let first = layer(&store, &source(), None);
        damage(first.tree());
        let second = layer(&store, &source(), Some(&first));
        store.remove_layer(first.id()).unwrap();
        assert_eq!(store.verify().unwrap(), [], "{what}");
        assert_eq!(std::fs::read_to_string(second.tree().join("app/top")).unwrap(), "data", "{what}");
    }
}

/// A file with as many names as the file system allows cannot get another.
#[test]
fn a_file_with_too_many_names_is_copied() {
    let store = testkit::store();
    let source = || Fake::new().file("f", "data").file("g", "data");
    let first = layer(&store, &source(), None);
    let names = store.root().join("tmp/names");
    std::fs::create_dir(&names).unwrap();
    let full = (0..70_000).any(|n| std::fs::hard_link(first.tree().join("app/f"), names.join(n.to_string())).is_err());
    let second = layer(&store, &source(), Some(&first));
    // Elsewhere than on ext4 there is room for more.
    assert_eq!(inode(&first, "f") == inode(&second, "f"), links(&store) && !full);
    assert_eq!(inode(&first, "g") == inode(&second, "g"), links(&store));
    assert_eq!(store.verify().unwrap(), []);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Whatever was there before, a layer is what it would be without it.
    #[test]
    fn an_earlier_layer_changes_nothing(steps in proptest::collection::vec(proptest::collection::vec((0_u8..6, 0_u8..7), 0..8), 1..4)) {
        let store = testkit::store();
        let mut earlier: Option<store::Layer> = None;
        for edits in steps {
            let source = edits.iter().fold(Fake::new(), |fake, &(at, what)| edit(fake, at, what));
            let with = layer(&store, &source, earlier.as_ref());
            let without = layer(&store, &source, None);
            assert_eq!(with.index().unwrap().encode(), without.index().unwrap().encode());
            let scan = |layer: &store::Layer| {
                let tree = File::open(layer.tree()).unwrap();
                scan_tree(tree.as_fd(), disk().overlay, Ids::Keep).unwrap().encode()
            };
            assert_eq!(scan(&with), scan(&without));
            earlier = Some(with);
        }
        assert_eq!(store.verify().unwrap(), []);
    }
}

fn edit(fake: Fake, at: u8, what: u8) -> Fake {
    let at = &format!("d{}/f{}", at % 2, at / 2);
    let file = |data: &str| fake.clone().file(at, data);
    match what {
        0 => file("one"),
        1 => file("two"),
        2 => file("one").mode(at, 0o600),
        3 => file("one").touched(at, 9),
        4 => fake.clone().file("a", "one").hardlink(at, "a"),
        5 => file("one").xattr(at, "user.a", "1"),
        _ => fake.fifo(at),
    }
}
