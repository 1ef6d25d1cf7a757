use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use image::layer::Lower as _;
use image::{Entry, Kind, LayerPath, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::testing::{
    directory, file, hardlink, layer, make_layer, names, new_store, new_store_on_disk, opaque, path, put_layer_blob,
    symlink, whiteout,
};
use crate::{Policy, What};

/// Puts a layer into the store whose modes and times tell it from others.
fn put(store: &Store, number: usize, entries: &[Entry]) -> LayerId {
    let mut entries = entries.to_vec();
    for entry in &mut entries {
        entry.metadata.mtime = Timestamp { seconds: 1_000 + number as i64, nanoseconds: 0 };
        if entry.kind == (Kind::Directory { opaque: false }) || entry.kind == (Kind::Directory { opaque: true }) {
            entry.metadata.mode = 0o711 + (number as u32 % 6);
        }
    }
    // No two are the same, for a layer that comes twice is used once.
    entries.push(file(&format!("marker-{number}"), number % 7));
    let (blob, diff_id) = put_layer_blob(store, &entries);
    store.unpack(&blob, &diff_id, &[]).unwrap()
}

/// Makes a layer for each list of choices.
fn random_stack(store: &Store, choices: &[Vec<(u8, u8)>]) -> Vec<LayerId> {
    choices.iter().enumerate().map(|(number, choices)| put(store, number, layer(choices).entries())).collect()
}

/// Returns the view of the layers alone.
fn plain(store: &Store, layers: &[LayerId]) -> Tree {
    store.tree_of(layers.iter().map(|id| Part::Layer(id.clone())).collect()).unwrap()
}

fn flats(parts: &[Part]) -> usize {
    parts.iter().filter(|part| matches!(part, Part::Flat(_))).count()
}

#[test]
fn a_deep_stack_has_few_parts() {
    let (_root, store) = new_store();
    let layers: Vec<LayerId> = (0..140).map(|n| make_layer(&store, &format!("f{n}"), b"x").id().clone()).collect();
    assert_eq!(store.flat_parts(&layers[..DEEP]).unwrap().len(), DEEP);
    assert_eq!(names(&store.root().join("flats")).len(), 0);
    // Looking makes none.
    assert_eq!(store.known_parts(&layers).unwrap().len(), 140);
    let parts = store.flat_parts(&layers).unwrap();
    assert_eq!((flats(&parts), parts.len()), (4, 4 + 12));
    assert_eq!(store.known_parts(&layers).unwrap(), parts);
    // One more layer makes no other.
    let mut more = layers.clone();
    more.push(make_layer(&store, "more", b"x").id().clone());
    assert_eq!(store.flat_parts(&more).unwrap()[..4], parts[..4]);
    assert_eq!(names(&store.root().join("flats")).len(), 4);
    // Another layer at the bottom makes all others.
    let mut other = layers.clone();
    other[0] = make_layer(&store, "other", b"x").id().clone();
    assert!(store.flat_parts(&other).unwrap()[..4].iter().all(|part| !parts.contains(part)));
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn flats_are_made_of_flats() {
    let (_root, store) = new_store();
    let base = make_layer(&store, "base", b"x").id().clone();
    let file = |n: usize| format!("f{}", n % 50);
    let mut layers: Vec<LayerId> = (0..1_060).map(|n| make_layer(&store, &file(n), b"x").id().clone()).collect();
    layers.insert(0, base);
    let parts = store.flat_parts(&layers).unwrap();
    // 1,061 = 32 * 32 + 32 + 5.
    assert_eq!((flats(&parts), parts.len()), (2, 7));
    let tree = store.tree(&layers).unwrap();
    assert_eq!(tree.children(&LayerPath::root()).len(), 51);
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn what_shows_nowhere_is_left_out() {
    let (_root, store) = new_store();
    let id = |layer: crate::Layer| layer.id().clone();
    let (a, b) = (id(make_layer(&store, "a", b"1")), id(make_layer(&store, "b", b"1")));
    let empty = id(store.new_layer().unwrap().commit(Index::new(Vec::new()), 0).unwrap());
    let lowers = store.lowers(&[a.clone(), empty.clone(), b.clone(), a.clone()]).unwrap();
    let trees: Vec<_> = [&a, &b].map(|id| store.layer(id).unwrap().tree().to_owned()).into();
    assert_eq!(lowers, trees);
    assert_eq!(store.lowers(&[empty]).unwrap(), [] as [PathBuf; 0]);
}

/// The stack of 4 flats and a layer that all the rules of overlays meet in.
fn hard_cases(store: &Store) -> Vec<LayerId> {
    let mut deep = vec![
        vec![directory("d"), file("d/a", 1), file("d/b", 2), directory("d/e"), file("d/e/x", 3), directory("o")],
        vec![
            file("o/1", 1),
            file("o/2", 2),
            symlink("l", "d/a"),
            file("h1", 5),
            hardlink("h2", "h1"),
            directory("i"),
            hardlink("i/h", "h1"),
        ],
    ];
    let filler = |deep: &mut Vec<Vec<Entry>>, upto: usize| deep.resize(upto, Vec::new());
    filler(&mut deep, 31);
    // In the first flat alone, and so of nothing.
    deep.push(vec![directory("new"), file("new/gone", 4), file("new/stays", 4)]);
    deep.push(vec![directory("new"), whiteout("new/stays"), whiteout("d/b"), whiteout("none")]);
    filler(&mut deep, 40);
    deep.push(vec![opaque("o"), file("o/3", 3), file("h1", 6), whiteout("l")]);
    deep.push(vec![directory("twice"), file("twice/a", 1)]);
    deep.push(vec![directory("twice"), whiteout("twice/a")]);
    filler(&mut deep, 70);
    deep.push(vec![whiteout("d")]);
    filler(&mut deep, 100);
    deep.push(vec![directory("d"), file("d/c", 7), file("o/2", 8), symlink("l", "o")]);
    filler(&mut deep, 129);
    deep.iter().enumerate().map(|(number, entries)| put(store, number, entries)).collect()
}

#[test]
fn what_a_range_hides_stays_hidden() {
    let (_root, store) = new_store();
    let layers = hard_cases(&store);
    let expected = plain(&store, &layers).below(&LayerPath::root());
    assert_eq!(flats(&store.flat_parts(&layers).unwrap()), 4);
    let tree = store.tree(&layers).unwrap();
    assert_eq!(tree.below(&LayerPath::root()), expected);
    let shown: Vec<String> =
        expected.iter().map(|entry| entry.path.to_string()).filter(|p| !p.contains("marker")).collect();
    assert_eq!(
        shown,
        ["/d", "/d/c", "/h1", "/h2", "/i", "/i/h", "/l", "/new", "/new/gone", "/o", "/o/2", "/o/3", "/twice"]
    );
    assert_eq!(tree.lookup(&path("h2")).unwrap().kind, file("h2", 5).kind);
    check_kernel(&store, &layers, &expected);
    assert_eq!(store.verify().unwrap(), []);
}

#[test]
fn files_are_names_of_those_in_the_layers() {
    let (_root, store) = new_store();
    let layers = hard_cases(&store);
    let Part::Flat(flat) = &store.flat_parts(&layers).unwrap()[0] else { panic!("no flat") };
    let inode = |path: &Path| std::fs::symlink_metadata(path).unwrap().ino();
    let (flat, first) = (store.root().join(flat_name(flat)).join("tree"), store.layer(&layers[0]).unwrap());
    assert_eq!(inode(&flat.join("d/a")), inode(&first.tree().join("d/a")));
    assert_eq!(inode(&flat.join("h1")), inode(&flat.join("h2")));
    assert_ne!(inode(&flat.join("d")), inode(&first.tree().join("d")));
}

#[test]
fn what_cannot_have_another_name_is_copied() {
    // As many names as ext4 gives a file, unless the file system gives more.
    let (_root, store) = new_store_on_disk();
    let layer = put(&store, 0, &[file("a", 5), hardlink("b", "a")]);
    let layer = store.layer(&layer).unwrap();
    let names = store.scratch().unwrap();
    let more = |n: usize| std::fs::hard_link(layer.tree().join("a"), names.path().join(n.to_string()));
    let full = (0..65_100).any(|n| more(n).is_err());
    let flat = store.scratch().unwrap();
    let (from, to) = (std::fs::File::open(layer.tree()).unwrap(), std::fs::File::open(flat.path()).unwrap());
    let nothing = store.tree(&[]).unwrap();
    let index = layer.index().unwrap();
    let made = flatten(&[(&index, from.as_fd())], &nothing, to.as_fd(), layer_flavor().0).unwrap();
    assert_eq!(made.entries(), index.entries());
    let (a, b) = (std::fs::metadata(flat.path().join("a")).unwrap(), std::fs::metadata(flat.path().join("b")).unwrap());
    assert_eq!(a.ino(), b.ino());
    assert_eq!(a.ino() != std::fs::metadata(layer.tree().join("a")).unwrap().ino(), full);
    assert_eq!((a.mtime(), a.mode() & 0o7777), (1_000, 0o644));
    assert_eq!(std::fs::read(flat.path().join("b")).unwrap(), b"55555");
}

/// Compares what the kernel shows of the flattened layers, as root or in a user namespace: kinds, modes, times, sizes,
/// targets, and which names are one file.
#[track_caller]
fn check_kernel(store: &Store, layers: &[LayerId], expected: &[Entry]) {
    let Some(actual) = kernel_view(&store.lowers(layers).unwrap()) else {
        assert!(std::env::var_os("REQUIRE_USERNS").is_none(), "overlay cannot be mounted");
        return;
    };
    let view = plain(store, layers);
    let mut lines: Vec<String> = expected.iter().map(|entry| line(&view, entry)).collect();
    lines.sort();
    assert_eq!(actual, lines);
}

fn line(tree: &Tree, entry: &Entry) -> String {
    let name = String::from_utf8_lossy(entry.path.as_bytes()).into_owned();
    let (mode, time) = (entry.metadata.mode, entry.metadata.mtime.seconds);
    match &entry.kind {
        Kind::Directory { .. } => format!("{name} d {mode:o} {time}"),
        Kind::Symlink { target } => format!("{name} l 777 {time} -> {}", String::from_utf8_lossy(target)),
        kind => {
            let first = if let Kind::Hardlink { target } = kind { target } else { &entry.path };
            let size = tree.data(&entry.path).unwrap().0;
            format!("{name} f {mode:o} {time} {size} {}", String::from_utf8_lossy(first.as_bytes()))
        }
    }
}

/// Lists a mounted overlay as [`line`] does. Fails if a name is listed that is not there when it is looked at.
fn kernel_view(lowers: &[PathBuf]) -> Option<Vec<String>> {
    let merged = tempfile::tempdir().unwrap();
    let namespace = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
    let option = if layer_flavor().0 == image::layer::OverlayXattr::User { "userxattr," } else { "" };
    let lowers: Vec<String> = lowers.iter().map(|lower| lower.display().to_string()).collect();
    let options = format!("{option}lowerdir={}", lowers.join(":"));
    let script = "mount -t overlay overlay -o \"$1\" \"$2\" || exit 1; \
        exec find \"$2\" -mindepth 1 -printf '%P\\t%y\\t%m\\t%Ts\\t%s\\t%l\\t%i\\n'";
    let output =
        Command::new("unshare").args([namespace, "sh", "-c", script, "sh", &options]).arg(merged.path()).output();
    let output = output.ok()?;
    if output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("mount") {
        return None;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    rows.sort_by_key(|row| LayerPath::new(row[0].as_bytes()));
    let mut first = HashMap::new();
    let mut lines = Vec::new();
    for row in &rows {
        let [name, kind, mode, time, size, target, inode] = row[..] else { panic!("{row:?}") };
        lines.push(match kind {
            "d" => format!("{name} d {mode} {time}"),
            "l" => format!("{name} l {mode} {time} -> {target}"),
            _ => format!("{name} {kind} {mode} {time} {size} {}", *first.entry(inode).or_insert(name)),
        });
    }
    lines.sort();
    Some(lines)
}

/// `PROPTEST_CASES=1000 cargo test -p store flattened` looks harder.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn a_flattened_stack_reads_as_the_plain_one(
        choices in proptest::collection::vec(proptest::collection::vec(any::<(u8, u8)>(), 0..6), 129..170),
    ) {
        let (_root, store) = new_store();
        let layers = random_stack(&store, &choices);
        let plain = plain(&store, &layers);
        let expected = plain.below(&LayerPath::root());
        prop_assert!(flats(&store.flat_parts(&layers).unwrap()) >= 4);
        let tree = store.tree(&layers).unwrap();
        prop_assert_eq!(&tree.below(&LayerPath::root()), &expected);
        for entry in &expected {
            prop_assert_eq!(tree.get(&entry.path), Some(entry.clone()));
            prop_assert_eq!(tree.lookup(&entry.path), plain.lookup(&entry.path));
        }
        prop_assert_eq!(store.verify().unwrap(), []);
        // Layers on top of the flats may have whiteouts of nothing, which the kernel lists.
        let whole = &layers[..layers.len() / WIDTH * WIDTH];
        if whole.len() > DEEP {
            let expected = self::plain(&store, whole).below(&LayerPath::root());
            check_kernel(&store, whole, &expected);
        }
    }
}

#[test]
fn collection_takes_flats_as_derived() {
    let (root, store) = new_store();
    let layers: Vec<LayerId> = (0..130).map(|n| make_layer(&store, &format!("f{n}"), b"x").id().clone()).collect();
    store.flat_tree(&layers).unwrap();
    let count = || names(&root.path().join("flats")).len();
    assert_eq!(count(), 4);
    let hold = |id: &str| {
        let container = root.path().join("containers").join(id);
        std::fs::create_dir(&container).unwrap();
        let ids: Vec<&str> = layers.iter().map(LayerId::as_str).collect();
        std::fs::write(container.join("state.json"), serde_json::json!({ "layers": ids }).to_string()).unwrap();
    };
    hold("c");
    drop(store);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64 + 10;
    let store = Store::exclusive(root.path()).unwrap();
    let flats_of = |items: &[crate::Item]| items.iter().filter(|item| matches!(item.what, What::Flat(_))).count();
    let all = Policy { now, all: true, ..Policy::default() };
    let usage = store.usage().unwrap();
    assert_eq!(flats_of(&usage), 4);
    // Their files count for the layers.
    let size = |item: &&crate::Item| matches!(item.what, What::Flat(_)) && item.size > (64 << 10);
    assert_eq!(usage.iter().find(size), None);
    // A container may have them mounted.
    assert_eq!(flats_of(&store.collect(&all).unwrap().items), 0);
    assert_eq!(count(), 4);
    std::fs::remove_dir_all(root.path().join("containers/c")).unwrap();
    // Not used for a month.
    assert_eq!(flats_of(&store.collectable(&Policy { now: now + 31 * 86_400, ..Policy::default() }).unwrap().items), 4);
    assert_eq!(flats_of(&store.collectable(&Policy { now, ..Policy::default() }).unwrap().items), 0);
    assert_eq!(flats_of(&store.collect(&all).unwrap().items), 4);
    assert_eq!(count(), 0);
}

#[test]
fn a_flat_goes_with_its_layers() {
    let (root, store) = new_store();
    let layers: Vec<LayerId> = (0..130).map(|n| make_layer(&store, &format!("f{n}"), b"x").id().clone()).collect();
    store.flat_tree(&layers).unwrap();
    store.remove_layer(&layers[40]).unwrap();
    drop(store);
    let store = Store::exclusive(root.path()).unwrap();
    store.drop_orphaned_flats().unwrap();
    assert_eq!(names(&root.path().join("flats")).len(), 3);
}

#[test]
fn one_of_many_makes_a_flat() {
    let (root, store) = new_store();
    let layers: Vec<LayerId> = (0..130).map(|n| make_layer(&store, &format!("f{n}"), b"x").id().clone()).collect();
    let expected = plain(&store, &layers).below(&LayerPath::root());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let store = Store::open(root.path()).unwrap();
            let (layers, expected) = (&layers, &expected);
            scope.spawn(move || {
                store.flat_tree(layers).unwrap();
                assert_eq!(&store.tree(layers).unwrap().below(&LayerPath::root()), expected);
            });
        }
    });
    assert_eq!(names(&root.path().join("flats")).len(), 4);
    assert_eq!(store.verify().unwrap(), []);
}
