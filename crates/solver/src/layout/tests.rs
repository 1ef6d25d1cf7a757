use dockerfile::Span;

use super::*;
use crate::files::Look;
use crate::select::select;
use crate::testing::{Fake, path};

const NOW: Timestamp = Timestamp { seconds: 1_000, nanoseconds: 0 };

/// A copy against a parent.
struct Copy {
    parent: Fake,
    source: Fake,
    attributes: Attributes,
}

impl Copy {
    fn new(parent: Fake, source: Fake) -> Self {
        Self { parent, source, attributes: Attributes { now: NOW, ..Attributes::default() } }
    }

    fn chown(mut self, uid: u32, gid: u32) -> Self {
        self.attributes.owner = Some(Owner { uid, gid });
        self
    }

    fn chmod(mut self, chmod: Chmod) -> Self {
        self.attributes.chmod = Some(chmod);
        self
    }

    fn layout(&self, patterns: &[&str], destination: &str) -> Result<Layout> {
        let probe = Probe::new(&self.parent, &path(destination), self.attributes.owner)?;
        let mut layout = Layout::new(probe, self.attributes.clone());
        for pattern in patterns {
            for taken in &select(&self.source, pattern, Span::default())?.taken {
                layout.copy(0, taken, destination.ends_with('/'))?;
            }
        }
        let entries = layout.planned.iter().map(|(path, planned)| (path, planned.is_directory()));
        check_conflicts(&self.parent, entries)?;
        Ok(layout)
    }

    /// One line for each entry: kind, mode, owner, path.
    #[track_caller]
    fn check(&self, patterns: &[&str], destination: &str, expected: &[&str]) {
        let entries = self.layout(patterns, destination).unwrap().index();
        let lines: Vec<String> = entries.iter().map(line).collect();
        assert_eq!(lines, expected);
    }

    #[track_caller]
    fn fails(&self, patterns: &[&str], destination: &str, expected: &str) {
        let error = self.layout(patterns, destination).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

fn line(entry: &Entry) -> String {
    let kind = match &entry.kind {
        Kind::Directory { .. } => "d".to_owned(),
        Kind::File { size, .. } => format!("f{size}"),
        Kind::Hardlink { target } => format!("h{target}"),
        Kind::Symlink { target } => format!("l{}", String::from_utf8_lossy(target)),
        _ => "x".to_owned(),
    };
    let Metadata { mode, uid, gid, .. } = entry.metadata;
    format!("{kind} {mode:o} {uid}:{gid} {}", entry.path)
}

fn source() -> Fake {
    Fake::new()
        .file("a", "1")
        .file("b", "22")
        .file("src/main", "333")
        .mode("src/main", 0o4755)
        .directory("src/lib", 0o700)
        .link("src/lib/l", "/x")
        .owned("src/lib", 3, 4)
}

#[test]
fn a_file_to_a_new_path() {
    Copy::new(Fake::new(), source()).check(&["a"], "/x/y", &["d 755 0:0 /x", "f1 644 0:0 /x/y"]);
}

#[test]
fn a_file_into_a_directory() {
    let expected = &["d 700 0:0 /x", "f1 644 0:0 /x/a"];
    Copy::new(Fake::new().directory("x", 0o700), source()).check(&["a"], "/x", expected);
    Copy::new(Fake::new(), source()).check(&["a"], "/x/", &["d 755 0:0 /x", "f1 644 0:0 /x/a"]);
    Copy::new(Fake::new(), source()).check(&["a"], "/", &["f1 644 0:0 /a"]);
}

#[test]
fn a_file_over_a_file() {
    Copy::new(Fake::new().file("x", "old"), source()).check(&["a"], "/x", &["f1 644 0:0 /x"]);
}

#[test]
fn directories_are_merged() {
    let parent = Fake::new().directory("app", 0o750).owned("app", 7, 8).file("app/keep", "");
    let expected = &["d 750 7:8 /app", "d 700 3:4 /app/lib", "l/x 777 0:0 /app/lib/l", "f3 4755 0:0 /app/main"];
    Copy::new(parent, source()).check(&["src"], "/app", expected);
}

/// A directory that is there already, and copied only for what is below it, gets the mode of the source and nothing else.
#[test]
fn directories_on_the_way_keep_what_is_theirs() {
    let source = Fake::new().directory("a", 0o750).owned("a", 3, 4).touched("a", 42).file("a/b/f", "1");
    let parent = Fake::new().directory("out/a", 0o700).owned("out/a", 7, 8).touched("out/a", 9);
    for (chmod, file) in [(None, 0o644), (Some(Chmod::Octal(0o711)), 0o711)] {
        let attributes = Attributes { chmod, owner: Some(Owner { uid: 5, gid: 5 }), now: NOW };
        let mut layout = Layout::new(Probe::new(&parent, &path("out"), None).unwrap(), attributes);
        let mut taken = select(&source, "/", Span::default()).unwrap().taken.remove(0);
        taken.on_the_way = [path("a"), path("a/b")].into();
        layout.passed.insert(path("out/a"), Look::look(&parent, &path("out/a")).unwrap().unwrap().metadata);
        layout.copy(0, &taken, true).unwrap();
        let lines: Vec<String> = layout.index().iter().map(line).collect();
        let new = if file == 0o711 { 0o711 } else { 0o755 };
        let expected = [
            "d 755 0:0 /out".to_owned(),
            "d 750 7:8 /out/a".to_owned(),
            format!("d {new:o} 5:5 /out/a/b"),
            format!("f1 {file:o} 5:5 /out/a/b/f"),
        ];
        assert_eq!(lines, expected);
        assert_eq!(layout.planned[&path("out/a")].metadata.mtime.seconds, 9);
    }
}

#[test]
fn a_new_destination_has_only_the_times_of_the_source() {
    let source = Fake::new().directory("d", 0o700).owned("d", 1, 1).touched("d", 42).file("d/x", "");
    let layout = Copy::new(Fake::new(), source).layout(&["d"], "/app").unwrap();
    let entries = layout.index();
    assert_eq!(line(&entries[0]), "d 755 0:0 /app");
    assert_eq!(entries[0].metadata.mtime.seconds, 42);
}

#[test]
fn existing_parents_keep_everything_of_theirs() {
    let parent = Fake::new().directory("usr/local", 0o2775).owned("usr/local", 0, 50).touched("usr/local", 7);
    let layout = Copy::new(parent, source()).chown(9, 9).layout(&["a"], "/usr/local/bin/").unwrap();
    let entries = layout.index();
    assert_eq!(line(&entries[1]), "d 2775 0:50 /usr/local");
    assert_eq!(entries[1].metadata.mtime.seconds, 7);
    assert_eq!(line(&entries[2]), "d 755 9:9 /usr/local/bin");
    assert_eq!(entries[2].metadata.mtime, NOW);
    assert_eq!(line(&entries[3]), "f1 644 9:9 /usr/local/bin/a");
}

#[test]
fn several_sources() {
    let copy = Copy::new(Fake::new(), source());
    copy.check(&["a", "b"], "/x/", &["d 755 0:0 /x", "f1 644 0:0 /x/a", "f2 644 0:0 /x/b"]);
    copy.check(&["a", "b"], "/x", &["f2 644 0:0 /x"]);
    copy.check(
        &["src", "a"],
        "/x",
        &["d 755 0:0 /x", "f1 644 0:0 /x/a", "d 700 3:4 /x/lib", "l/x 777 0:0 /x/lib/l", "f3 4755 0:0 /x/main"],
    );
    copy.check(&["nothing*"], "/x/", &[]);
}

#[test]
fn chown_and_chmod() {
    let copy = Copy::new(Fake::new(), source()).chown(5, 6).chmod(Chmod::Octal(0o600));
    copy.check(&["src"], "/x", &["d 600 5:6 /x", "d 600 5:6 /x/lib", "l/x 777 5:6 /x/lib/l", "f3 600 5:6 /x/main"]);
    // What is copied gets all bits, what is made on the way permissions alone.
    let copy = Copy::new(Fake::new(), source()).chmod(Chmod::Octal(0o7750));
    copy.check(
        &["src"],
        "/n/x",
        &["d 750 0:0 /n", "d 750 0:0 /n/x", "d 7750 3:4 /n/x/lib", "l/x 777 0:0 /n/x/lib/l", "f3 7750 0:0 /n/x/main"],
    );
    let copy = Copy::new(Fake::new(), source()).chmod(Chmod::Symbolic("go-rx,u+X".to_owned()));
    copy.check(&["src"], "/x", &["d 755 0:0 /x", "d 700 3:4 /x/lib", "l/x 777 0:0 /x/lib/l", "f3 4700 0:0 /x/main"]);
}

#[test]
fn links_in_the_destination_are_followed_but_not_the_last_name() {
    let parent = Fake::new().link("app", "/srv").directory("srv", 0o755).link("srv/a", "/etc");
    Copy::new(parent.clone(), source()).check(&["a"], "/app/", &["d 755 0:0 /srv", "f1 644 0:0 /srv/a"]);
    Copy::new(parent, source()).check(&["b"], "/app/c", &["d 755 0:0 /srv", "f2 644 0:0 /srv/c"]);
    let dangling = Fake::new().link("out", "/new/place");
    Copy::new(dangling, source()).check(&["a"], "/out", &["d 755 0:0 /new", "f1 644 0:0 /new/place"]);
}

#[test]
fn hard_links_stay_together() {
    let source = Fake::new().file("d/x", "1").hardlink("d/y", "d/x");
    Copy::new(Fake::new(), source).check(&["d"], "/e", &["d 755 0:0 /e", "f1 644 0:0 /e/x", "h/e/x 644 0:0 /e/y"]);
}

#[test]
fn what_may_not_be_replaced() {
    let source = Fake::new().file("d/x", "1").directory("d/y", 0o755);
    Copy::new(Fake::new().directory("e/x", 0o755), source.clone()).fails(
        &["d"],
        "/e",
        "cannot replace to directory /e/x with file",
    );
    Copy::new(Fake::new().file("e/y", ""), source.clone()).fails(&["d"], "/e", "cannot copy to non-directory: /e/y");
    Copy::new(Fake::new().link("e/y", "/"), source.clone()).fails(&["d"], "/e", "cannot copy to non-directory: /e/y");
    Copy::new(Fake::new().file("e", ""), source.clone()).fails(&["d"], "/e", "cannot copy to non-directory: /e");
    Copy::new(Fake::new().file("e", ""), source.clone()).fails(&["d/x"], "/e/", "cannot copy to non-directory: /e");
    Copy::new(Fake::new().file("e", ""), source.clone()).fails(&["d/x"], "/e/f", "cannot copy to non-directory: /e");
    Copy::new(Fake::new().directory("e/x", 0o755), source).fails(
        &["d/x"],
        "/e/",
        "cannot replace to directory /e/x with file",
    );
}

#[test]
fn files_of_the_dockerfile() {
    let probe = Probe::new(&Fake::new(), &path("/etc"), None).unwrap();
    let mut layout = Layout::new(probe, Attributes { now: NOW, ..Attributes::default() });
    layout.inline(0, "motd", b"hello", true).unwrap();
    let lines: Vec<String> = layout.index().iter().map(line).collect();
    assert_eq!(lines, ["d 755 0:0 /etc", "f5 644 0:0 /etc/motd"]);
    assert_eq!(layout.files[0].data, Data::Inline(0));
}

#[test]
fn times_can_be_taken_from_a_later_parent() {
    let early = Fake::new().directory("usr", 0o755).touched("usr", 1).directory("usr/d", 0o755).touched("usr/d", 2);
    let late = early.clone().touched("usr", 11).touched("usr/d", 12);
    let source = Fake::new().directory("s", 0o755).touched("s", 5).file("s/x", "");
    let mut layout = Copy::new(early, source).layout(&["s"], "/usr/d").unwrap();
    layout.adopt_times(&Probe::new(&late, &path("/usr/d"), None).unwrap());
    let times: Vec<i64> = layout.index().iter().take(2).map(|e| e.metadata.mtime.seconds).collect();
    assert_eq!(times, [11, 5]);
}

/// Parents that differ in what a copy may or may not read.
fn parents() -> impl proptest::strategy::Strategy<Value = Fake> {
    use proptest::prelude::*;
    let line = (0..6usize, 0..4u8, any::<bool>());
    prop::collection::vec(line, 0..6).prop_map(|lines| {
        let mut fake = Fake::new();
        for (at, kind, flag) in lines {
            let at = ["a", "a/b", "a/b/c", "a/x", "d", "d/e"][at];
            let blocked = |fake: &Fake| {
                let mut above = path(at).parent();
                std::iter::from_fn(|| {
                    let here = above.take()?;
                    above = here.parent();
                    Some(here)
                })
                .any(|above| Files::look(fake, &above).unwrap().is_some_and(|entry| !is_directory(&entry)))
            };
            if blocked(&fake) || !fake.children(&path(at)).unwrap().is_empty() {
                continue;
            }
            fake = match kind {
                0 => fake.directory(at, if flag { 0o755 } else { 0o700 }),
                1 => fake.file(at, if flag { "1" } else { "2" }),
                2 => fake.link(at, if flag { "/d" } else { "/a/x" }),
                _ => fake.directory(at, 0o755).owned(at, flag.into(), 0),
            };
        }
        fake
    })
}

proptest::proptest! {
    // Two thirds of the pairs have different probes, in some runs more.
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 512,
        max_global_rejects: 65_536,
        ..Default::default()
    })]

    /// What the probe leaves out decides nothing: equal keys, equal layers.
    #[test]
    fn equal_probes_give_equal_layers(one in parents(), other in parents(), at in 0..5usize, directory: bool) {
        let destination = ["/a/b", "/a/b/", "/a/b/c/n", "/d", "/"][at];
        let pattern = if directory { "src" } else { "a" };
        let hash = |parent: &Fake| Probe::new(parent, &path(destination), None).map(|probe| probe.hash()).ok();
        proptest::prop_assume!(hash(&one).is_some() && hash(&one) == hash(&other));
        let layer = |parent| {
            let copy = Copy::new(parent, source());
            copy.layout(&[pattern], destination).map(|layout| image::Index::new(layout.index()).content_id())
        };
        // One may have something in the way below the destination; that is looked up for each parent.
        if let (Ok(one), Ok(other)) = (layer(one), layer(other)) {
            proptest::prop_assert_eq!(one, other);
        }
    }
}
