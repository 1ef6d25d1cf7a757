//! Names to images: tags, digests, indexes, documents that are none.

use image::{Digest, media_type};
use registry::{Error, Registry};
use testkit::FakeRegistry;
use testkit::registry::Fault;

use crate::support::{Image, LAYER_SIZE, Place, Recorder, amd64, chain, index, reference};

#[test]
fn an_image_by_tag() {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 3));
    image.serve(&fake, "a/b", Some("latest"));
    let name = format!("{}/a/b", fake.host());
    let registry = place.registry();
    let pinned = registry.resolve(&reference(&name), &amd64(), &place.store).unwrap();
    assert_eq!(pinned.reference.to_string(), format!("{name}:latest@{}", image.digest()));
    assert_eq!((&pinned.descriptor, &pinned.root), (&image.descriptor(), &image.descriptor()));
    assert_eq!(pinned.config.diff_ids(), [image.layer(0), image.layer(1), image.layer(2)]);
    assert_eq!(pinned.platform, amd64());
    assert!((0..3).all(|n| !place.store.has_blob(&image.layer(n))), "resolving fetches no layer");

    let progress = Recorder::default();
    registry.pull(&pinned, &place.store, &progress).unwrap();
    image.check_kept(&place.store);
    let told = progress.0.into_inner().unwrap();
    for n in 0..3 {
        let size = (LAYER_SIZE + n) as u64;
        let of_layer: Vec<_> = told.iter().filter(|(digest, ..)| *digest == image.layer(n)).collect();
        assert!(of_layer.is_sorted_by_key(|(_, done, _)| *done) && of_layer.len() > 2, "{of_layer:?}");
        assert!(of_layer.iter().all(|(_, _, total)| *total == size));
        assert_eq!(of_layer.last().unwrap().1, size);
    }
}

#[test]
fn what_is_there_by_digest_is_not_asked_for() {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 1));
    image.keep(&place.store);
    let name = format!("{}/a@{}", fake.host(), image.digest());
    let pinned = place.pull(&name).unwrap();
    assert_eq!(pinned.reference, reference(&name));
    assert_eq!(fake.seen().len(), 0);
}

#[test]
fn a_new_registry_does_nothing() {
    let place = Place::new();
    let registry = Registry::new(place.options.clone());
    assert!(!format!("{registry:?}").contains("Runtime {"));
}

#[test]
fn a_known_tag_is_asked_for_without_its_bytes() {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 1));
    image.serve(&fake, "a", Some("v1"));
    let name = format!("{}/a:v1", fake.host());
    place.pull(&name).unwrap();
    place.store.tag(&reference(&name), &image.descriptor()).unwrap();
    fake.forget_seen();
    assert_eq!(place.pull(&name).unwrap().descriptor, image.descriptor());
    assert_eq!(fake.seen_at("GET", "/manifests/").len(), 0);
    assert_eq!(fake.seen_at("HEAD", "/manifests/v1").len(), 1);

    let newer = Image::new(7, "amd64", 1);
    newer.serve(&fake, "a", Some("v1"));
    assert_eq!(place.pull(&name).unwrap().descriptor, newer.descriptor());
}

#[test]
fn an_index_leads_to_the_platform() {
    let (fake, place) = (FakeRegistry::start(), Place::new());
    let (intel, arm) = (Image::new(1, "amd64", 1), Image::new(2, "arm64", 1));
    intel.serve(&fake, "a", None);
    arm.serve(&fake, "a", None);
    let bytes = index(&[(&arm, "arm64"), (&intel, "amd64")]);
    let root = fake.put_manifest("a", Some("multi"), media_type::OCI_INDEX, &bytes);
    let name = format!("{}/a:multi", fake.host());
    let pinned = place.pull(&name).unwrap();
    assert_eq!(pinned.descriptor, intel.descriptor());
    assert_eq!(pinned.reference.digest, Some(root));
    assert_eq!(pinned.root.digest().to_string(), root.to_string());
    assert!(place.store.has_blob(&root) && !place.store.has_blob(&arm.digest()));

    let other = "linux/s390x".parse().unwrap();
    let error = place.registry().resolve(&reference(&name), &other, &place.store).unwrap_err();
    assert_eq!(
        chain(&error),
        format!("no usable image under the name {name}: no image for linux/s390x; there is linux/amd64, linux/arm64")
    );
}

#[test]
fn docker_media_types_and_a_wrong_content_type() {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 1));
    let manifest = String::from_utf8(image.manifest.clone()).unwrap();
    let manifest = manifest
        .replace(media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST)
        .replace(media_type::OCI_CONFIG, media_type::DOCKER_CONFIG)
        .replace(media_type::OCI_LAYER_GZIP, media_type::DOCKER_LAYER_GZIP);
    image.serve(&fake, "a", None);
    fake.put_manifest("a", Some("plain"), "text/plain; charset=utf-8", manifest.as_bytes());
    let pinned = place.pull(&format!("{}/a:plain", fake.host())).unwrap();
    assert_eq!(pinned.descriptor.media_type().to_string(), media_type::DOCKER_MANIFEST);

    // An image that came as an index means something else to another reader.
    fake.put_manifest("a", Some("lie"), media_type::OCI_INDEX, manifest.as_bytes());
    let error = place.resolve(&format!("{}/a:lie", fake.host())).unwrap_err();
    assert!(matches!(error, Error::NotAnImage { .. }), "{error:?}");
}

#[track_caller]
fn check_refused(manifest: &[u8], expected: &str) {
    let (fake, place) = (FakeRegistry::start(), Place::new());
    fake.put_manifest("a", Some("x"), "text/html", manifest);
    let error = place.resolve(&format!("{}/a:x", fake.host())).unwrap_err();
    assert!(chain(&error).contains(expected), "{}", chain(&error));
    assert_eq!(place.store.blobs().unwrap(), [], "what is no image is not kept");
}

#[test]
fn documents_that_are_no_image() {
    check_refused(b"<html>login here</html>", "is not a container image: invalid manifest");
    check_refused(b"{}", "it is neither a manifest nor an index");
    check_refused(br#"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1");
    check_refused(&vec![b' '; (4 << 20) + 1], "sent more than the 4194304 bytes allowed");
}

#[test]
fn an_artifact_is_no_image() {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 1));
    image.serve(&fake, "chart", None);
    let manifest = String::from_utf8(image.manifest).unwrap().replace(media_type::OCI_CONFIG, "application/vnd.helm");
    fake.put_manifest("chart", Some("x"), media_type::OCI_MANIFEST, manifest.as_bytes());
    let error = place.resolve(&format!("{}/chart:x", fake.host())).unwrap_err();
    assert!(chain(&error).contains("its configuration is of type `application/vnd.helm`"), "{}", chain(&error));
}

#[test]
fn a_wrong_digest_gets_no_name() {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 1));
    image.serve(&fake, "a", Some("x"));
    let name = format!("{}/a:x", fake.host());
    // Of a manifest that was asked for by tag, the registry's own word is all there is to compare with.
    fake.fail("GET", "/manifests/x", 1, Fault::Corrupt);
    let error = place.resolve(&name).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    fake.fail("GET", "/manifests/sha256", 1, Fault::Corrupt);
    let error = place.resolve(&format!("{}/a@{}", fake.host(), image.digest())).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert_eq!(place.store.blobs().unwrap(), []);

    let pinned = place.resolve(&name).unwrap();
    fake.fail("GET", &image.layer(0).to_string(), 1, Fault::Corrupt);
    let error = place.registry().pull(&pinned, &place.store, &Recorder::default()).unwrap_err();
    let text = chain(&error);
    assert!(text.starts_with(&format!("failed to fetch layer {} of {}/a", image.layer(0), fake.host())), "{text}");
    assert!(text.contains("is not what its digest says: its bytes have the digest sha256:"), "{text}");
    assert!(!place.store.has_blob(&image.layer(0)));
    // Nothing is left of it that would spoil the next attempt.
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
}

#[test]
fn a_layer_of_another_size_is_refused_before_it_is_transferred() {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 1));
    image.serve(&fake, "a", None);
    let manifest = String::from_utf8(image.manifest).unwrap().replace("300000", "200000");
    fake.put_manifest("a", Some("x"), media_type::OCI_MANIFEST, manifest.as_bytes());
    let error = place.pull(&format!("{}/a:x", fake.host())).unwrap_err();
    assert!(chain(&error).ends_with("it has 300000 bytes, expected are 200000"), "{}", chain(&error));
}

#[test]
fn what_is_not_there() {
    let (fake, place) = (FakeRegistry::start(), Place::new());
    let host = fake.host();
    let error = place.resolve(&format!("{host}/no/such:tag")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("failed to fetch the manifest of {host}/no/such:tag: not found on {host} (manifest unknown)")
    );
    assert_eq!(fake.seen_at("GET", "/manifests/").len(), 1, "asking again would not help");
}

#[test]
fn a_layer_wanted_by_many_is_fetched_once() {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 1));
    image.serve(&fake, "a", Some("x"));
    let registry = place.registry();
    let pinned = registry.resolve(&reference(&format!("{}/a:x", fake.host())), &amd64(), &place.store).unwrap();
    let layer = &pinned.manifest.layers()[0];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                registry.fetch_layer(&pinned.reference, layer, &place.store, &Recorder::default()).unwrap();
            });
        }
    });
    assert_eq!(fake.seen_at("GET", &image.layer(0).to_string()).len(), 1);
}

#[test]
fn an_unreachable_registry_says_what_would_help() {
    let host = {
        let gone = FakeRegistry::start();
        gone.host()
    };
    let place = Place::new();
    let error = place.resolve(&format!("{host}/a:x")).unwrap_err();
    assert_eq!(
        chain(&error),
        format!(
            "failed to fetch the manifest of {host}/a:x: {host} cannot be reached: Connection refused (os error 111)"
        )
    );
    let help = error.help().unwrap();
    assert!(["--registry-mirror", "kiln load", "--build-context"].iter().all(|way| help.contains(way)), "{help}");
    assert_eq!(place.clock.waits().len(), 2, "nobody waits long for a network that is not there");
}

#[test]
fn digests_of_other_kinds_are_refused() {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 1));
    let digest = Digest::of(&image.layers[0]).to_string();
    let manifest = String::from_utf8(image.manifest).unwrap().replace(&digest, &format!("sha512:{}", "0".repeat(128)));
    fake.put_manifest("a", Some("x"), media_type::OCI_MANIFEST, manifest.as_bytes());
    let error = place.resolve(&format!("{}/a:x", fake.host())).unwrap_err();
    assert!(matches!(error, Error::NotAnImage { .. }), "{error:?}");
}
