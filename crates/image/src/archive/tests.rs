use std::collections::BTreeMap;
use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::blobs::MemoryBlobs;
use crate::media_type::{DOCKER_MANIFEST, LayerEncoding};
use crate::testing::{chain, config, gzip, image, layers, names, tar, zstd};
use crate::{Digest, ImageConfig, Reference};

fn named(manifest: &Manifest, as_names: &[&str]) -> Named {
    Named { target: manifest.descriptor(), names: names(as_names) }
}

fn docker_archive(blobs: &MemoryBlobs, images: &[Named]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, blobs, images).unwrap_or_else(|error| panic!("{}", chain(&error)));
    out
}

#[track_caller]
fn loaded(archive: &[u8]) -> (MemoryBlobs, Vec<Loaded>) {
    let store = MemoryBlobs::new();
    let images = load(archive, &store).unwrap_or_else(|error| panic!("{}", chain(&error)));
    (store, images)
}

#[track_caller]
fn check_refused(archive: &[u8], expected: &str) {
    let error = chain(&load(archive, &MemoryBlobs::new()).expect_err("the archive must be refused"));
    assert!(error.contains(expected), "{error}");
}

fn config_of(store: &MemoryBlobs, image: &Loaded) -> ImageConfig {
    let manifest = read_manifest(store, &image.manifest).unwrap();
    ImageConfig::parse(&store.get(&manifest.config().unwrap().0).unwrap()).unwrap()
}

/// The members of an archive, to be changed and put together again.
fn members(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    };
    let all = archive.entries().unwrap().map(entry);
    all.filter(|(name, _)| !name.ends_with('/')).collect()
}

fn assemble(members: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    tar(&members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

#[test]
fn an_archive_for_docker_is_written_in_one_way() {
    let blobs = MemoryBlobs::new();
    let (a, b) = (image(&blobs, "a"), image(&blobs, "b"));
    let images = [named(&a, &["app:1", "quay.io/me/app"]), named(&b, &[])];
    let archive = docker_archive(&blobs, &images);
    assert_eq!(archive, docker_archive(&blobs, &images));
    let members = members(&archive);
    let path = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
    let (layers_a, layers_b) = (a.layers().unwrap(), b.layers().unwrap());
    let expected = format!(
        r#"[{{"Config":"{}","RepoTags":["app:1","quay.io/me/app:latest"],"Layers":["{}","{}"]}},{{"Config":"{}","RepoTags":null,"Layers":["{}","{}"]}}]"#,
        path(a.config().unwrap().0),
        path(layers_a[0].digest),
        path(layers_a[1].digest),
        path(b.config().unwrap().0),
        path(layers_b[0].digest),
        path(layers_b[1].digest),
    );
    assert_eq!(String::from_utf8_lossy(&members["manifest.json"]), expected);
    assert!(members.contains_key("oci-layout") && members.contains_key("index.json"));
    assert!(!members.contains_key(&path(a.digest)), "the manifest with OCI's types is not in it");
}

#[test]
fn what_was_written_for_docker_is_read_back() {
    let blobs = MemoryBlobs::new();
    let (a, b) = (image(&blobs, "a"), image(&blobs, "b"));
    let archive = docker_archive(&blobs, &[named(&a, &["app:1"]), named(&b, &[])]);
    let (store, images) = loaded(&archive);
    assert_eq!(images.iter().map(|image| image.names.clone()).collect::<Vec<_>>(), [names(&["app:1"]), vec![]]);
    assert_eq!(images[0].manifest.media_type().as_ref(), DOCKER_MANIFEST);
    assert_eq!(config_of(&store, &images[1]), config("b"));

    // The same without the layout beside, or an empty one: what reads `manifest.json` sees the same image.
    let mut all = members(&archive);
    for index in [None, Some(&br#"{"schemaVersion":2,"manifests":[]}"#[..])] {
        all.remove("index.json");
        all.extend(index.map(|index| ("index.json".to_owned(), index.to_vec())));
        let (store, images) = loaded(&assemble(&all));
        assert_eq!(images[0].names, names(&["app:1"]));
        let manifest = read_manifest(&store, &images[0].manifest).unwrap();
        assert_eq!(manifest.bytes, a.bytes, "the same blobs give the manifest that was written");
    }
}

#[test]
fn writing_for_docker_translates_a_docker_manifest_into_itself() {
    let blobs = MemoryBlobs::new();
    let a = image(&blobs, "a");
    let (store, images) = loaded(&docker_archive(&blobs, &[named(&a, &["app:1"])]));
    let again = Named { target: images[0].manifest.clone(), names: names(&["app:1"]) };
    assert_eq!(docker_archive(&store, &[again]), docker_archive(&blobs, &[named(&a, &["app:1"])]));
}

#[test]
fn of_an_index_docker_gets_the_image_for_this_machine() {
    let blobs = MemoryBlobs::new();
    let (other, own, absent) = (image(&blobs, "a"), image(&blobs, "b"), image(&blobs, "c"));
    blobs.remove(&absent.digest);
    let platform = |text: &str| text.parse::<crate::Platform>().unwrap();
    let entry = |image: &Manifest, platform| crate::descriptor::with_platform(image.descriptor(), platform);
    let entries = [
        entry(&other, &platform("linux/s390x")),
        entry(&own, &crate::Platform::host()),
        entry(&absent, &platform("linux/mips")),
    ];
    let index = Manifest::build_index(&entries, crate::Style::Oci, &BTreeMap::new()).unwrap();
    blobs.insert(index.bytes.clone());
    let archive = docker_archive(&blobs, &[named(&index, &["a:1"])]);
    let (_, images) = loaded(&archive);
    assert_eq!(
        images,
        [Loaded {
            names: names(&["docker.io/library/a:1"]),
            ref_names: vec!["1".to_owned()],
            manifest: index.descriptor()
        }]
    );
    let mut members = members(&archive);
    members.remove("index.json");
    let (store, images) = loaded(&assemble(&members));
    assert_eq!(config_of(&store, &images[0]), config("b"));
}

#[test]
fn an_index_of_nothing_that_is_there_cannot_be_written_for_docker() {
    let blobs = MemoryBlobs::new();
    let absent = image(&blobs, "a");
    blobs.remove(&absent.digest);
    let index = Manifest::build_index(&[absent.descriptor()], crate::Style::Oci, &BTreeMap::new()).unwrap();
    blobs.insert(index.bytes.clone());
    let error = write(&mut Vec::new(), &blobs, &[named(&index, &[])]).unwrap_err().to_string();
    assert!(error.contains("a manifest of index"), "{error}");
}

/// Members as Docker wrote them before version 25: `<id>/layer.tar`, links where a layer is shared.
fn old_archive(symlink: impl Fn(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let [common, own] = layers("old");
    let config = config("old").to_json();
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let id = "0".repeat(64);
    let manifest = format!(
        r#"[{{"Config":"{config_name}","RepoTags":["old:1"],"Layers":["{id}/layer.tar","second/layer.tar"]}}]"#
    );
    let files = tar(&[
        (&format!("{id}/VERSION"), b"1.0"),
        (&format!("{id}/json"), b"{}"),
        (&format!("{id}/layer.tar"), &common),
        ("third/layer.tar", &own),
        (&config_name, &config),
        ("manifest.json", manifest.as_bytes()),
        ("repositories", br#"{"old":{"1":"x"}}"#),
    ]);
    let mut builder = tar::Builder::new(files[..files.len() - 1024].to_vec());
    symlink(&mut builder);
    builder.into_inner().unwrap()
}

fn link(builder: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, target: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    builder.append(&header, std::io::empty()).unwrap();
}

#[track_caller]
fn check_old(archive: &[u8]) {
    let (store, images) = loaded(archive);
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].names, names(&["old:1"]));
    assert_eq!(config_of(&store, &images[0]), config("old"));
    let manifest = read_manifest(&store, &images[0].manifest).unwrap();
    let expected: Vec<_> = layers("old").iter().map(|layer| (Digest::of(layer), LayerEncoding::Plain)).collect();
    let actual: Vec<_> = manifest.layers().unwrap().iter().map(|layer| (layer.digest, layer.encoding)).collect();
    assert_eq!(actual, expected);
    assert_eq!(store.digests().len(), 4, "two layers, the configuration and the manifest made for it");
}

#[test]
fn archives_of_old_docker_are_read_through_their_links() {
    check_old(&old_archive(|b| link(b, tar::EntryType::Symlink, "second/layer.tar", "../third/layer.tar")));
    check_old(&old_archive(|b| link(b, tar::EntryType::Link, "second/layer.tar", "third/layer.tar")));
    check_old(&gzip(&old_archive(|b| {
        link(b, tar::EntryType::Symlink, "second/layer.tar", ".././x/./layer.tar");
        link(b, tar::EntryType::Symlink, "x/layer.tar", "../third/layer.tar");
    })));
}

#[test]
fn links_lead_nowhere_else() {
    let symlink = |target: &str| old_archive(|b| link(b, tar::EntryType::Symlink, "second/layer.tar", target));
    check_refused(&symlink("../../etc/passwd"), "archive member `second/layer.tar` is a link out of the archive");
    check_refused(&symlink("/etc/passwd"), "is a link out of the archive");
    check_refused(&symlink("layer.tar"), "`second/layer.tar` is missing, though `manifest.json` names it");
    check_refused(&symlink("../nothing"), "is missing, though `manifest.json` names it");
    check_refused(
        &old_archive(|b| link(b, tar::EntryType::Link, "second/layer.tar", "../third/layer.tar")),
        "is a link out of the archive",
    );
}

/// What go-containerregistry, bazel and kaniko write: any names, layers compressed.
fn named_archive(first: &[u8], second: &[u8], config: &[u8]) -> Vec<u8> {
    let manifest = br#"[{"Config":"sha256:c","RepoTags":["any:1","quay.io/x/y:2"],"Layers":["1.tar.gz","2"]}]"#;
    tar(&[("manifest.json", manifest), ("1.tar.gz", first), ("sha256:c", config), ("2", second)])
}

#[test]
fn layers_may_be_compressed_and_called_anything() {
    let [common, own] = layers("any");
    let (store, images) = loaded(&named_archive(&gzip(&common), &zstd(&own), &config("any").to_json()));
    assert_eq!(images[0].names, names(&["any:1", "quay.io/x/y:2"]));
    let layers = read_manifest(&store, &images[0].manifest).unwrap().layers().unwrap();
    assert_eq!(layers.iter().map(|l| l.encoding).collect::<Vec<_>>(), [LayerEncoding::Gzip, LayerEncoding::Zstd]);
    assert_eq!(layers[0].digest, Digest::of(&gzip(&common)));
}

#[test]
fn layers_that_are_not_those_of_the_configuration_are_refused() {
    let [common, own] = layers("any");
    let config = config("any");
    let wrong = Digest::of(&common);
    let expected = format!("layer `2` has the diff ID {wrong} where the configuration says {}", Digest::of(&own));
    check_refused(&named_archive(&common, &common, &config.to_json()), &expected);
    check_refused(&named_archive(&common, &gzip(&common), &config.to_json()), &expected);
    let cut = gzip(&common);
    check_refused(&named_archive(&cut[..cut.len() - 9], &own, &config.to_json()), "failed to read layer `1.tar.gz`");
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&common).unwrap();
    let bzip2 = bzip2.finish().unwrap();
    check_refused(
        &named_archive(&bzip2, &own, &config.to_json()),
        "`1.tar.gz` is a layer in a compression that images",
    );
    let mut short = config.clone();
    short.rootfs.diff_ids.pop();
    check_refused(&named_archive(&common, &own, &short.to_json()), "the configuration has 1 layers, the manifest 2");
    check_refused(&named_archive(&common, &own, b"{"), "invalid image configuration");
}

#[test]
fn members_may_come_in_any_order_and_compression() {
    let blobs = MemoryBlobs::new();
    let a = image(&blobs, "a");
    let mut archive = Vec::new();
    layout::write_tar(&mut archive, &blobs, &[named(&a, &["app:1"])]).unwrap();
    let all = members(&archive);
    let reversed: Vec<_> = all.iter().rev().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let dotted: Vec<_> = all.iter().map(|(name, bytes)| (format!("./{name}"), bytes)).collect();
    let dotted: Vec<_> = dotted.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let halves = [gzip(&archive[..700]), gzip(&archive[700..])].concat();
    for archive in [tar(&reversed), tar(&dotted), gzip(&archive), zstd(&archive), halves] {
        let (store, images) = loaded(&archive);
        assert_eq!(images[0].manifest, a.descriptor());
        assert_eq!(images[0].names, names(&["app:1"]));
        assert_eq!(store.digests(), blobs.digests());
    }
}

#[test]
fn names_are_taken_from_manifest_json_if_the_index_has_none() {
    let blobs = MemoryBlobs::new();
    let a = image(&blobs, "a");
    let archive = docker_archive(&blobs, &[named(&a, &["app:1"])]);
    let mut all = members(&archive);
    let index: serde_json::Value = serde_json::from_slice(&all["index.json"]).unwrap();
    let mut bare = index.clone();
    bare["manifests"][0].as_object_mut().unwrap().remove("annotations");
    all.insert("index.json".to_owned(), serde_json::to_vec(&bare).unwrap());
    let (_, images) = loaded(&assemble(&all));
    assert_eq!(images[0].names, names(&["app:1"]));
    assert_eq!(images[0].ref_names, Vec::<String>::new());
}

/// An archive of one image, its members changed.
fn changed(change: impl Fn(&mut BTreeMap<String, Vec<u8>>, &Manifest)) -> Vec<u8> {
    let blobs = MemoryBlobs::new();
    let a = image(&blobs, "a");
    let mut archive = Vec::new();
    layout::write_tar(&mut archive, &blobs, &[named(&a, &["app:1"])]).unwrap();
    let mut all = members(&archive);
    change(&mut all, &a);
    assemble(&all)
}

fn layer_name(manifest: &Manifest) -> String {
    format!("blobs/sha256/{}", manifest.layers().unwrap()[1].digest.hex())
}

#[test]
fn damage_to_an_archive_is_named() {
    let digest = image(&MemoryBlobs::new(), "a").layers().unwrap()[1].digest;
    let missing = changed(|all, a| drop(all.remove(&layer_name(a))));
    check_refused(&missing, &format!("blob {digest} is missing, needed as layer 2 of manifest"));
    let damaged = changed(|all, a| drop(all.insert(layer_name(a), b"other".to_vec())));
    check_refused(
        &damaged,
        &format!("failed to read archive member `blobs/sha256/{}`: blob {digest} is damaged", digest.hex()),
    );
    let no_manifest = changed(|all, a| drop(all.remove(&format!("blobs/sha256/{}", a.digest.hex()))));
    check_refused(&no_manifest, "is missing, needed as a manifest");
    let lying = changed(|all, _| {
        let index = String::from_utf8(all["index.json"].clone()).unwrap().replace(r#""size":"#, r#""size":1"#);
        all.insert("index.json".to_owned(), index.into());
    });
    check_refused(&lying, "where its descriptor says 1");
    check_refused(&changed(|all, _| drop(all.remove("index.json"))), "neither `index.json` nor `manifest.json`");
    check_refused(&tar(&[("repositories", b"{}"), ("x/layer.tar", b"")]), "written by Docker before 1.10");
    check_refused(&tar(&[("manifest.json", br#"[{"Config":"c","Layers":[]}]"#)]), "archive member `c` is missing");
    check_refused(&tar(&[("manifest.json", b"{}")]), "invalid archive member `manifest.json`");
    check_refused(&tar(&[("index.json", b"{}")]), "missing field `schemaVersion`");
    check_refused(&tar(&[("index.json", br#"{"schemaVersion":2,"manifests":null}"#)]), "`index.json` names no image");
}

#[test]
fn what_is_no_archive_is_said_to_be_none() {
    check_refused(b"", "neither `index.json` nor");
    check_refused(&[b'x'; 2000], "not an image archive: it is not a tar");
    check_refused(b"FROM scratch\n", "not an image archive: it is not a tar");
    check_refused(&gzip(b"hello"), "not an image archive: it is not a tar");
    check_refused(&[0x1f, 0x8b, 8, 0], "unexpected end of archive");
    check_refused(&[0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3], "failed to read the archive");
}

#[test]
fn a_blob_may_be_there_twice() {
    let blobs = MemoryBlobs::new();
    let a = image(&blobs, "a");
    let mut archive = Vec::new();
    layout::write_tar(&mut archive, &blobs, &[named(&a, &[])]).unwrap();
    let twice = [&archive[..archive.len() - 1024], &archive[..]].concat();
    let (store, images) = loaded(&twice);
    assert_eq!(images.len(), 1);
    assert_eq!(store.digests(), blobs.digests());
}

#[test]
fn hostile_members_are_refused() {
    check_refused(&tar(&[("../index.json", b"{}")]), "archive member `../index.json` climbs out of the archive");
    check_refused(&tar(&[("a/../../b", b"")]), "climbs out of the archive");
    let huge = |name: &str| {
        let mut archive = tar(&[(name, b"")]);
        let header = tar::Header::from_byte_slice(&archive[..512]);
        let mut header = header.clone();
        header.set_size(100 << 20);
        header.set_cksum();
        archive[..512].copy_from_slice(header.as_bytes());
        archive
    };
    check_refused(
        &huge("index.json"),
        "archive member `index.json` has 104857600 bytes, more than the 4194304 allowed",
    );
    check_refused(&huge("manifest.json"), "more than the 4194304 allowed");
    check_refused(&huge("layer.tar"), "failed to read archive member `layer.tar`: unexpected end of archive");
}

#[test]
fn headers_take_no_more_memory_than_they_may() {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(1 << 40);
    header.set_cksum();
    let endless = header.as_bytes().chain(std::io::repeat(b'1'));
    let error = chain(&load(endless, &MemoryBlobs::new()).unwrap_err());
    assert!(error.contains("an extension header is too long"), "{error}");
}

#[test]
fn there_are_not_more_members_than_may_be() {
    let mut archive = gzip(b"");
    let mut encoder = flate2::write::GzEncoder::new(&mut archive, flate2::Compression::fast());
    let member = tar(&[("same", b"")]);
    for _ in 0..100_001 {
        encoder.write_all(&member[..512]).unwrap();
    }
    encoder.finish().unwrap();
    check_refused(&archive, "it has more than 100000 members");
}

#[test]
fn names_in_an_archive_must_be_names() {
    let manifest = br#"[{"Config":"c","RepoTags":["Not A Name"],"Layers":null}]"#;
    let config = br#"{"rootfs":{"type":"layers"}}"#;
    check_refused(&tar(&[("manifest.json", manifest), ("c", config)]), "invalid image name `Not A Name`");
    let unnamed = br#"[{"Config":"c","RepoTags":null,"Layers":null}]"#;
    let (_, images) = loaded(&tar(&[("manifest.json", unnamed), ("c", config)]));
    assert_eq!(images[0].names, Vec::<Reference>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cut_or_changed_archive_is_an_error_or_harmless(at in 0_usize..8192, byte in 0_u8..=255, cut: bool) {
        let blobs = MemoryBlobs::new();
        let a = image(&blobs, "a");
        let mut archive = Vec::new();
        layout::write_tar(&mut archive, &blobs, &[named(&a, &["app:1"])]).unwrap();
        let at = at % archive.len();
        if cut { archive.truncate(at) } else { archive[at] = byte }
        let store = MemoryBlobs::new();
        for image in load(&*archive, &store).unwrap_or_default() {
            prop_assert!(crate::graph::parts(&store, &image.manifest).is_ok());
        }
    }
}
