use std::collections::BTreeMap;
use std::io::Read;
use std::process::Command;

use image::layer::Lower as _;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::testing::{
    data, directory, file, hardlink, layer, new_store, new_store_on_disk, opaque, path, put_layer_blob, symlink,
    whiteout,
};

/// Makes a tree of layers that exist as indexes alone.
fn tree(layers: &[Vec<Entry>]) -> (TempDir, Tree) {
    let (root, store) = new_store();
    let id = |number| LayerId::parse(&format!("{number:032x}")).unwrap();
    let parts = (0..layers.len()).map(|number| Part::Layer(id(number))).collect();
    let indexes = layers.iter().map(|entries| Arc::new(entries.iter().cloned().collect())).collect();
    (root, Tree { store, parts, indexes })
}

/// Writes an entry the short way: `d/`, `f 3`, `l -> t`, `h = f`.
fn show(entry: &Entry) -> String {
    let path = String::from_utf8_lossy(entry.path.as_bytes()).into_owned();
    match &entry.kind {
        Kind::Directory { opaque } => format!("{path}/{}", if *opaque { "!" } else { "" }),
        Kind::File { size, .. } => format!("{path} {size}"),
        Kind::Symlink { target } => format!("{path} -> {}", String::from_utf8_lossy(target)),
        Kind::Hardlink { target } => format!("{path} = {}", String::from_utf8_lossy(target.as_bytes())),
        other => format!("{path} {other:?}"),
    }
}

fn show_all(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(show).collect()
}

#[track_caller]
fn check(layers: &[Vec<Entry>], expected: &[&str]) {
    let (_root, tree) = tree(layers);
    assert_eq!(show_all(&tree.below(&LayerPath::root())), expected);
}

#[test]
fn upper_layers_add_replace_and_remove() {
    let lower = vec![directory("d"), file("d/a", 1), file("d/b", 2), directory("e"), file("e/x", 3), file("f", 4)];
    check(&[], &[]);
    check(&[lower.clone(), vec![directory("d"), file("d/a", 5)]], &["d/", "d/a 5", "d/b 2", "e/", "e/x 3", "f 4"]);
    check(&[lower.clone(), vec![directory("d"), whiteout("d/a")]], &["d/", "d/b 2", "e/", "e/x 3", "f 4"]);
    check(&[lower.clone(), vec![whiteout("d"), whiteout("f"), whiteout("none")]], &["e/", "e/x 3"]);
    check(&[lower.clone(), vec![opaque("d"), file("d/c", 6)]], &["d/", "d/c 6", "e/", "e/x 3", "f 4"]);
    check(&[lower.clone(), vec![file("d", 7)]], &["d 7", "e/", "e/x 3", "f 4"]);
    check(
        &[lower.clone(), vec![directory("f"), file("f/y", 8)]],
        &["d/", "d/a 1", "d/b 2", "e/", "e/x 3", "f/", "f/y 8"],
    );
    check(&[lower, vec![opaque(""), file("g", 9)]], &["g 9"]);
}

#[test]
fn what_was_hidden_stays_hidden_below_what_comes_later() {
    let lower = vec![directory("d"), file("d/a", 1)];
    check(&[lower.clone(), vec![whiteout("d")], vec![directory("d"), file("d/b", 2)]], &["d/", "d/b 2"]);
    check(&[lower.clone(), vec![file("d", 3)], vec![directory("d"), file("d/b", 2)]], &["d/", "d/b 2"]);
    check(&[lower.clone(), vec![opaque("d")], vec![directory("d"), file("d/b", 2)]], &["d/", "d/b 2"]);
    check(&[lower, vec![whiteout("d")], vec![file("d/b", 2)]], &["d/", "d/b 2"]);
}

#[test]
fn a_layer_may_lack_the_directories_above_its_entries() {
    let mut deep = directory("a/b");
    deep.metadata.mode = 0o700;
    let (_root, tree) = tree(&[vec![deep.clone()], vec![file("a/b/c", 1), symlink("a/b/d/e", "x")]]);
    assert_eq!(show_all(&tree.below(&path(""))), ["a/", "a/b/", "a/b/c 1", "a/b/d/", "a/b/d/e -> x"]);
    assert_eq!(tree.get(&path("a/b")), Some(deep));
    assert_eq!(tree.get(&path("a")), Some(directory("a")));
    assert_eq!(tree.get(&path("")), Some(directory("")));
    assert_eq!(tree.get(&path("a/b/c/d")), None);
}

#[test]
fn the_topmost_layer_describes_a_directory() {
    let mut changed = directory("d");
    changed.metadata.uid = 7;
    let (_root, tree) = tree(&[vec![directory("d"), file("d/a", 1)], vec![changed.clone()]]);
    assert_eq!(tree.get(&path("d")), Some(changed));
    assert_eq!(show_all(&tree.children(&path("d"))), ["d/a 1"]);
    assert_eq!(tree.children(&path("d/a")), []);
    assert_eq!(tree.children(&path("none")), []);
}

#[test]
fn names_sort_by_component_as_in_an_index() {
    check(&[vec![directory("a"), file("a/x", 1)], vec![file("a.b", 2)]], &["a/", "a/x 1", "a.b 2"]);
}

#[test]
fn the_least_name_that_is_seen_is_the_file() {
    let lower = vec![file("a", 5), hardlink("b", "a"), directory("d"), hardlink("d/c", "a"), hardlink("d/e", "a")];
    check(std::slice::from_ref(&lower), &["a 5", "b = a", "d/", "d/c = a", "d/e = a"]);
    let layers = [lower.clone(), vec![file("a", 6), whiteout("b")]];
    check(&layers, &["a 6", "d/", "d/c 5", "d/e = d/c"]);
    let (_root, tree) = tree(&layers);
    assert_eq!(show_all(&tree.children(&path("d"))), ["d/c 5", "d/e = d/c"]);
    assert_eq!(tree.get(&path("d/e")), Some(hardlink("d/e", "d/c")));
    assert_eq!(tree.data(&path("d/e")).unwrap().0, 5);
    assert_eq!(tree.data(&path("a")).unwrap().0, 6);
    assert_eq!((tree.data(&path("d")), tree.data(&path("b"))), (None, None));
    assert_eq!(tree.lookup(&path("d/e")), Some(file("d/e", 5)));
    // Seen from the directory alone, its first name is the file.
    let (_root, tree) = self::tree(&[lower]);
    assert_eq!(show_all(&tree.below(&path("d"))), ["d/c 5", "d/e = d/c"]);
}

#[track_caller]
fn check_resolved(path_text: &str, follow_last: bool, expected: Option<&str>) {
    let mut entries = vec![
        directory("usr"),
        directory("usr/bin"),
        file("usr/bin/sh", 1),
        symlink("bin", "usr/bin"),
        symlink("abs", "/usr/bin/sh"),
        symlink("usr/up", "../bin/sh"),
        symlink("usr/out", "../../../../usr"),
        symlink("loop", "loop"),
        symlink("a", "b"),
        symlink("b", "a"),
        symlink("dangling", "no/where"),
        symlink("root", "/"),
        symlink("dots", "./usr/./bin/../bin//"),
        symlink("usr/bin/back", "../../bin/sh"),
    ];
    entries.extend((0..50).map(|n| symlink(&format!("n{n}"), &format!("n{}", n + 1))));
    let (_root, tree) = tree(&[entries]);
    assert_eq!(tree.resolve(&path(path_text), follow_last), expected.map(path));
}

#[test]
fn links_are_resolved_beneath_the_root() {
    check_resolved("bin/sh", true, Some("usr/bin/sh"));
    check_resolved("abs", true, Some("usr/bin/sh"));
    check_resolved("usr/up", true, Some("usr/bin/sh"));
    check_resolved("usr/out/bin", true, Some("usr/bin"));
    check_resolved("dots/sh", true, Some("usr/bin/sh"));
    check_resolved("bin/back", true, Some("usr/bin/sh"));
    check_resolved("root/root/bin", true, Some("usr/bin"));
    check_resolved("", true, Some(""));
    check_resolved("root", true, Some(""));
}

#[test]
fn the_last_link_may_be_kept() {
    check_resolved("bin", false, Some("bin"));
    check_resolved("bin/back", false, Some("usr/bin/back"));
    check_resolved("loop", false, Some("loop"));
}

#[test]
fn what_does_not_exist_is_kept_and_loops_end() {
    check_resolved("no/such/thing", true, Some("no/such/thing"));
    check_resolved("bin/no", true, Some("usr/bin/no"));
    check_resolved("dangling/x", true, Some("no/where/x"));
    check_resolved("usr/bin/sh/x", true, Some("usr/bin/sh/x"));
    check_resolved("loop", true, None);
    check_resolved("a/x", false, None);
    check_resolved("n10", true, Some("n50"));
    check_resolved("n9", true, None);
}

#[test]
fn data_comes_from_the_layer_that_has_it() {
    let (_root, store) = new_store_on_disk();
    let layers: Vec<LayerId> = [
        vec![directory("d"), file("d/a", 11), file("d/b", 22), hardlink("d/h", "d/b"), symlink("l", "d/a")],
        vec![directory("d"), file("d/a", 33), whiteout("d/b")],
    ]
    .iter()
    .map(|entries| {
        let (blob, diff_id) = put_layer_blob(&store, entries);
        store.unpack(&blob, &diff_id, &[]).unwrap()
    })
    .collect();
    let tree = store.tree(&layers).unwrap();
    for (at, size) in [("d/a", 33), ("d/h", 22)] {
        let mut bytes = Vec::new();
        tree.open(&path(at)).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, data(size), "{at}");
    }
    for at in ["d", "l", "d/b", "none", ""] {
        assert!(matches!(tree.open(&path(at)), Err(Error::Io { .. })), "{at}");
    }
    // Whatever somebody puts there: nothing leads out.
    let directory = store.layer(&layers[1]).unwrap().tree().join("d");
    std::fs::remove_dir_all(&directory).unwrap();
    std::os::unix::fs::symlink("/", &directory).unwrap();
    assert!(tree.open(&path("d/a")).is_err());
}

/// What a layer that is applied to a real directory does, word by word.
#[derive(Debug, Default)]
struct Model(BTreeMap<LayerPath, Entry>);

impl Model {
    fn apply(&mut self, number: u64, layer: &Index) {
        for entry in layer.entries() {
            match entry.kind {
                Kind::Whiteout => self.remove(&entry.path),
                Kind::Directory { opaque: true } => self.remove_below(&entry.path),
                _ => {}
            }
        }
        for entry in layer.entries() {
            let mut above = entry.path.parent();
            while let Some(path) = above {
                self.make_directory(directory(std::str::from_utf8(path.as_bytes()).unwrap()), false);
                above = path.parent();
            }
            match &entry.kind {
                Kind::Whiteout => {}
                Kind::Directory { .. } => self.make_directory(entry.clone(), true),
                kind => {
                    self.remove(&entry.path);
                    let mut entry = entry.clone();
                    // The device stands for what is one file.
                    if let Kind::File { .. } | Kind::Hardlink { .. } = kind {
                        entry.metadata.mtime.seconds = number as i64;
                    }
                    self.0.insert(entry.path.clone(), entry);
                }
            }
        }
    }

    fn make_directory(&mut self, mut entry: Entry, describes: bool) {
        let there = self.0.get(&entry.path).is_some_and(|there| matches!(there.kind, Kind::Directory { .. }));
        if there && !describes {
            return;
        }
        entry.kind = Kind::Directory { opaque: false };
        self.0.insert(entry.path.clone(), entry);
    }

    fn remove(&mut self, path: &LayerPath) {
        self.0.remove(path);
        self.remove_below(path);
    }

    fn remove_below(&mut self, path: &LayerPath) {
        self.0.retain(|other, _| other == path || !other.starts_with(path));
    }

    /// Returns all entries, the least name of each file as the file.
    fn entries(&self, layers: &[Index]) -> Vec<Entry> {
        let mut first = BTreeMap::new();
        let mut out = Vec::new();
        for (path, entry) in self.0.iter().filter(|(path, _)| !path.is_root()) {
            let mut entry = entry.clone();
            let target = match &entry.kind {
                Kind::File { .. } => Some(path.clone()),
                Kind::Hardlink { target } => Some(target.clone()),
                _ => None,
            };
            if let Some(target) = target {
                let layer = std::mem::take(&mut entry.metadata.mtime.seconds);
                let name = first.entry((layer, target.clone())).or_insert_with(|| path.clone());
                entry.kind = match name == path {
                    true => layers[layer as usize].get(&target).unwrap().kind.clone(),
                    false => Kind::Hardlink { target: name.clone() },
                };
            }
            out.push(entry);
        }
        out
    }
}

/// `PROPTEST_CASES=20000 cargo test -p store merged_view` looks harder.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64)
}

fn choices() -> impl Strategy<Value = Vec<Vec<(u8, u8)>>> {
    proptest::collection::vec(proptest::collection::vec(any::<(u8, u8)>(), 0..10), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn the_merged_view_is_what_applying_the_layers_gives(choices in choices()) {
        let layers: Vec<Index> = choices.iter().map(|choices| layer(choices)).collect();
        let mut model = Model::default();
        for (number, layer) in layers.iter().enumerate() {
            model.apply(number as u64, layer);
        }
        let expected = model.entries(&layers);
        let (_root, tree) = tree(&layers.iter().map(|layer| layer.entries().to_vec()).collect::<Vec<_>>());
        prop_assert_eq!(&tree.below(&LayerPath::root()), &expected);

        // Every way of asking gives the same answers.
        for entry in &expected {
            prop_assert_eq!(tree.get(&entry.path), Some(entry.clone()));
            let children = |other: &&Entry| other.path.parent().as_ref() == Some(&entry.path);
            let children: Vec<Entry> = expected.iter().filter(children).cloned().collect();
            prop_assert_eq!(tree.children(&entry.path), children);
            prop_assert_eq!(tree.data(&entry.path).is_some(), matches!(entry.kind, Kind::File { .. } | Kind::Hardlink { .. }));
        }
        for layer in &layers {
            for entry in layer.entries().iter().filter(|entry| !expected.iter().any(|other| other.path == entry.path)) {
                prop_assert_eq!(tree.get(&entry.path), None);
            }
        }
    }
}

/// Lists a tree as `find -printf '%P %y %m %s %l\n'` does, hard links as files.
fn listing(tree: &Tree) -> Vec<String> {
    let line = |entry: &Entry| {
        let name = String::from_utf8_lossy(entry.path.as_bytes()).into_owned();
        match &entry.kind {
            Kind::Directory { .. } => format!("{name} d {:o}  ", entry.metadata.mode),
            Kind::Symlink { target } => format!("{name} l {:o}  {}", 0o777, String::from_utf8_lossy(target)),
            _ => format!("{name} f {:o} {} ", entry.metadata.mode, tree.data(&entry.path).unwrap().0),
        }
    };
    let mut lines: Vec<String> = tree.below(&LayerPath::root()).iter().map(line).collect();
    lines.sort();
    lines
}

/// Lists what the kernel shows of the layers; `None` if it does not let us mount them.
fn overlay(store: &Store, layers: &[LayerId]) -> Option<Vec<String>> {
    let scratch = store.scratch().unwrap();
    let trees = layers.iter().rev().map(|id| store.layer(id).unwrap().tree().display().to_string());
    let lowers = trees.collect::<Vec<_>>().join(":");
    let namespace = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
    let option = if crate::layer_flavor().0 == image::layer::OverlayXattr::User { "userxattr," } else { "" };
    // A whiteout where no lower layer has anything is listed by the kernel, but not there when it is looked at.
    let script = "mount -t overlay overlay -o \"$1\" \"$2\" || exit 1; find \"$2\" -mindepth 1 \
        \\( -type d -printf '%P %y %m  \\n' -o -type l -printf '%P %y %m  %l\\n' -o -printf '%P %y %m %s %l\\n' \\) 2>&-; exit 0";
    let merged = scratch.path().display().to_string();
    let options = format!("{option}lowerdir={lowers}");
    let output = Command::new("unshare").args([namespace, "sh", "-c", script, "sh", &options, &merged]).output();
    let output = output.ok().filter(|output| output.status.success())?;
    let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    Some(lines)
}

#[test]
fn the_merged_view_is_what_the_kernel_shows() {
    let (root, store) = new_store_on_disk();
    // Always the same: a little generator is enough.
    let mut state = 12345_u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u8
    };
    for sample in 0..12 {
        let layers: Vec<LayerId> = (0..4)
            .map(|number| {
                let choices: Vec<(u8, u8)> = (0..9).map(|_| (random(), random())).collect();
                // The kernel refuses the same directory twice.
                let marker = file(&format!("marker-{sample}-{number}"), 1);
                let entries: Vec<Entry> = layer(&choices).entries().iter().cloned().chain([marker]).collect();
                let (blob, diff_id) = put_layer_blob(&store, &entries);
                store.unpack(&blob, &diff_id, &[]).unwrap()
            })
            .collect();
        let Some(seen) = overlay(&store, &layers) else {
            assert!(
                std::env::var_os("REQUIRE_USERNS").is_none(),
                "overlay cannot be mounted below {}",
                root.path().display()
            );
            return;
        };
        assert_eq!(listing(&store.tree(&layers).unwrap()), seen, "sample {sample}");
    }
}
