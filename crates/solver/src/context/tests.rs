use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use image::{ContentHash, Kind};
use testkit::TempStore;

use super::*;
use crate::select::select;
use crate::testing::path;

/// Later than any file of a test, so that nothing is racy.
const LATER: Timestamp = Timestamp { seconds: 1 << 40, nanoseconds: 0 };

struct Fixture {
    store: TempStore,
    root: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let store = testkit::store();
        let root = store.directory().join("context");
        fs::create_dir(&root).unwrap();
        Self { store, root }
    }

    fn file(self, at: &str, data: &str) -> Self {
        let at = self.root.join(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, data).unwrap();
        self
    }

    fn open_with(&self, ignore: &str, started: Timestamp) -> Context {
        Context::open_at(&self.root, Ignore::parse(ignore.as_bytes()).unwrap(), &self.store, started).unwrap()
    }

    fn open(&self) -> Context {
        self.open_with("", LATER)
    }

    fn index(&self, context: &Context) -> Option<Vec<u8>> {
        self.store.context_index(&context.0.as_ref().unwrap().id).unwrap()
    }
}

fn names(context: &Context, at: &str) -> Vec<String> {
    context.below(&path(at)).unwrap().iter().map(|entry| entry.path.to_string()).collect()
}

fn hash(context: &Context) -> [u8; 32] {
    select(context, ".", dockerfile::Span::default()).unwrap().copied()
}

fn content(data: &str) -> ContentHash {
    ContentHash(*blake3::hash(data.as_bytes()).as_bytes())
}

#[test]
fn everything_below_in_order_and_owned_by_root() {
    let fixture = Fixture::new().file("b/x", "1").file("b-c", "22").file("a", "");
    symlink("b/x", fixture.root.join("l")).unwrap();
    std::os::unix::fs::chown(fixture.root.join("a"), Some(12), Some(34)).ok();
    fs::set_permissions(fixture.root.join("b-c"), fs::Permissions::from_mode(0o4750)).unwrap();
    let context = fixture.open();
    assert_eq!(names(&context, ""), ["/a", "/b", "/b/x", "/b-c", "/l"]);
    let entries = context.below(&LayerPath::root()).unwrap();
    assert!(entries.iter().all(|entry| (entry.metadata.uid, entry.metadata.gid) == (0, 0)));
    assert_eq!(entries[3].kind, Kind::File { size: 2, content: content("22") });
    assert_eq!(entries[3].metadata.mode, 0o4750);
    assert_eq!(entries[4].kind, Kind::Symlink { target: b"b/x".as_slice().into() });
    assert_eq!(context.entry(&path("b/x")).unwrap().unwrap().kind, Kind::File { size: 1, content: content("1") });
    assert_eq!(context.entry(&path("nothing")).unwrap(), None);
    assert_eq!(context.entry(&path("a/b")).unwrap(), None);
}

#[test]
fn links_of_the_file_system_and_sockets() {
    let fixture = Fixture::new().file("a", "x");
    fs::hard_link(fixture.root.join("a"), fixture.root.join("b")).unwrap();
    let _socket = UnixListener::bind(fixture.root.join("s")).unwrap();
    let context = fixture.open();
    let entries = context.below(&LayerPath::root()).unwrap();
    assert_eq!(entries[1].kind, Kind::Hardlink { target: path("a") });
    assert_eq!(entries[2].kind, Kind::File { size: 0, content: content("") });
    assert_eq!(std::io::read_to_string(Files::open(&context, &path("s")).unwrap()).unwrap(), "");
}

#[test]
fn nothing_is_reached_through_a_link() {
    let fixture = Fixture::new().file("d/x", "");
    symlink("d", fixture.root.join("l")).unwrap();
    symlink("/etc", fixture.root.join("out")).unwrap();
    let context = fixture.open();
    assert_eq!(context.look(&path("l/x")).unwrap(), None);
    assert!(Files::open(&context, &path("out/passwd")).is_err());
    let selection = select(&context, "l/x", dockerfile::Span::default()).unwrap();
    assert_eq!(selection.taken[0].root.path, path("d/x"));
    assert!(select(&context, "out/passwd", dockerfile::Span::default()).is_err());
}

#[test]
fn ignored_files_are_not_there() {
    let fixture =
        Fixture::new().file("a.txt", "").file("node_modules/x/y", "").file("src/keep", "").file("src/t.log", "");
    let context = fixture.open_with("node_modules\n**/*.log\n", LATER);
    assert_eq!(names(&context, ""), ["/a.txt", "/src", "/src/keep"]);
    assert_eq!(names(&context, "src"), ["/src/keep"]);
    assert_eq!(context.look(&path("src/t.log")).unwrap(), None);
    assert_eq!(context.look(&path("node_modules")).unwrap(), None);
    assert_eq!(context.look(&path("node_modules/x/y")).unwrap(), None);
    assert!(context.hides(&path("node_modules/x")) && !context.hides(&path("nothing")));
    assert!(!context.shows_as_it_is(&path("src"), true).unwrap());
}

#[test]
fn what_is_included_again_brings_its_directories() {
    let fixture = Fixture::new().file("d/keep", "").file("d/e/x", "").file("d/f/keep", "").file("z", "");
    let context = fixture.open_with("*\n!d/keep\n!d/f\n", LATER);
    assert_eq!(names(&context, ""), ["/d", "/d/f", "/d/f/keep", "/d/keep"]);
    assert!(context.look(&path("d/keep")).unwrap().is_some());
    assert_eq!(context.look(&path("z")).unwrap(), None);
}

#[test]
fn a_missing_path_that_is_ignored_says_so() {
    let fixture = Fixture::new().file("secret", "");
    let context = fixture.open_with("secret", LATER);
    let error = select(&context, "secret", dockerfile::Span::default()).unwrap_err();
    assert!(matches!(error, SolveErrorKind::CopyMissing { ignored: true, .. }), "{error:?}");
}

#[test]
fn the_hash_is_of_what_is_there_not_of_when_or_where() {
    let one = Fixture::new().file("a", "1").file("d/b", "2");
    let other = Fixture::new().file("d/b", "2").file("a", "1");
    assert_eq!(hash(&one.open()), hash(&other.open()));
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(77);
    fs::File::options().write(true).open(one.root.join("a")).unwrap().set_modified(old).unwrap();
    assert_eq!(hash(&one.open()), hash(&other.open()));
    fs::set_permissions(one.root.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_ne!(hash(&one.open()), hash(&other.open()));
}

#[test]
fn what_is_known_is_not_read_again() {
    let fixture = Fixture::new().file("a", "one").file("d/b", "two");
    let context = fixture.open();
    hash(&context);
    context.save().unwrap();
    let mut bytes = fixture.index(&context).unwrap();
    // A lie in the index tells whether it is believed.
    let (truth, lie) = (content("two").0, content("lie").0);
    let at = bytes.windows(32).position(|window| window == truth).unwrap();
    bytes[at..at + 32].copy_from_slice(&lie);
    let body = bytes.len() - 32;
    let checksum = *blake3::hash(&bytes[..body]).as_bytes();
    bytes[body..].copy_from_slice(&checksum);
    fixture.store.put_context_index(&context.0.as_ref().unwrap().id, &bytes).unwrap();

    let again = fixture.open();
    assert_eq!(again.entry(&path("d/b")).unwrap().unwrap().kind, Kind::File { size: 3, content: ContentHash(lie) });
    assert_eq!(again.below(&path("d")).unwrap()[0].kind, Kind::File { size: 3, content: ContentHash(lie) });
    again.save().unwrap();
    assert_eq!(fixture.index(&again).unwrap(), bytes, "nothing new, nothing written");

    fs::write(fixture.root.join("d/b"), "new").unwrap();
    let changed = fixture.open();
    assert_eq!(changed.below(&path("d")).unwrap()[0].kind, Kind::File { size: 3, content: content("new") });
}

#[test]
fn what_is_as_young_as_the_walk_is_read_again() {
    let fixture = Fixture::new().file("a", "one");
    let context = fixture.open_with("", Timestamp { seconds: 1, nanoseconds: 0 });
    hash(&context);
    context.save().unwrap();
    assert_eq!(fixture.index(&context), None);
}

#[test]
fn parts_looked_at_in_different_builds_add_up() {
    let fixture = Fixture::new().file("a", "1").file("d/b", "2").file("d/c", "3");
    for at in ["a", "d/b", "d/c"] {
        let context = fixture.open();
        context.entry(&path(at)).unwrap().unwrap();
        context.save().unwrap();
    }
    let context = fixture.open();
    let before = fixture.index(&context).unwrap();
    for at in ["a", "d/b", "d/c"] {
        let node = context.0.as_ref().unwrap().node(&path(at)).unwrap().unwrap();
        assert!(node.was_known, "{at}");
    }
    fs::remove_dir_all(fixture.root.join("d")).unwrap();
    let context = fixture.open();
    hash(&context);
    context.save().unwrap();
    let after = fixture.index(&context).unwrap();
    assert!(after.len() < before.len(), "what is gone is forgotten");
}

#[test]
fn a_damaged_index_is_as_good_as_none() {
    let fixture = Fixture::new().file("a", "1");
    let context = fixture.open();
    let id = context.0.as_ref().unwrap().id.clone();
    for bytes in [b"".as_slice(), b"kiln stat index 1\n", &[0xff; 400]] {
        fixture.store.put_context_index(&id, bytes).unwrap();
        assert_eq!(fixture.open().below(&LayerPath::root()).unwrap().len(), 1);
    }
}

#[test]
fn a_large_tree_is_walked_by_several_threads_alike() {
    let mut fixture = Fixture::new();
    for directory in 0..60 {
        for file in 0..20 {
            fixture = fixture.file(&format!("d{directory}/e/f{file}"), &format!("{directory}/{file}"));
        }
    }
    let context = fixture.open();
    let entries = context.below(&LayerPath::root()).unwrap();
    assert_eq!(entries.len(), 60 * 22);
    assert!(entries.is_sorted_by(|a, b| a.path < b.path));
    let expected = hash(&context);
    context.save().unwrap();
    assert_eq!(hash(&fixture.open()), expected);
}

#[test]
fn extended_attributes_count() {
    let fixture = Fixture::new().file("a", "1");
    let before = hash(&fixture.open());
    if rustix::fs::setxattr(fixture.root.join("a"), "user.kiln", b"x", rustix::fs::XattrFlags::empty()).is_err() {
        // A file system without attributes has none to copy.
        return;
    }
    let entries = fixture.open().below(&LayerPath::root()).unwrap();
    assert_eq!(entries[0].metadata.xattrs, [(b"user.kiln".as_slice().into(), b"x".as_slice().into())]);
    assert_ne!(hash(&fixture.open()), before);
}

#[test]
fn an_empty_context_has_a_root_and_nothing_else() {
    let context = Context::empty();
    assert!(context.below(&LayerPath::root()).unwrap().is_empty());
    assert!(select(&context, "x", dockerfile::Span::default()).is_err());
}

fn known(context: &Context, at: &str) -> Option<[u8; 32]> {
    let mut hasher = Hasher::new("test");
    context.hash_known(&path(at), &mut hasher).unwrap().then(|| hasher.finish())
}

/// Many files, so that it is worth remembering what follows from them.
fn large() -> Fixture {
    let many = (0..1100).fold(Fixture::new(), |fixture, n| fixture.file(&format!("d{}/f{n}", n % 5), "one"));
    let fixture = many.file("e/f", "one").file("g/h/i", "one");
    symlink("d0/f0", fixture.root.join("d1/link")).unwrap();
    fs::create_dir(fixture.root.join("empty")).unwrap();
    let context = fixture.open();
    assert_eq!(known(&context, ""), None, "nothing is known of it");
    hash(&context);
    context.save().unwrap();
    fixture
}

#[test]
fn a_directory_is_known_while_nothing_in_it_changes() {
    let fixture = large();
    let before = known(&fixture.open(), "").unwrap();
    assert_eq!(known(&fixture.open(), ""), Some(before));
    assert_ne!(known(&fixture.open(), "d1"), Some(before));
    assert_eq!(known(&fixture.open(), "e/f"), None, "no directory");
    assert_eq!(known(&fixture.open(), "nothing"), None);
    assert_ne!(known(&fixture.open_with("*.x", LATER), ""), Some(before));
    assert_eq!(known(&fixture.open_with("d1", LATER), ""), None, "less of it is seen");
    assert_eq!(known(&Fixture::new().file("a", "1").open(), ""), None);

    let at = |name: &str| fixture.root.join(name);
    let edits: [(&str, &dyn Fn()); 9] = [
        ("data", &|| fs::write(at("d1/f1"), "two more").unwrap()),
        ("mode", &|| fs::set_permissions(at("d1/f6"), fs::Permissions::from_mode(0o600)).unwrap()),
        ("new file", &|| fs::write(at("e/new"), "").unwrap()),
        ("gone", &|| fs::remove_file(at("e/f")).unwrap()),
        ("new directory", &|| fs::create_dir(at("empty/new")).unwrap()),
        ("mode of a directory", &|| fs::set_permissions(at("d2"), fs::Permissions::from_mode(0o700)).unwrap()),
        ("renamed directory", &|| fs::rename(at("g/h"), at("g/j")).unwrap()),
        ("link", &|| {
            fs::remove_file(at("d1/link")).unwrap();
            symlink("elsewhere", at("d1/link")).unwrap();
        }),
        ("another name", &|| fs::hard_link(at("d3/f3"), at("d3/g3")).unwrap()),
    ];
    let mut hashes = vec![before];
    for (what, edit) in edits {
        edit();
        let context = fixture.open();
        assert_eq!(known(&context, ""), None, "{what}");
        assert!(known(&context, "d4").is_some(), "{what} elsewhere");
        hash(&context);
        context.save().unwrap();
        let now = known(&fixture.open(), "").unwrap();
        assert!(!hashes.contains(&now), "{what}");
        hashes.push(now);
    }
}

#[test]
fn what_is_racy_is_not_known() {
    let fixture = large();
    fs::write(fixture.root.join("e/f"), "two more").unwrap();
    let context = fixture.open_with("", Timestamp { seconds: 1, nanoseconds: 0 });
    hash(&context);
    context.save().unwrap();
    assert_eq!(known(&fixture.open(), ""), None);
}
