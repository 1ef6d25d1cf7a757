use super::*;

fn path(text: &str) -> LayerPath {
    LayerPath::new(text.as_bytes()).unwrap()
}

/// Reads `d/`, `d/!` (opaque), `-f` (a whiteout), `f`, `h=f` (a hard link); a file's content is its name.
fn index(text: &str) -> Index {
    let entry = |word: &str| {
        let (name, kind) = match word {
            _ if word.starts_with('-') => (&word[1..], Kind::Whiteout),
            _ if word.ends_with("/!") => (&word[..word.len() - 2], Kind::Directory { opaque: true }),
            _ if word.ends_with('/') => (&word[..word.len() - 1], Kind::Directory { opaque: false }),
            _ => match word.split_once('=') {
                Some((name, target)) => (name, Kind::Hardlink { target: path(target) }),
                None => (word, Kind::File { size: word.len() as u64, content: crate::ContentHash([0; 32]) }),
            },
        };
        Entry { path: path(name), kind, metadata: Metadata::default() }
    };
    text.split_whitespace().map(entry).collect()
}

fn show((path, place): (&LayerPath, &Place)) -> String {
    let name = String::from_utf8_lossy(path.as_bytes());
    let layer = place.layer;
    match place.entry.as_ref().map(|entry| &entry.kind) {
        None => format!("{name}/?{layer}"),
        Some(Kind::Directory { opaque: true }) => format!("{name}/!{layer}"),
        Some(Kind::Directory { .. }) => format!("{name}/{layer}"),
        Some(Kind::Whiteout) => format!("-{name}{layer}"),
        Some(Kind::Hardlink { target }) => format!("{name}={}{layer}", String::from_utf8_lossy(target.as_bytes())),
        Some(Kind::File { size, .. }) => format!("{name}:{size}@{layer}"),
        Some(other) => format!("{name} {other:?}"),
    }
}

/// Merges layers on top of one; `expected` has the number of the layer behind each path.
#[track_caller]
fn check(below: &str, layers: &[&str], expected: &str) {
    let below = index(below);
    let layers: Vec<Index> = layers.iter().map(|text| index(text)).collect();
    let layers: Vec<&Index> = layers.iter().collect();
    let places = merge(&layers, &super::super::super::Stack::new([&below]));
    let shown: Vec<String> = places.iter().filter(|(path, _)| !path.is_root()).map(show).collect();
    assert_eq!(shown.join(" "), expected);
}

#[test]
fn what_is_below_stays_hidden() {
    check("d/ d/a f", &["-d -f", "d/ d/b"], "d/!1 d/b:3@1 -f0");
    check("d/ d/a", &["d", "d/ d/b"], "d/!1 d/b:3@1");
    check("d/ d/a", &["d/!", "d/ d/b"], "d/!1 d/b:3@1");
    check("d/ d/a", &["-d", "d/b"], "d/!1 d/b:3@1");
    check("d/ d/a d/c", &["d/ -d/a", "d/ d/b"], "d/1 -d/a0 d/b:3@1");
}

#[test]
fn whiteouts_of_nothing_are_dropped() {
    check("", &["d/ d/a d/b", "d/ -d/a"], "d/1 d/b:3@0");
    check("", &["f d/ d/a", "-f -d"], "");
    check("d/ d/a", &["d/! d/b", "d/ -d/a -d/b"], "d/!1");
}

#[test]
fn the_topmost_layer_decides() {
    check("", &["d/ d/a d/b", "d/ d/a"], "d/1 d/a:3@1 d/b:3@0");
    check("", &["d/ d/a", "d"], "d:1@1");
    check("", &["d/ d/a", "d/ d/e/f"], "d/1 d/a:3@0 d/e/?1 d/e/f:5@1");
    check("", &["a.b a/ a/x", "a"], "a:1@1 a.b:3@0");
}

#[test]
fn the_least_name_left_is_the_file() {
    let links = "a b=a c=a d/ d/e=a";
    check("", &[links, "b"], "a:1@0 b:1@1 c=a0 d/0 d/e=a0");
    check("", &[links, "-a"], "b:1@0 c=b0 d/0 d/e=b0");
    check("", &[links, "a b"], "a:1@1 b:1@1 c:1@0 d/0 d/e=c0");
    check("", &[links, "a x=a"], "a:1@1 b:1@0 c=b0 d/0 d/e=b0 x=a1");
}
