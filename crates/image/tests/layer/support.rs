//! Trees, tars and directories to test with.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use image::layer::{ApplyError, ApplyOptions, Ids, OverlayXattr, apply};
use image::{ContentHash, Entry, Index, Kind, LayerPath, Metadata, Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;

/// True for root of the machine: that of a user namespace can do no more than others (`PROC_USER_INIT_INO`).
pub(crate) fn is_root() -> bool {
    let initial = std::fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() == 0xEFFF_FFFD);
    rustix::process::geteuid().is_root() && initial
}

/// True, with a word about it, if a test that needs root has to be left out.
#[expect(clippy::print_stderr, reason = "a skipped test should say so")]
pub(crate) fn needs_root() -> bool {
    if !is_root() {
        eprintln!("skipped: needs root");
    }
    !is_root()
}

pub(crate) fn path(text: &str) -> LayerPath {
    LayerPath::new(text.as_bytes()).unwrap()
}

/// Returns how this user has to apply layers.
pub(crate) fn options() -> ApplyOptions {
    match is_root() {
        true => ApplyOptions::default(),
        false => ApplyOptions { overlay: OverlayXattr::User, ids: Ids::Ignore, ..ApplyOptions::default() },
    }
}

/// A directory to apply layers to, with a sibling that nothing may touch.
pub(crate) struct Root {
    directory: TempDir,
}

impl Root {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("root")).unwrap();
        std::fs::write(directory.path().join("outside"), "untouched").unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub(crate) fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path().join(path)
    }

    pub(crate) fn fd(&self) -> OwnedFd {
        File::open(self.path()).unwrap().into()
    }

    pub(crate) fn apply(&self, tar: &[u8]) -> Result<Index, ApplyError> {
        apply(tar, self.fd().as_fd(), &[], &options())
    }

    /// Asserts that beside the root all is as it was.
    #[track_caller]
    pub(crate) fn check_outside(&self) {
        let mut names: Vec<_> =
            std::fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["outside", "root"]);
        assert_eq!(std::fs::read(self.directory.path().join("outside")).unwrap(), b"untouched");
    }
}

/// Writes tars as others would, and as nobody should.
#[derive(Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    pub(crate) fn member(mut self, kind: u8, name: &str, link: &str, data: &[u8]) -> Self {
        let mut header = header(kind, name, link, data.len() as u64);
        header.set_cksum();
        self.raw(header.as_bytes(), data);
        self
    }

    pub(crate) fn with(mut self, mut header: tar::Header, data: &[u8]) -> Self {
        header.set_cksum();
        self.raw(header.as_bytes(), data);
        self
    }

    pub(crate) fn file(self, name: &str, data: &str) -> Self {
        self.member(b'0', name, "", data.as_bytes())
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.member(b'5', name, "", b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.member(b'2', name, target, b"")
    }

    pub(crate) fn hardlink(self, name: &str, target: &str) -> Self {
        self.member(b'1', name, target, b"")
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let len = (rest..).find(|len| rest + len.to_string().len() == *len).unwrap();
            data.extend_from_slice(format!("{len} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.member(b'x', "PaxHeaders/x", "", &data)
    }

    pub(crate) fn raw(&mut self, header: &[u8], data: &[u8]) {
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }
}

/// Makes a header without the checksum.
pub(crate) fn header(kind: u8, name: &str, link: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000);
    header.set_size(size);
    header.as_old_mut().linkflag = [kind];
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header
}

/// A layer in memory: its index and the data of its files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    entries: BTreeMap<LayerPath, Entry>,
    data: BTreeMap<LayerPath, Vec<u8>>,
}

impl Tree {
    pub(crate) fn index(&self) -> Index {
        self.entries.values().cloned().collect()
    }

    /// Returns the data of a file, as packing asks for it.
    pub(crate) fn open(&self, path: &LayerPath) -> std::io::Result<&[u8]> {
        self.data.get(path).map(Vec::as_slice).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    /// Adds `kind` at `path` with the parents it lacks; does nothing if something is in the way.
    pub(crate) fn add(&mut self, path: LayerPath, kind: Kind, metadata: Metadata) -> bool {
        if self.entries.contains_key(&path) {
            return false;
        }
        let mut parents: Vec<_> = std::iter::successors(path.parent(), LayerPath::parent).collect();
        parents.retain(|parent| !parent.is_root());
        if parents.iter().any(|p| self.entries.get(p).is_some_and(|e| !matches!(e.kind, Kind::Directory { .. }))) {
            return false;
        }
        for path in parents {
            let metadata = Metadata { mode: 0o755, ..Metadata::default() };
            let entry = Entry { path: path.clone(), kind: Kind::Directory { opaque: false }, metadata };
            self.entries.entry(path).or_insert(entry);
        }
        self.entries.insert(path.clone(), Entry { path, kind, metadata });
        true
    }

    pub(crate) fn add_file(&mut self, path: LayerPath, data: Vec<u8>, metadata: Metadata) {
        if self.add(path.clone(), file_kind(&data), metadata) {
            self.data.insert(path, data);
        }
    }

    /// Makes `path` another name of the `nth` file; the lesser of the two becomes the file.
    fn add_hardlink(&mut self, path: LayerPath, nth: usize) {
        let files: Vec<_> = self.data.keys().cloned().collect();
        let Some(file) = files.get(nth % files.len().max(1)) else { return };
        let Entry { kind, metadata, .. } = self.entries[file].clone();
        if !self.add(path.clone(), kind.clone(), metadata) {
            return;
        }
        if path < *file {
            let data = self.data.remove(file).unwrap();
            self.data.insert(path.clone(), data);
            for entry in self.entries.values_mut() {
                let links_there = matches!(&entry.kind, Kind::Hardlink { target } if target == file);
                if links_there || entry.path == *file {
                    entry.kind = Kind::Hardlink { target: path.clone() };
                }
            }
        } else {
            self.entries.get_mut(&path).unwrap().kind = Kind::Hardlink { target: file.clone() };
        }
    }
}

pub(crate) fn file_kind(data: &[u8]) -> Kind {
    Kind::File { size: data.len() as u64, content: ContentHash(blake3::hash(data).into()) }
}

#[derive(Clone, Debug)]
enum Node {
    Directory(bool),
    File(Vec<u8>),
    Hardlink(usize),
    Symlink(Vec<u8>),
    Device(bool, u32, u32),
    Fifo,
    Whiteout,
}

fn node() -> impl Strategy<Value = Node> {
    let bytes = |len| proptest::collection::vec(any::<u8>(), len);
    prop_oneof![
        2 => any::<bool>().prop_map(Node::Directory),
        4 => bytes(0..2000).prop_map(Node::File),
        2 => any::<usize>().prop_map(Node::Hardlink),
        1 => "[a-zé/.]{1,130}".prop_map(|target| Node::Symlink(target.into())),
        1 => (any::<bool>(), 1..4096_u32, 0..1_000_000_u32).prop_map(|(block, major, minor)| Node::Device(block, major, minor)),
        1 => Just(Node::Fifo),
        1 => Just(Node::Whiteout),
    ]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let xattr = ("user\\.[a=%.]{1,6}", proptest::collection::vec(any::<u8>(), 0..40));
    let xattrs = proptest::collection::btree_map(xattr.0, xattr.1, 0..3);
    let id = prop_oneof![Just(0), 0..70_000_u32, Just(4_000_000)];
    (0..0o10000_u32, id.clone(), id, -1000..4_000_000_000_i64, xattrs).prop_map(|(mode, uid, gid, seconds, xattrs)| {
        let xattrs = xattrs.into_iter().map(|(name, value)| (name.into_bytes().into(), value.into())).collect();
        Metadata { mode, uid, gid, mtime: Timestamp { seconds, nanoseconds: 0 }, xattrs }
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[ab.é-]{1,2}", 1 => "[a-z]{60,120}", 1 => "é{60,100}"]
        .prop_filter("no name", |name| name != "." && name != "..")
}

/// Any layer that this user can make.
pub(crate) fn any_tree() -> impl Strategy<Value = Tree> {
    let path = proptest::collection::vec(name(), 1..4);
    proptest::collection::vec((path, node(), metadata()), 0..20).prop_map(|nodes| {
        let mut tree = Tree::default();
        for (names, node, metadata) in nodes {
            add_node(&mut tree, path_of(&names), node, metadata);
        }
        tree
    })
}

fn path_of(names: &[String]) -> LayerPath {
    LayerPath::new(names.join("/").as_bytes()).unwrap()
}

fn add_node(tree: &mut Tree, path: LayerPath, node: Node, mut metadata: Metadata) {
    if matches!(node, Node::Directory(_) | Node::File(_)) && !is_root() {
        // Others would keep their own owner out.
        metadata.mode |= 0o700;
    }
    let kind = match node {
        Node::File(data) => return tree.add_file(path, data, metadata),
        Node::Hardlink(nth) => return tree.add_hardlink(path, nth),
        Node::Device(..) if !is_root() => return,
        Node::Directory(opaque) => Kind::Directory { opaque },
        Node::Symlink(target) => Kind::Symlink { target: target.into() },
        Node::Device(true, major, minor) => Kind::BlockDevice { major, minor },
        Node::Device(false, major, minor) => Kind::CharDevice { major, minor },
        Node::Fifo => Kind::Fifo,
        Node::Whiteout => Kind::Whiteout,
    };
    // The kernel keeps `user.*` to files and directories.
    let metadata = match kind {
        Kind::Directory { .. } => metadata,
        Kind::Whiteout => Metadata::default(),
        Kind::Symlink { .. } => Metadata { mode: 0o777, xattrs: Vec::new(), ..metadata },
        _ => Metadata { xattrs: Vec::new(), ..metadata },
    };
    let _ = tree.add(path, kind, metadata);
}

/// Returns a description short enough to compare: path, kind and mode.
pub(crate) fn brief(index: &Index) -> Vec<String> {
    let describe = |entry: &Entry| {
        let kind = match &entry.kind {
            Kind::Directory { opaque: false } => "directory".to_owned(),
            Kind::Directory { opaque: true } => "opaque directory".to_owned(),
            Kind::File { size, .. } => format!("file of {size}"),
            Kind::Hardlink { target } => format!("link to {target}"),
            Kind::Symlink { target } => format!("symlink to {}", target.escape_ascii()),
            Kind::CharDevice { major, minor } => format!("char {major}:{minor}"),
            Kind::BlockDevice { major, minor } => format!("block {major}:{minor}"),
            Kind::Fifo => "fifo".to_owned(),
            Kind::Whiteout => "whiteout".to_owned(),
        };
        format!("{} {kind} {:o}", entry.path, entry.metadata.mode)
    };
    index.entries().iter().map(describe).collect()
}
