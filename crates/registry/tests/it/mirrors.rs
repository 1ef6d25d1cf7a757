//! Mirrors: asked first, never trusted, never written to.

use registry::Error;
use testkit::FakeRegistry;
use testkit::registry::{Access, Fault};

use crate::support::{Image, Place, chain};

/// A registry and a mirror of it, with a place that knows both.
fn mirrored() -> (FakeRegistry, FakeRegistry, Place, String) {
    let (origin, mirror) = (FakeRegistry::start(), FakeRegistry::start_on("127.0.0.2:0"));
    let mut place = Place::new();
    place.options.mirrors.push((origin.host(), mirror.host()));
    let name = format!("{}/a:x", origin.host());
    (origin, mirror, place, name)
}

#[test]
fn a_mirror_serves_all() {
    let (origin, mirror, place, name) = mirrored();
    let image = Image::new(1, "amd64", 2);
    image.serve(&mirror, "a", Some("x"));
    let pinned = place.pull(&name).unwrap();
    assert_eq!(pinned.reference.to_string(), format!("{name}@{}", image.digest()), "the name stays the origin's");
    image.check_kept(&place.store);
    assert_eq!(origin.seen().len(), 0);
}

#[test]
fn docker_hub_from_a_mirror_with_a_path() {
    let (mirror, mut place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 1));
    image.serve(&mirror, "hub/library/busybox", Some("latest"));
    place.options.mirrors.push(("docker.io".into(), format!("http://{}/hub", mirror.host())));
    let pinned = place.pull("busybox").unwrap();
    assert_eq!(pinned.reference.familiar(), format!("busybox:latest@{}", image.digest()));
    image.check_kept(&place.store);
}

#[test]
fn what_the_mirror_lacks_comes_from_the_registry() {
    let (origin, mirror, place, name) = mirrored();
    let image = Image::new(1, "amd64", 2);
    image.serve(&origin, "a", Some("x"));
    image.serve(&mirror, "a", Some("x"));
    mirror.remove_blob("a", &image.layer(1));
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
    let asked: Vec<_> = origin.seen_at("GET", "/v2/a/").iter().map(|seen| seen.path.clone()).collect();
    assert_eq!(asked, [format!("/v2/a/blobs/{}", image.layer(1))]);
}

#[test]
fn a_mirror_that_lies_is_found_out() {
    let (origin, mirror, place, name) = mirrored();
    let image = Image::new(1, "amd64", 1);
    image.serve(&origin, "a", Some("x"));
    image.serve(&mirror, "a", Some("x"));
    mirror.fail("GET", &image.layer(0).to_string(), 1, Fault::Corrupt);
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
    assert_eq!(origin.seen_at("GET", "/blobs/").len(), 1);
}

#[test]
fn a_mirror_that_is_down_is_asked_once() {
    let (origin, mirror, place, name) = mirrored();
    let image = Image::new(1, "amd64", 3);
    image.serve(&origin, "a", Some("x"));
    drop(mirror);
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
    assert_eq!(place.clock.waits().len(), 1, "one more attempt, then the registry for everything");
}

#[test]
fn all_failures_are_told() {
    let (origin, mirror, place, name) = mirrored();
    mirror.fail("GET", "/manifests/", 100, Fault::status(403));
    let error = place.resolve(&name).unwrap_err();
    let text = chain(&error);
    assert!(text.contains(&format!("{} denied access without a login", mirror.host())), "{text}");
    assert!(text.ends_with(&format!("not found on {} (manifest unknown)", origin.host())), "{text}");
}

#[test]
fn each_host_gets_its_own_credentials() {
    let (origin, mirror, mut place, name) = mirrored();
    let image = Image::new(1, "amd64", 1);
    image.serve(&mirror, "a", Some("x"));
    mirror.require(Access::Basic { user: "mia".into(), password: "m".into() });
    place.login_to(&origin.host(), "ann", "hunter2");
    assert!(place.resolve(&name).is_err());
    assert!(mirror.seen().iter().all(|seen| seen.header("authorization").is_none()), "the origin's stay at home");
    place.login_to(&mirror.host(), "mia", "m");
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
}

#[test]
fn registries_conf() {
    let (mirror, mut place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 1));
    image.serve(&mirror, "cache/quay/org/app", Some("1"));
    let conf = place.store.directory().join("registries.conf");
    let text = format!(
        "[[registry]]\nprefix='quay.io'\n[[registry.mirror]]\nlocation='{}/cache/quay'\ninsecure=true\n\
         [[registry]]\nprefix='quay.io/banned'\nblocked=true\n",
        mirror.host()
    );
    std::fs::write(&conf, text).unwrap();
    place.options.registries_conf.push(conf);
    place.pull("quay.io/org/app:1").unwrap();
    image.check_kept(&place.store);
    let error = place.resolve("quay.io/banned/app").unwrap_err();
    assert!(matches!(error, Error::Blocked { .. }), "{error:?}");
}

#[test]
fn pushes_go_to_the_registry() {
    let (origin, mirror, place, name) = mirrored();
    let image = Image::new(1, "amd64", 1);
    image.keep(&place.store);
    let progress = crate::support::Recorder::default();
    place.registry().push(&name.parse().unwrap(), &image.descriptor(), &place.store, &progress).unwrap();
    image.check_served(&origin, "a", "x");
    assert_eq!(mirror.seen().len(), 0);
}
