//! Pushes: what is sent, what is not, in which order.

use image::{Digest, media_type};
use registry::{Error, Result};
use testkit::FakeRegistry;
use testkit::registry::{Access, Fault};

use crate::support::{Image, Place, Recorder, chain, index, reference};

fn prepared() -> (FakeRegistry, Place, Image, String) {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 2));
    image.keep(&place.store);
    let name = format!("{}/a/b:x", fake.host());
    (fake, place, image, name)
}

fn push(place: &Place, name: &str, image: &Image) -> Result<Digest> {
    place.registry().push(&reference(name), &image.descriptor(), &place.store, &Recorder::default())
}

#[test]
fn an_image() {
    let (fake, place, image, name) = prepared();
    let progress = Recorder::default();
    let digest = place.registry().push(&reference(&name), &image.descriptor(), &place.store, &progress).unwrap();
    assert_eq!(digest, image.digest());
    image.check_served(&fake, "a/b", "x");
    let seen = fake.seen();
    assert_eq!(seen.last().unwrap().path, "/v2/a/b/manifests/x", "what refers comes last");
    assert_eq!(seen.last().unwrap().header("content-type"), Some(media_type::OCI_MANIFEST));
    let told = progress.0.into_inner().unwrap();
    let of_layer: Vec<_> = told.iter().filter(|(digest, ..)| *digest == image.layer(1)).collect();
    assert!(of_layer.len() > 2 && of_layer.is_sorted_by_key(|(_, done, _)| *done), "{of_layer:?}");
    assert_eq!(of_layer.last().unwrap().1, 300_001);
}

#[test]
fn what_is_there_is_not_sent() {
    let (fake, place, image, name) = prepared();
    push(&place, &name, &image).unwrap();
    fake.forget_seen();
    push(&place, &name.replace(":x", ":y"), &image).unwrap();
    image.check_served(&fake, "a/b", "y");
    assert_eq!(fake.seen_at("POST", "").len(), 0);
    assert_eq!(fake.seen_at("PUT", "").len(), 1);
}

#[test]
fn an_index_comes_after_its_images() {
    let (fake, place, intel, name) = prepared();
    let arm = Image::new(50, "arm64", 1);
    arm.keep(&place.store);
    let bytes = index(&[(&intel, "amd64"), (&arm, "arm64")]);
    let (digest, size) = place.store.put_blob(None, &mut bytes.as_slice()).unwrap();
    let target = image::descriptor::descriptor(media_type::OCI_INDEX, digest, size);
    let registry = place.registry();
    assert_eq!(registry.push(&reference(&name), &target, &place.store, &Recorder::default()).unwrap(), digest);
    intel.check_served(&fake, "a/b", &intel.digest().to_string());
    arm.check_served(&fake, "a/b", &arm.digest().to_string());
    assert_eq!(fake.manifest("a/b", "x").unwrap(), (media_type::OCI_INDEX.to_owned(), bytes));

    // Its images are there: only the index itself is sent under another name.
    fake.forget_seen();
    registry.push(&reference(&name.replace(":x", ":y")), &target, &place.store, &Recorder::default()).unwrap();
    assert_eq!(fake.seen().iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(), ["HEAD", "HEAD", "PUT"]);
}

#[test]
fn by_digest_without_a_tag() {
    let (fake, place, image, _name) = prepared();
    let name = format!("{}/a/b@{}", fake.host(), image.digest());
    push(&place, &name, &image).unwrap();
    image.check_served(&fake, "a/b", &image.digest().to_string());
}

#[test]
fn blobs_of_the_base_are_mounted() {
    let (fake, place, image, name) = prepared();
    fake.require(Access::token(&fake.host(), None));
    fake.put_blob("library/base", &image.layers[0]);
    let base = reference(&format!("{}/library/base", fake.host()));
    let progress = Recorder::default();
    let registry = place.registry();
    registry.push_from(&reference(&name), &image.descriptor(), &[base], &place.store, &progress).unwrap();
    image.check_served(&fake, "a/b", "x");
    let sent: usize = fake.seen_at("PUT", "/blobs/uploads/").iter().map(|seen| seen.length).sum();
    assert_eq!(sent, image.layers[1].len() + image.config.len(), "the first layer is not sent");
    let scopes: Vec<_> =
        fake.seen_at("GET", "/token").iter().filter(|s| s.query.contains("library")).map(|s| s.query.clone()).collect();
    assert!(!scopes.is_empty(), "the token for a mount is for both repositories");
}

#[test]
fn what_was_pulled_from_a_host_is_mounted_there() {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 2));
    image.serve(&fake, "base", Some("x"));
    let registry = place.registry();
    let base = reference(&format!("{}/base:x", fake.host()));
    let pinned = registry.resolve(&base, &crate::support::amd64(), &place.store).unwrap();
    registry.pull(&pinned, &place.store, &Recorder::default()).unwrap();
    let name = reference(&format!("{}/mine", fake.host()));
    registry.push(&name, &image.descriptor(), &place.store, &Recorder::default()).unwrap();
    image.check_served(&fake, "mine", "latest");
    assert_eq!(fake.seen_at("PUT", "/blobs/uploads/").len(), 0);
}

#[test]
fn a_layer_that_was_never_pulled_is_fetched_from_its_source() {
    let (fake, origin, place) = (FakeRegistry::start(), FakeRegistry::start(), Place::new());
    let image = Image::new(1, "amd64", 2);
    image.serve(&origin, "base", None);
    for blob in [&image.config, &image.manifest, &image.layers[1]] {
        place.store.put_blob(None, &mut blob.as_slice()).unwrap();
    }
    let name = reference(&format!("{}/mine", fake.host()));
    let error = place.registry().push(&name, &image.descriptor(), &place.store, &Recorder::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("failed to push {name}:latest: layer {} is not in the store", image.layer(0))
    );
    assert!(fake.manifest("mine", "latest").is_none());
    let base = reference(&format!("{}/base", origin.host()));
    place.registry().push_from(&name, &image.descriptor(), &[base], &place.store, &Recorder::default()).unwrap();
    image.check_served(&fake, "mine", "latest");
}

#[test]
fn uploads_are_sent_again() {
    let (fake, place, image, name) = prepared();
    fake.fail("PUT", "/blobs/uploads/", 1, Fault::status(503));
    fake.fail("POST", "/blobs/uploads/", 1, Fault::busy("2"));
    fake.fail("PUT", "/blobs/uploads/", 1, Fault::Hangup);
    fake.fail("PUT", "/blobs/uploads/", 1, Fault::status(404));
    fake.fail("PUT", "/manifests/", 1, Fault::status(500));
    push(&place, &name, &image).unwrap();
    image.check_served(&fake, "a/b", "x");
}

#[test]
fn an_upload_that_is_redirected_takes_no_credential_along() {
    let (fake, place, image, name) = prepared();
    let mut place = place;
    fake.require(Access::Basic { user: "ann".into(), password: "hunter2".into() });
    place.login_to(&fake.host(), "ann", "hunter2");
    let storage = FakeRegistry::start_on("127.0.0.2:0");
    let elsewhere = vec![("Location".to_owned(), storage.url("/v2/stored/blobs/uploads/1?_state=hidden"))];
    fake.fail("POST", "/blobs/uploads/", 1, Fault::Answer { status: 202, headers: elsewhere, body: String::new() });
    storage.fail("PUT", "/v2/stored/", 1, Fault::status(400));
    let error = push(&place, &name, &image).unwrap_err();
    assert!(!format!("{} {error:?}", chain(&error)).contains("hidden"), "{error:?}");
    assert!(error.to_string().ends_with(&format!("{} answered with status 400", storage.host())), "{error}");
    let there = storage.seen();
    assert_eq!(there.len(), 1);
    assert_eq!((there[0].header("authorization"), there[0].method.as_str()), (None, "PUT"));
}

#[test]
fn a_registry_that_keeps_something_else_is_found_out() {
    let (fake, place, image, name) = prepared();
    let other = Digest::of(b"other");
    fake.fail("PUT", "/manifests/", 1, Fault::Header("Docker-Content-Digest".into(), other.to_string()));
    let error = push(&place, &name, &image).unwrap_err();
    assert!(chain(&error).ends_with(&format!("it keeps {other} instead of {}", image.digest())), "{}", chain(&error));
}

#[test]
fn not_allowed() {
    let (fake, place, image, name) = prepared();
    let body = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    let answer = Fault::Answer { status: 403, headers: Vec::new(), body: body.to_owned() };
    fake.fail("POST", "/blobs/uploads/", 100, answer);
    let error = push(&place, &name, &image).unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert!(error.to_string().ends_with("(denied: requested access to the resource is denied)"), "{error}");
}

#[test]
fn a_manifest_that_is_not_there() {
    let (fake, place) = (FakeRegistry::start(), Place::new());
    let error = push(&place, &format!("{}/a", fake.host()), &Image::new(9, "amd64", 1)).unwrap_err();
    assert!(matches!(error, Error::Missing { role: "manifest", .. }), "{error:?}");
}
