//! What is written here is read by other tools, and what they write is read here.
//!
//! A tool that is not installed skips its test, saying so; with `REQUIRE_TOOLS=1` it fails it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use image::descriptor::descriptor;
use image::{
    Descriptor, Digest, ImageConfig, LayerEncoding, Loaded, Manifest, MemoryBlobs, Named, Style, archive, graph, layout,
};

/// True if `tool` can be run.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(found || std::env::var_os("REQUIRE_TOOLS").is_none(), "{tool} is not installed");
    if !found {
        eprintln!("skipped: {tool} is not installed");
    }
    found
}

/// Runs a command in `dir` and returns its output.
#[track_caller]
fn run(dir: &Path, command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).current_dir(dir).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command}\n{out}{err}");
    out.into_owned()
}

fn layer(name: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(name.len() as u64);
    builder.append_data(&mut header, name, name.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::default());
    let mut out = Vec::new();
    std::io::copy(&mut encoder, &mut out).unwrap();
    out
}

fn put(blobs: &MemoryBlobs, media_type: &str, bytes: &[u8]) -> Descriptor {
    descriptor(media_type, blobs.insert(bytes), bytes.len() as u64)
}

/// Makes an image of two layers, the first of them gzip.
fn image() -> (MemoryBlobs, Manifest) {
    let blobs = MemoryBlobs::new();
    let (lower, upper) = (layer("lower"), layer("upper"));
    let mut config = ImageConfig { architecture: "amd64".to_owned(), os: "linux".to_owned(), ..Default::default() };
    config.created = Some("2024-01-02T03:04:05Z".to_owned());
    config.config.cmd = Some(vec!["/lower".to_owned()]);
    config.rootfs.diff_ids = vec![Digest::of(&lower), Digest::of(&upper)];
    let config = put(&blobs, Style::Oci.config(), &config.to_json());
    let layers = [
        put(&blobs, LayerEncoding::Gzip.media_type(Style::Oci), &gzip(&lower)),
        put(&blobs, LayerEncoding::Gzip.media_type(Style::Oci), &gzip(&upper)),
    ];
    let manifest = Manifest::build(&config, &layers, Style::Oci, &BTreeMap::new()).unwrap();
    blobs.insert(manifest.bytes.clone());
    (blobs, manifest)
}

fn named(manifest: &Manifest) -> [Named; 1] {
    [Named { target: manifest.descriptor(), names: vec!["kiln.test/app:1".parse().unwrap()] }]
}

fn load(path: &Path) -> (MemoryBlobs, Vec<Loaded>) {
    let store = MemoryBlobs::new();
    let images = archive::load(File::open(path).unwrap(), &store).unwrap_or_else(|error| panic!("{error:?}"));
    (store, images)
}

/// Returns the diff IDs and the command of a loaded image.
fn essence(store: &MemoryBlobs, image: &Loaded) -> (Vec<Digest>, Option<Vec<String>>) {
    let manifest = graph::read_manifest(store, &image.manifest).unwrap();
    let (config, _) = manifest.config().unwrap();
    let config = ImageConfig::parse(&store.get(&config).unwrap()).unwrap();
    manifest.check_layers(&config).unwrap();
    (config.rootfs.diff_ids, config.config.cmd)
}

fn expected() -> (Vec<Digest>, Option<Vec<String>>) {
    (vec![Digest::of(&layer("lower")), Digest::of(&layer("upper"))], Some(vec!["/lower".to_owned()]))
}

#[test]
fn skopeo_reads_layouts_and_keeps_their_digest() {
    if !has("skopeo") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (blobs, manifest) = image();
    layout::write_dir(&dir.path().join("layout"), &blobs, &named(&manifest)).unwrap();
    let mut tar = File::create(dir.path().join("layout.tar")).unwrap();
    layout::write_tar(&mut tar, &blobs, &named(&manifest)).unwrap();
    for source in ["oci:layout:1", "oci-archive:layout.tar:1"] {
        let inspected = run(dir.path(), &format!("skopeo --insecure-policy inspect {source}"));
        assert!(inspected.contains(&format!("\"Digest\": \"{}\"", manifest.digest)), "{inspected}");
    }
}

#[test]
fn skopeo_reads_archives_for_docker_and_writes_them() {
    if !has("skopeo") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (blobs, manifest) = image();
    let mut tar = File::create(dir.path().join("docker.tar")).unwrap();
    archive::write(&mut tar, &blobs, &named(&manifest)).unwrap();
    run(dir.path(), "skopeo --insecure-policy inspect docker-archive:docker.tar:kiln.test/app:1");
    for (target, file, names) in [
        ("oci:copied:2", "copied", ""),
        ("oci-archive:copied-oci.tar:kiln.test/app:2", "copied-oci.tar", "kiln.test/app:2"),
        ("docker-archive:copied-docker.tar:kiln.test/app:2", "copied-docker.tar", "kiln.test/app:2"),
    ] {
        run(dir.path(), &format!("skopeo --insecure-policy copy docker-archive:docker.tar {target}"));
        let path = dir.path().join(file);
        let (store, images) = if path.is_dir() {
            let store = MemoryBlobs::new();
            let images = layout::read_dir(&path, Some("2"), &store).unwrap();
            (store, images)
        } else {
            load(&path)
        };
        assert_eq!(essence(&store, &images[0]), expected(), "{target}");
        let found: Vec<String> = images[0].names.iter().map(image::Reference::familiar).collect();
        assert_eq!(found.join(" "), names, "{target}");
    }
}

#[test]
fn umoci_unpacks_layouts() {
    if !has("umoci") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (blobs, manifest) = image();
    layout::write_dir(&dir.path().join("layout"), &blobs, &named(&manifest)).unwrap();
    run(dir.path(), "umoci unpack --rootless --image layout:1 bundle");
    assert_eq!(fs::read(dir.path().join("bundle/rootfs/upper")).unwrap(), b"upper");

    // What it adds is read beside what was there, and neither loses the other.
    run(dir.path(), "umoci config --image layout:1 --tag 2 --config.cmd /upper");
    layout::write_dir(&dir.path().join("layout"), &blobs, &named(&manifest)).unwrap();
    let store = MemoryBlobs::new();
    let images = layout::read_dir(&dir.path().join("layout"), Some("2"), &store).unwrap();
    assert_eq!(essence(&store, &images[0]), (expected().0, Some(vec!["/upper".to_owned()])));
    run(dir.path(), "umoci stat --image layout:1");
}

#[test]
fn podman_loads_and_saves() {
    if !has("podman") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (blobs, manifest) = image();
    let mut tar = File::create(dir.path().join("docker.tar")).unwrap();
    archive::write(&mut tar, &blobs, &named(&manifest)).unwrap();
    let podman = "podman --root storage --runroot run --storage-driver vfs";
    run(dir.path(), &format!("{podman} load -i docker.tar"));
    for format in ["docker-archive", "oci-archive"] {
        run(dir.path(), &format!("{podman} save --format {format} -o {format}.tar kiln.test/app:1"));
        let (store, images) = load(&dir.path().join(format!("{format}.tar")));
        assert_eq!(essence(&store, &images[0]), expected(), "{format}");
        assert_eq!(images[0].names, ["kiln.test/app:1".parse().unwrap()], "{format}");
    }
}
