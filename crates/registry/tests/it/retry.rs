//! Bad days: busy servers, broken connections, transfers that go on where they ended.

use std::time::Duration;

use registry::Error;
use testkit::FakeRegistry;
use testkit::registry::Fault;

use crate::support::{Image, LAYER_SIZE, Place, Recorder, amd64, chain, reference};

fn served() -> (FakeRegistry, Place, Image, String) {
    let (fake, place, image) = (FakeRegistry::start(), Place::new(), Image::new(1, "amd64", 1));
    image.serve(&fake, "a", Some("x"));
    let name = format!("{}/a:x", fake.host());
    (fake, place, image, name)
}

#[test]
fn a_busy_registry_is_given_the_time_it_asks_for() {
    let (fake, place, _image, name) = served();
    fake.fail("GET", "/manifests/", 1, Fault::busy("7"));
    // The fake clock begins at 1700000000 seconds and is then 7 later.
    fake.fail("GET", "/manifests/", 1, Fault::busy("Tue, 14 Nov 2023 22:13:40 GMT"));
    place.resolve(&name).unwrap();
    assert_eq!(place.clock.waits(), [Duration::from_secs(7), Duration::from_secs(13)]);
}

#[test]
fn nobody_waits_for_an_hour() {
    let (fake, place, _image, name) = served();
    fake.fail("GET", "/manifests/", 1, Fault::busy("3600"));
    let error = place.resolve(&name).unwrap_err();
    assert!(matches!(&error, Error::Limited { retry_after: Some(wait), .. } if wait.as_secs() == 3600), "{error:?}");
    assert_eq!(place.clock.waits(), []);
}

#[test]
fn failures_that_pass() {
    let (fake, place, image, name) = served();
    fake.fail("GET", "/manifests/", 1, Fault::status(503));
    fake.fail("GET", "/manifests/", 1, Fault::Hangup);
    fake.fail("GET", "/manifests/", 1, Fault::status(502));
    fake.fail("GET", "/manifests/", 1, Fault::Truncate(10));
    fake.fail("GET", "/blobs/", 2, Fault::status(500));
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
    assert_eq!(place.clock.waits().len(), 6);
}

#[test]
fn failures_that_do_not() {
    let (fake, place, _image, name) = served();
    fake.fail("GET", "/manifests/", 100, Fault::status(503));
    let error = place.resolve(&name).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("failed to fetch the manifest of {name}: {} answered with status 503", fake.host())
    );
    assert_eq!(fake.seen_at("GET", "/manifests/").len(), 5);
    let waits = place.clock.waits();
    assert!(waits.windows(2).all(|pair| pair[1] > pair[0]), "{waits:?}");
}

#[test]
fn a_broken_transfer_goes_on_where_it_ended() {
    let (fake, place, image, name) = served();
    let layer = image.layer(0).to_string();
    fake.fail("GET", &layer, 1, Fault::Truncate(100_000));
    fake.fail("GET", &layer, 1, Fault::status(503));
    fake.fail("GET", &layer, 1, Fault::Truncate(100_000));
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
    let ranges: Vec<_> = fake.seen_at("GET", &layer).iter().map(|s| s.header("range").map(str::to_owned)).collect();
    let from = |start: usize| Some(format!("bytes={start}-"));
    assert_eq!(ranges, [None, from(100_000), from(100_000), from(200_000)]);
}

#[test]
fn a_server_without_ranges_sends_it_all_again() {
    let (fake, place, image, name) = served();
    let layer = image.layer(0).to_string();
    fake.fail("GET", &layer, 1, Fault::Truncate(100_000));
    fake.fail("GET", &layer, 1, Fault::NoRange);
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
}

#[test]
fn a_later_process_goes_on_too() {
    let (fake, place, image, name) = served();
    let layer = image.layer(0).to_string();
    fake.fail("GET", &layer, 5, Fault::Truncate(30_000));
    fake.fail("GET", &layer, 1, Fault::status(404));
    let error = place.pull(&name).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert!(!place.store.has_blob(&image.layer(0)));
    fake.forget_seen();

    let progress = Recorder::default();
    let registry = place.registry();
    let pinned = registry.resolve(&reference(&name), &amd64(), &place.store).unwrap();
    registry.pull(&pinned, &place.store, &progress).unwrap();
    image.check_kept(&place.store);
    assert_eq!(fake.seen_at("GET", &layer)[0].header("range"), Some("bytes=150000-"));
    let first = progress.0.into_inner().unwrap()[0];
    assert!(first.1 > 150_000 && first.2 == LAYER_SIZE as u64, "{first:?}");
}

#[test]
fn a_beginning_that_is_damaged_is_thrown_away() {
    let (fake, place, image, name) = served();
    let layer = image.layer(0);
    let mut partial = place.store.partial_blob(&layer).unwrap().unwrap();
    std::io::Write::write_all(&mut partial, b"something else").unwrap();
    drop(partial);
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
    let ranges: Vec<_> =
        fake.seen_at("GET", &layer.to_string()).iter().map(|s| s.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [Some("bytes=14-".to_owned()), None]);
}

#[test]
fn an_answer_to_another_range_is_refused() {
    let (fake, place, image, name) = served();
    let layer = image.layer(0).to_string();
    fake.fail("GET", &layer, 1, Fault::Truncate(100_000));
    fake.fail("GET", &layer, 1, Fault::Header("Content-Range".into(), "bytes 5-299999/300000".into()));
    let error = place.pull(&name).unwrap_err();
    assert!(chain(&error).ends_with("gave another part of it than was asked for"), "{}", chain(&error));
}

#[test]
fn rate_limits_of_the_token_server_are_waited_for() {
    let (fake, place, _image, name) = served();
    fake.require(testkit::registry::Access::token(&fake.host(), None));
    fake.fail("GET", "/token", 1, Fault::busy("3"));
    place.resolve(&name).unwrap();
    assert_eq!(place.clock.waits(), [Duration::from_secs(3)]);
}
