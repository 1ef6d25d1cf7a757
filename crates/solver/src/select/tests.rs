use image::Metadata;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::testing::{Fake, path};

fn paths(files: &Fake, pattern: &str) -> Vec<String> {
    let selection = select(files, pattern, Span::default()).unwrap();
    selection.taken.iter().map(|taken| taken.root.path.to_string()).collect()
}

fn copied(files: &Fake, pattern: &str) -> [u8; 32] {
    select(files, pattern, Span::default()).unwrap().copied()
}

fn tree() -> Fake {
    Fake::new()
        .file("a.txt", "a")
        .file("b.txt", "b")
        .file("src/main.rs", "main")
        .file("src/lib/x.rs", "x")
        .directory("empty", 0o755)
        .link("latest", "src")
        .link("text", "/a.txt")
}

#[test]
fn literal_paths_are_clamped_and_followed() {
    assert_eq!(paths(&tree(), "/a.txt"), ["/a.txt"]);
    assert_eq!(paths(&tree(), "../../b.txt"), ["/b.txt"]);
    assert_eq!(paths(&tree(), "latest/main.rs"), ["/src/main.rs"]);
    assert_eq!(paths(&tree(), "."), ["/"]);
}

#[test]
fn a_link_keeps_its_own_name() {
    let selection = select(&tree(), "text", Span::default()).unwrap();
    assert_eq!(&*selection.taken[0].name, b"text");
    assert_eq!(selection.taken[0].root.path, path("a.txt"));
}

#[test]
fn wildcards_take_in_order_and_do_not_cross_slashes() {
    assert_eq!(paths(&tree(), "*.txt"), ["/a.txt", "/b.txt"]);
    assert_eq!(paths(&tree(), "*/*.rs"), ["/src/main.rs"]);
    assert_eq!(paths(&tree(), "src/*"), ["/src/lib", "/src/main.rs"]);
    assert_eq!(paths(&tree(), "latest/*.rs"), ["/src/main.rs"]);
    assert!(paths(&tree(), "*.md").is_empty());
    assert!(paths(&tree(), "nowhere/*").is_empty());
}

#[test]
fn a_missing_path_names_itself_and_its_neighbour() {
    let error = select(&tree(), "src/mian.rs", Span::default()).unwrap_err();
    let SolveErrorKind::CopyMissing { path, similar, .. } = &error else { panic!("{error}") };
    assert_eq!(path, "/src/mian.rs");
    assert_eq!(similar.as_deref(), Some("src/main.rs"));
    assert!(error.to_string().contains(r#""/src/mian.rs": not found"#));
}

#[test]
fn a_dangling_link_is_missing() {
    let files = Fake::new().link("here", "nowhere");
    assert!(matches!(select(&files, "here", Span::default()), Err(SolveErrorKind::CopyMissing { .. })));
}

#[test]
fn what_changes_the_hash_of_a_copy_and_what_does_not() {
    let base = || tree().file("src/tool", "#!").mode("src/tool", 0o755);
    let expected = copied(&base(), "src");
    assert_eq!(copied(&base().touched("src/tool", 9), "src"), expected, "a time");
    assert_eq!(copied(&base().mode("src", 0o700), "src"), expected, "the copied directory's own mode");
    assert_eq!(copied(&base(), "latest"), expected, "another name of the directory");
    assert_eq!(copied(&base().file("other", ""), "src"), expected, "a file elsewhere");
    let changed = [
        ("mode", base().mode("src/tool", 0o750)),
        ("set-uid", base().mode("src/tool", 0o4755)),
        ("owner", base().owned("src/tool", 1, 0)),
        ("group", base().owned("src/tool", 0, 1)),
        ("xattr", base().xattr("src/tool", "user.a", "")),
        ("data", base().file("src/tool", "!#").mode("src/tool", 0o755)),
        ("link", base().link("src/tool", "x")),
        ("directory", base().directory("src/tool", 0o755)),
        ("fifo", base().fifo("src/tool").mode("src/tool", 0o755)),
        ("rename", tree().file("src/tool2", "#!").mode("src/tool2", 0o755)),
        ("moved down", tree().file("src/lib/tool", "#!").mode("src/lib/tool", 0o755)),
        ("new file", base().file("src/zzz", "")),
        ("new directory", base().directory("src/zzz", 0o755)),
        ("mode of a directory", base().mode("src/lib", 0o700)),
    ];
    for (what, files) in changed {
        assert_ne!(copied(&files, "src"), expected, "{what}");
    }
}

#[test]
fn the_name_of_a_file_counts_but_not_of_a_directory() {
    let files = Fake::new().file("a", "x").file("b", "x").file("c/a", "x").file("d/a", "x");
    assert_ne!(copied(&files, "a"), copied(&files, "b"));
    assert_eq!(copied(&files, "c/a"), copied(&files, "a"));
    assert_eq!(copied(&files, "c"), copied(&files, "d"));
}

#[test]
fn hard_links_count() {
    let linked = Fake::new().file("d/a", "x").hardlink("d/b", "d/a");
    let apart = Fake::new().file("d/a", "x").file("d/b", "x");
    assert_ne!(copied(&linked, "d"), copied(&apart, "d"));
    let moved = Fake::new().file("e/a", "x").hardlink("e/b", "e/a");
    assert_eq!(copied(&linked, "d"), copied(&moved, "e"));
}

#[test]
fn a_mount_shows_the_directory_itself_but_not_its_name() {
    let mounted = |files: &Fake, at: &str| select_path(files, at).unwrap().mounted();
    let files = Fake::new().file("d/a", "x").file("e/a", "x");
    assert_eq!(mounted(&files, "d"), mounted(&files, "e"));
    assert_ne!(mounted(&files, "d"), mounted(&files.clone().mode("d", 0o700), "d"));
}

#[test]
fn escaped_wildcards_are_no_wildcards() {
    assert_eq!(wildcard_at(&path(r"a/\*b")), None);
    assert_eq!(wildcard_at(&path(r"a/\\*b")), Some(1));
    assert_eq!(wildcard_at(&path("a/[b]/c")), Some(1));
}

/// Path, kind, mode, extended attribute.
type Planted = (&'static str, u8, u32, usize);

fn place() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["d/a", "d/b", "d/aa", "d/c/a", "d/c/aa"])
}

/// Two trees that differ in some properties of one file, or in none.
fn nearly_equal_trees() -> impl Strategy<Value = (Vec<Planted>, Vec<Planted>)> {
    let mode = || prop::sample::select(vec![0o644_u32, 0o755]);
    let file = (place(), 0..6_u8, mode(), 0..4_usize);
    let change = (option::of(place()), option::of(0..6_u8), option::of(mode()), option::of(0..4_usize));
    (prop::collection::vec(file, 1..3), any::<prop::sample::Index>(), change).prop_map(|(one, at, change)| {
        let mut other = one.clone();
        let file = at.get_mut(&mut other);
        let (path, kind, mode, xattr) = change;
        *file = (path.unwrap_or(file.0), kind.unwrap_or(file.1), mode.unwrap_or(file.2), xattr.unwrap_or(file.3));
        (one, other)
    })
}

fn planted(entries: &[Planted]) -> Fake {
    entries.iter().fold(Fake::new().directory("d", 0o755), |files, (at, kind, mode, xattr)| {
        let files = match kind {
            0 => files.file(at, "x"),
            1 => files.file(at, ""),
            2 => files.link(at, "x"),
            3 => files.link(at, "xx"),
            4 => files.fifo(at),
            _ => return files.directory(at, *mode),
        };
        let files = files.mode(at, *mode);
        match xattr {
            0 => files,
            1 => files.xattr(at, "user.a", "b"),
            2 => files.xattr(at, "user.a", "c"),
            _ => files.xattr(at, "user.ab", ""),
        }
    })
}

/// What a selection holds, spelled out; times are no part of it.
fn spelled(selection: &Selection) -> String {
    let entry = |entry: &Entry| {
        let Metadata { mode, uid, gid, xattrs, .. } = &entry.metadata;
        format!("{} {:?} {mode} {uid} {gid} {xattrs:?}", entry.path, entry.kind)
    };
    selection.taken.iter().map(|taken| format!("{:?}\n", taken.below.iter().map(entry).collect::<Vec<_>>())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn two_selections_have_one_hash_only_if_they_are_the_same((one, other) in nearly_equal_trees()) {
        let select = |entries: &[_]| select_path(&planted(entries), "d").unwrap();
        let (one, other) = (select(&one), select(&other));
        prop_assert_eq!(spelled(&one) == spelled(&other), one.copied() == other.copied());
        prop_assert_eq!(spelled(&one) == spelled(&other), one.mounted() == other.mounted());
    }
}
