use std::fs;

use super::*;
use crate::blobs::{Blobs, MemoryBlobs};
use crate::testing::{chain, image, names};
use crate::{Manifest, archive, graph};

fn named(manifest: &Manifest, as_names: &[&str]) -> Named {
    Named { target: manifest.descriptor(), names: names(as_names) }
}

fn tar_of(blobs: &MemoryBlobs, images: &[Named]) -> Vec<u8> {
    let mut out = Vec::new();
    write_tar(&mut out, blobs, images).unwrap_or_else(|error| panic!("{}", chain(&error)));
    out
}

/// Returns name and type, size, mode and time of every member.
fn members(archive: &[u8]) -> Vec<(String, u8, u64, u32, u64)> {
    let mut archive = tar::Archive::new(archive);
    let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        let name = entry.path().unwrap().display().to_string();
        let kind = header.entry_type().as_byte();
        (name, kind, entry.size(), header.mode().unwrap(), header.mtime().unwrap())
    };
    archive.entries().unwrap().map(entry).collect()
}

/// Returns the naming annotations of the index in a directory.
fn index_names(dir: &std::path::Path) -> Vec<(Option<String>, Option<String>, String)> {
    let index: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("index.json")).unwrap()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let entry = |entry: &serde_json::Value| {
        let annotations = &entry["annotations"];
        (text(&annotations[IMAGE_NAME]), text(&annotations[REF_NAME]), entry["digest"].as_str().unwrap().to_owned())
    };
    index["manifests"].as_array().unwrap().iter().map(entry).collect()
}

#[test]
fn a_tar_has_sorted_members_and_fixed_metadata() {
    let blobs = MemoryBlobs::new();
    let image = image(&blobs, "a");
    let out = tar_of(&blobs, &[named(&image, &["app:1"])]);
    assert_eq!(out, tar_of(&blobs, &[named(&image, &["app:1"])]));
    assert_eq!(out.len() % 512, 0);
    assert_eq!(&out[out.len() - 1024..], [0; 1024]);

    let members = members(&out);
    let mut expected: Vec<String> =
        blobs.digests().iter().map(|digest| format!("blobs/sha256/{}", digest.hex())).collect();
    expected.splice(0..0, ["blobs/".to_owned(), "blobs/sha256/".to_owned()]);
    expected.extend(["index.json".to_owned(), "oci-layout".to_owned()]);
    assert_eq!(members.iter().map(|member| member.0.clone()).collect::<Vec<_>>(), expected);
    for (name, kind, _, mode, mtime) in members {
        let directory = name.ends_with('/');
        assert_eq!((kind, mode, mtime), if directory { (b'5', 0o755, 0) } else { (b'0', 0o644, 0) }, "{name}");
    }
}

#[test]
fn the_index_is_what_buildx_writes() {
    let blobs = MemoryBlobs::new();
    let image = image(&blobs, "a");
    let dir = tempfile::tempdir().unwrap();
    write_dir(dir.path(), &blobs, &[named(&image, &["app:1", "ghcr.io/me/app"])]).unwrap();
    let entry = |full: &str, tag: &str| {
        let (digest, size) = (image.digest, image.bytes.len());
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size},"annotations":{{"io.containerd.image.name":"{full}","org.opencontainers.image.ref.name":"{tag}"}}}}"#
        )
    };
    let expected = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{},{}]}}"#,
        entry("docker.io/library/app:1", "1"),
        entry("ghcr.io/me/app:latest", "latest"),
    );
    assert_eq!(fs::read_to_string(dir.path().join("index.json")).unwrap(), expected);
    assert_eq!(fs::read_to_string(dir.path().join("oci-layout")).unwrap(), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let out = tar_of(&blobs, &[named(&image, &["app:1", "ghcr.io/me/app"])]);
    assert!(String::from_utf8_lossy(&out).contains(&expected));
}

#[test]
fn directories_and_tars_give_back_what_was_written() {
    let blobs = MemoryBlobs::new();
    let (a, b) = (image(&blobs, "a"), image(&blobs, "b"));
    let written = [named(&a, &["app:1", "app:2"]), named(&b, &[])];
    let expected = [
        Loaded { names: names(&["app:1", "app:2"]), ref_names: vec!["1".into(), "2".into()], manifest: a.descriptor() },
        Loaded { names: vec![], ref_names: vec![], manifest: b.descriptor() },
    ];

    let from_tar = MemoryBlobs::new();
    assert_eq!(archive::load(&*tar_of(&blobs, &written), &from_tar).unwrap(), expected);
    assert_eq!(from_tar.digests(), blobs.digests());

    let dir = tempfile::tempdir().unwrap();
    write_dir(&dir.path().join("new"), &blobs, &written).unwrap();
    let from_dir = MemoryBlobs::new();
    assert_eq!(read_dir(&dir.path().join("new"), None, &from_dir).unwrap(), expected);
    assert_eq!(from_dir.digests(), blobs.digests());
}

#[test]
fn one_of_several_is_read_alone() {
    let blobs = MemoryBlobs::new();
    let (a, b) = (image(&blobs, "a"), image(&blobs, "b"));
    let dir = tempfile::tempdir().unwrap();
    write_dir(dir.path(), &blobs, &[named(&a, &["app:1"]), named(&b, &["app:2"])]).unwrap();
    let sink = MemoryBlobs::new();
    let read = read_dir(dir.path(), Some("2"), &sink).unwrap();
    assert_eq!(read[0].manifest, b.descriptor());
    assert!(sink.get(&b.digest).is_some() && sink.get(&a.digest).is_none());
}

#[test]
fn an_existing_layout_is_extended() {
    let blobs = MemoryBlobs::new();
    let (a, b) = (image(&blobs, "a"), image(&blobs, "b"));
    let (a_digest, b_digest) = (a.digest.to_string(), b.digest.to_string());
    let dir = tempfile::tempdir().unwrap();
    let write = |manifest: &Manifest, as_names: &[&str]| {
        write_dir(dir.path(), &blobs, &[named(manifest, as_names)]).unwrap();
        index_names(dir.path())
    };
    let entry = |full: &str, tag: &str, digest: &str| {
        (
            Some(full.to_owned()).filter(|f| !f.is_empty()),
            Some(tag.to_owned()).filter(|t| !t.is_empty()),
            digest.to_owned(),
        )
    };
    let app1 = entry("docker.io/library/app:1", "1", &a_digest);
    let other1 = entry("docker.io/library/other:1", "1", &b_digest);
    assert_eq!(write(&a, &["app:1"]), std::slice::from_ref(&app1));
    assert_eq!(write(&b, &["other:1"]), [app1.clone(), other1.clone()]);
    let app1_again = entry("docker.io/library/app:1", "1", &b_digest);
    assert_eq!(write(&b, &["app:1"]), [other1.clone(), app1_again.clone()]);
    let unnamed = entry("", "", &a_digest);
    assert_eq!(write(&a, &[]), [other1.clone(), app1_again.clone(), unnamed.clone()]);
    assert_eq!(write(&a, &[]), [other1, app1_again, unnamed]);
}

#[test]
fn entries_of_other_writers_are_kept_or_replaced_by_tag() {
    let blobs = MemoryBlobs::new();
    let image = image(&blobs, "a");
    let dir = tempfile::tempdir().unwrap();
    let foreign = r#"{"schemaVersion":2,"manifests":[
        {"mediaType":"a/b","digest":"sha256:01","size":1,"x":[1],"annotations":{"org.opencontainers.image.ref.name":"1"}},
        {"mediaType":"a/b","digest":"sha256:02","size":1,"x":[2],"annotations":{"org.opencontainers.image.ref.name":"2"}}]}"#;
    fs::write(dir.path().join("index.json"), foreign).unwrap();
    write_dir(dir.path(), &blobs, &[named(&image, &["app:1"])]).unwrap();
    let index = fs::read_to_string(dir.path().join("index.json")).unwrap();
    assert!(index.contains(r#""x":[2]"#) && !index.contains(r#""x":[1]"#), "{index}");
    assert_eq!(index_names(dir.path()).len(), 2);
}

#[test]
fn a_failed_write_leaves_the_layout_as_it_was() {
    let blobs = MemoryBlobs::new();
    let (a, b) = (image(&blobs, "a"), image(&blobs, "b"));
    let dir = tempfile::tempdir().unwrap();
    write_dir(dir.path(), &blobs, &[named(&a, &["app:1"])]).unwrap();
    let before = fs::read(dir.path().join("index.json")).unwrap();

    let layer = b.layers().unwrap()[1];
    let broken = Broken(&blobs, layer.digest);
    let error = write_dir(dir.path(), &broken, &[named(&b, &["app:1"])]).unwrap_err();
    let expected = format!("write layer 2 of manifest {} to", b.digest);
    assert!(chain(&error).contains(&expected) && chain(&error).contains("is damaged"), "{}", chain(&error));
    assert_eq!(fs::read(dir.path().join("index.json")).unwrap(), before);
    let left = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut blob_names = fs::read_dir(dir.path().join("blobs/sha256")).unwrap().map(left);
    assert!(blob_names.all(|name| name.len() == 64), "a temporary file was left");
}

/// Gives wrong bytes for one blob.
struct Broken<'a>(&'a MemoryBlobs, Digest);

impl Blobs for Broken<'_> {
    fn open(&self, digest: &Digest) -> std::io::Result<Box<dyn std::io::Read + Send>> {
        use std::io::Read as _;
        let mut blob = self.0.open(digest)?;
        if *digest != self.1 {
            return Ok(blob);
        }
        let mut bytes = Vec::new();
        blob.read_to_end(&mut bytes)?;
        bytes[0] ^= 1;
        Ok(Box::new(std::io::Cursor::new(bytes)))
    }

    fn size(&self, digest: &Digest) -> std::io::Result<u64> {
        self.0.size(digest)
    }
}

#[test]
fn damaged_blobs_are_not_written_to_a_tar() {
    let blobs = MemoryBlobs::new();
    let image = image(&blobs, "a");
    let broken = Broken(&blobs, image.config().unwrap().0);
    let error = write_tar(&mut Vec::new(), &broken, &[named(&image, &[])]).unwrap_err();
    assert!(chain(&error).contains(&format!("blob {} is damaged", image.config().unwrap().0)), "{}", chain(&error));
}

#[track_caller]
fn check_read_error(damage: impl Fn(&std::path::Path, &Manifest), expected: &str) {
    let blobs = MemoryBlobs::new();
    let image = image(&blobs, "a");
    let dir = tempfile::tempdir().unwrap();
    write_dir(dir.path(), &blobs, &[named(&image, &["app:1"])]).unwrap();
    damage(dir.path(), &image);
    let error = chain(&read_dir(dir.path(), None, &MemoryBlobs::new()).unwrap_err());
    let layer = image.layers().unwrap()[1].digest.to_string();
    assert!(error.contains(&expected.replace("LAYER", &layer)), "{error}");
}

fn second_layer(dir: &std::path::Path, image: &Manifest) -> std::path::PathBuf {
    dir.join("blobs/sha256").join(image.layers().unwrap()[1].digest.hex())
}

#[test]
fn damage_to_a_directory_is_named() {
    check_read_error(
        |dir, image| fs::remove_file(second_layer(dir, image)).unwrap(),
        "blob LAYER is missing, needed as layer 2",
    );
    check_read_error(
        |dir, image| fs::write(second_layer(dir, image), "x").unwrap(),
        "blob LAYER has 1 bytes where its descriptor says",
    );
    check_read_error(
        |dir, image| {
            let path = second_layer(dir, image);
            let size = fs::metadata(&path).unwrap().len() as usize;
            fs::write(path, vec![0; size]).unwrap();
        },
        "blob LAYER is damaged",
    );
    check_read_error(|dir, _| fs::remove_file(dir.join("oci-layout")).unwrap(), "has no `oci-layout`");
    check_read_error(|dir, _| fs::write(dir.join("oci-layout"), "{}").unwrap(), "names no version");
    check_read_error(
        |dir, _| fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"2.0"}"#).unwrap(),
        "`2.0`, not 1",
    );
    check_read_error(|dir, _| fs::remove_file(dir.join("index.json")).unwrap(), "index.json");
    check_read_error(|dir, _| fs::write(dir.join("index.json"), vec![b' '; 5 << 20]).unwrap(), "larger than");
    check_read_error(
        |dir, _| {
            fs::remove_file(dir.join("index.json")).unwrap();
            fs::create_dir(dir.join("index.json")).unwrap();
        },
        "not a regular file",
    );
}

#[track_caller]
fn check_choice(images: &[Loaded], wanted: Option<&str>, expected: Result<usize, &str>) {
    let found = choose(images, wanted);
    match expected {
        Ok(index) => assert_eq!(found.unwrap(), &images[index]),
        Err(message) => assert_eq!(found.unwrap_err().to_string(), message),
    }
}

#[test]
fn images_are_chosen_by_tag_name_or_digest() {
    let blobs = MemoryBlobs::new();
    let (a, b) = (image(&blobs, "a"), image(&blobs, "b"));
    let images = [
        Loaded { names: names(&["app:1"]), ref_names: vec!["1".into()], manifest: a.descriptor() },
        Loaded { names: vec![], ref_names: vec!["stable".into()], manifest: b.descriptor() },
    ];
    check_choice(&images, Some("1"), Ok(0));
    check_choice(&images, Some("stable"), Ok(1));
    check_choice(&images, Some("app:1"), Ok(0));
    check_choice(&images, Some("docker.io/library/app:1"), Ok(0));
    check_choice(&images, Some(&b.digest.to_string()), Ok(1));
    check_choice(&images, Some(&format!("app@{}", b.digest)), Ok(1));
    check_choice(&images[1..], None, Ok(0));
    check_choice(&images, None, Err("there is not exactly one image to take; there is `app:1`, `stable`"));
    check_choice(&images, Some("2"), Err("no image is called `2`; there is `app:1`, `stable`"));
    let shadowed = [Loaded { names: names(&["app:stable"]), ..images[0].clone() }, images[1].clone()];
    check_choice(&shadowed, Some("stable"), Ok(1));
    check_choice(&[], Some("2"), Err("no image is called `2`; there is none"));
}

#[test]
fn full_names_are_found_where_other_tools_put_them() {
    let blobs = MemoryBlobs::new();
    let mut entry = image(&blobs, "a").descriptor();
    let mut check = |ref_name: &str, expected: &[&str]| {
        entry.set_annotations(Some([(REF_NAME.to_owned(), ref_name.to_owned())].into()));
        let images = images(std::slice::from_ref(&entry)).unwrap();
        assert_eq!(images[0].names, names(expected));
        assert_eq!(images[0].ref_names, [ref_name]);
        assert_eq!(images[0].manifest.annotations(), &None);
    };
    check("localhost/app:1", &["localhost/app:1"]);
    check("quay.io/a/b", &["quay.io/a/b:latest"]);
    check("latest", &[]);
    check("not/A/name:", &[]);
}

#[test]
fn a_tag_that_contradicts_the_full_name_wins() {
    let blobs = MemoryBlobs::new();
    let mut entry = image(&blobs, "a").descriptor();
    let mut check = |ref_name: &str, expected: &str| {
        let annotations =
            [(IMAGE_NAME.to_owned(), "docker.io/library/app:1".to_owned()), (REF_NAME.to_owned(), ref_name.to_owned())];
        entry.set_annotations(Some(annotations.into()));
        assert_eq!(images(std::slice::from_ref(&entry)).unwrap()[0].names, names(&[expected]));
    };
    check("1", "app:1");
    check("2", "app:2");
    check("docker.io/library/app:1", "app:1");
    check("", "app:1");
}

#[test]
fn an_index_has_not_more_entries_than_may_be() {
    let entry = image(&MemoryBlobs::new(), "a").descriptor();
    let error = images(&vec![entry; MAX_ENTRIES + 1]).unwrap_err().to_string();
    assert_eq!(error, "not an image archive: `index.json` has 10001 entries, more than 10000");
}

#[test]
fn an_index_of_platforms_may_lack_all_but_one() {
    let blobs = MemoryBlobs::new();
    let (a, b) = (image(&blobs, "a"), image(&blobs, "b"));
    let index =
        Manifest::build_index(&[a.descriptor(), b.descriptor()], crate::Style::Oci, &Default::default()).unwrap();
    blobs.insert(index.bytes.clone());
    assert_eq!(graph::parts(&blobs, &index.descriptor()).unwrap().len(), 8, "a layer is shared");

    blobs.remove(&a.digest);
    let parts = graph::parts(&blobs, &index.descriptor()).unwrap();
    let digests: Vec<_> = parts.iter().map(|part| part.digest).collect();
    let layers = b.layers().unwrap();
    assert_eq!(digests, [layers[0].digest, layers[1].digest, b.config().unwrap().0, b.digest, index.digest]);
    assert_eq!(parts[1].role, format!("layer 2 of manifest {}", b.digest));

    blobs.remove(&layers[1].digest);
    let error = graph::parts(&blobs, &index.descriptor()).unwrap_err().to_string();
    assert_eq!(error, format!("blob {} is missing, needed as layer 2 of manifest {}", layers[1].digest, b.digest));
    blobs.remove(&b.digest);
    let error = graph::parts(&blobs, &index.descriptor()).unwrap_err().to_string();
    assert_eq!(error, format!("blob {} is missing, needed as a manifest of index {}", a.digest, index.digest));
}

#[test]
fn indexes_do_not_nest_without_end() {
    let blobs = MemoryBlobs::new();
    let mut target = image(&blobs, "a").descriptor();
    for depth in 0..7 {
        let index = Manifest::build_index(&[target], crate::Style::Oci, &Default::default()).unwrap();
        blobs.insert(index.bytes.clone());
        target = index.descriptor();
        let walked = graph::parts(&blobs, &target);
        assert_eq!(walked.is_ok(), depth < 4, "{depth}: {walked:?}");
    }
}
