//! What the tests share.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use image::blobs::Blobs as _;
use image::descriptor::descriptor;
use image::layer::{Compression, Index, OverlayXattr, PackOptions, Packed, pack_with, scan_tree};
use image::{ContentHash, Descriptor, Digest, Entry, Kind, LayerPath, Metadata};
use tempfile::TempDir;

use crate::{Draft, DraftImage, Layer, LayerId, RecordKey, Store};

/// Returns a directory in memory where that is possible: a hundred tests would keep a disk busy.
pub(crate) fn new_root() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) fn new_store() -> (TempDir, Store) {
    let root = new_root();
    let store = Store::open(root.path()).unwrap();
    (root, store)
}

/// A store where stores are, for what depends on the filesystem.
pub(crate) fn new_store_on_disk() -> (TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    (root, store)
}

pub(crate) fn key(number: u8) -> RecordKey {
    RecordKey([number; 32])
}

pub(crate) fn path(text: &str) -> LayerPath {
    LayerPath::new(text.as_bytes()).unwrap()
}

pub(crate) fn entry(at: &str, kind: Kind) -> Entry {
    let mode = match kind {
        Kind::Directory { .. } => 0o755,
        Kind::Symlink { .. } => 0o777,
        Kind::Whiteout => 0,
        _ => 0o644,
    };
    Entry { path: path(at), kind, metadata: Metadata { mode, ..Metadata::default() } }
}

pub(crate) fn directory(at: &str) -> Entry {
    entry(at, Kind::Directory { opaque: false })
}

pub(crate) fn opaque(at: &str) -> Entry {
    entry(at, Kind::Directory { opaque: true })
}

pub(crate) fn whiteout(at: &str) -> Entry {
    entry(at, Kind::Whiteout)
}

pub(crate) fn symlink(at: &str, target: &str) -> Entry {
    entry(at, Kind::Symlink { target: target.as_bytes().into() })
}

pub(crate) fn hardlink(at: &str, target: &str) -> Entry {
    entry(at, Kind::Hardlink { target: path(target) })
}

/// A file of `size` bytes that are all the last digit of the size.
pub(crate) fn file(at: &str, size: usize) -> Entry {
    entry(at, Kind::File { size: size as u64, content: ContentHash(*blake3::hash(&data(size)).as_bytes()) })
}

pub(crate) fn data(size: usize) -> Vec<u8> {
    vec![b'0' + (size % 10) as u8; size]
}

/// A layer that could come from a disk: nothing below what is no directory, links to files of the same layer.
pub(crate) fn layer(choices: &[(u8, u8)]) -> Index {
    const NAMES: [&str; 13] =
        ["a", "b", "c", "a/a", "a/b", "a/c", "b/a", "b/b", "a/a/a", "a/a/b", "a/b/a", "b/a/a", "a.b"];
    let mut entries: BTreeMap<LayerPath, Entry> = BTreeMap::new();
    for &(name, kind) in choices {
        let name = NAMES[usize::from(name) % NAMES.len()];
        let first_file =
            entries.values().find(|entry| matches!(entry.kind, Kind::File { .. })).map(|entry| entry.path.clone());
        let entry = match (kind % 12, first_file) {
            (0..3, _) => directory(name),
            (3, _) => opaque(name),
            (4..6, _) => whiteout(name),
            (6, _) => symlink(name, "a/b"),
            (7..9, Some(target)) if target < path(name) => {
                hardlink(name, std::str::from_utf8(target.as_bytes()).unwrap())
            }
            _ => file(name, usize::from(kind)),
        };
        let blocked = |other: &Entry| {
            let is_directory = |entry: &Entry| matches!(entry.kind, Kind::Directory { .. });
            other.path == entry.path
                || entry.path.starts_with(&other.path) && !is_directory(other)
                || other.path.starts_with(&entry.path) && !is_directory(&entry)
        };
        if !entries.values().any(blocked) {
            entries.insert(entry.path.clone(), entry);
        }
    }
    entries.into_values().collect()
}

/// Packs entries made by [`file`] and the others.
pub(crate) fn pack_entries(entries: &[Entry], compression: Compression) -> (Vec<u8>, Packed) {
    let index: Index = entries.iter().cloned().collect();
    let open = |path: &LayerPath| match index.get(path).map(|entry| &entry.kind) {
        Some(Kind::File { size, .. }) => Ok(std::io::Cursor::new(data(*size as usize))),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let mut bytes = Vec::new();
    let options = PackOptions { compression, ..PackOptions::default() };
    let packed = pack_with(&index, open, &mut bytes, &options).unwrap();
    (bytes, packed)
}

/// Puts a layer blob into the store; returns its descriptor and diff ID.
pub(crate) fn put_layer_blob(store: &Store, entries: &[Entry]) -> (Descriptor, Digest) {
    let (bytes, packed) = pack_entries(entries, Compression::GZIP);
    store.put_blob(Some((packed.digest, packed.size)), &mut &bytes[..]).unwrap();
    (descriptor(image::media_type::OCI_LAYER_GZIP, packed.digest, packed.size), packed.diff_id)
}

/// Makes a layer here with one file.
pub(crate) fn make_layer(store: &Store, name: &str, content: &[u8]) -> Layer {
    let draft = store.new_layer().unwrap();
    std::fs::write(draft.tree().join(name), content).unwrap();
    let index = index_of(draft.tree());
    draft.commit(index, 1_000).unwrap()
}

pub(crate) fn index_of(tree: &Path) -> Index {
    use std::os::fd::AsFd;
    let tree = std::fs::File::open(tree).unwrap();
    scan_tree(tree.as_fd(), OverlayXattr::Trusted, image::layer::Ids::Keep).unwrap()
}

/// Puts a manifest with the given text in it into the store.
pub(crate) fn put_manifest(store: &Store, text: &str) -> Descriptor {
    let config = descriptor(image::media_type::OCI_CONFIG, Digest::of(b"config"), 6);
    let document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": image::media_type::OCI_MANIFEST,
        "config": config,
        "layers": [],
        "annotations": { "text": text },
    });
    let bytes = serde_json::to_vec(&document).unwrap();
    let (digest, size) = store.put_blob(None, &mut &bytes[..]).unwrap();
    assert_eq!(store.size(&digest).unwrap(), size);
    descriptor(image::media_type::OCI_MANIFEST, digest, size)
}

/// An image of one layer that was built here.
pub(crate) fn draft(layer: &LayerId) -> Draft {
    let platform: image::Platform = "linux/amd64".parse().unwrap();
    let (os, architecture) = (platform.os.clone(), platform.architecture.clone());
    let config = image::ImageConfig { os, architecture, ..image::ImageConfig::default() };
    Draft {
        images: vec![DraftImage {
            platform,
            config,
            base: None,
            layers: vec![layer.clone()],
            annotations: BTreeMap::new(),
            entry_annotations: BTreeMap::new(),
        }],
        compression: Compression::GZIP,
        epoch: None,
        index_annotations: BTreeMap::new(),
    }
}

/// Returns the names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Overwrites one byte in the middle of a file.
pub(crate) fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(file, bytes).unwrap();
}

/// Returns a command that runs an ignored test of this binary in a process of its own.
pub(crate) fn child(test: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--quiet", "--test-threads=1"]);
    command.env("STORE_TEST_ROOT", root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Returns the store that a [`child`] is to work on, `None` for a test that was started by itself.
pub(crate) fn child_root() -> Option<std::path::PathBuf> {
    std::env::var_os("STORE_TEST_ROOT").map(Into::into)
}
