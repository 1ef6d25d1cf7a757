//! Logins: passwords, tokens, helpers, and where a credential never goes.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use registry::Error;
use serde_json::json;
use testkit::FakeRegistry;
use testkit::registry::{Access, Fault};

use crate::support::{Image, Place, amd64, chain, reference};

fn guarded(access: Access) -> (FakeRegistry, Image, String) {
    let (fake, image) = (FakeRegistry::start(), Image::new(1, "amd64", 2));
    image.serve(&fake, "a/b", Some("x"));
    fake.require(access);
    let name = format!("{}/a/b:x", fake.host());
    (fake, image, name)
}

fn basic() -> Access {
    Access::Basic { user: "ann".into(), password: "hunter2".into() }
}

#[test]
fn a_password() {
    let (fake, image, name) = guarded(basic());
    let mut place = Place::new();
    place.login_to(&fake.host(), "ann", "hunter2");
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
    let refused = fake.seen().iter().filter(|seen| seen.header("authorization").is_none()).count();
    assert_eq!(refused, 2, "the scheme is asked for, then the way in, once");
}

#[test]
fn without_a_login() {
    let (fake, _image, name) = guarded(basic());
    let host = fake.host();
    let error = Place::new().resolve(&name).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "failed to fetch the manifest of {name}: {host} denied access without a login \
             (unauthorized: authentication required)"
        )
    );
    let help = error.help().unwrap();
    assert!(help.contains(&format!("no credentials for {host}: log in (`docker login {host}`)")), "{help}");
}

#[test]
fn a_wrong_password_names_the_user_and_not_the_password() {
    for access in [basic(), Access::Open] {
        let (fake, _image, name) = guarded(access.clone());
        if matches!(access, Access::Open) {
            fake.require(Access::token(&fake.host(), Some(("ann", "hunter2"))));
        }
        let mut place = Place::new();
        place.login_to(&fake.host(), "bob", "swordfish");
        let error = place.resolve(&name).unwrap_err();
        assert!(error.to_string().contains(&format!("{} denied access to user `bob`", fake.host())), "{error}");
        let everything = format!("{} {error:?} {:?}", chain(&error), place.registry());
        assert!(!everything.contains("swordfish"), "{everything}");
    }
}

#[test]
fn an_anonymous_token_for_all_layers() {
    let (fake, image, name) = guarded(Access::Open);
    fake.require(Access::token(&fake.host(), None));
    let place = Place::new();
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
    let asked = fake.seen_at("GET", "/token");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].parameter("scope").as_deref(), Some("repository:a/b:pull"));
    assert_eq!(asked[0].parameter("service").as_deref(), Some("fake"));
    assert_eq!(asked[0].header("authorization"), None);
}

#[test]
fn a_token_for_a_password_from_another_server() {
    let (fake, _image, name) = guarded(Access::Open);
    let tokens = FakeRegistry::start();
    let access = Access::token(&tokens.host(), Some(("ann", "hunter2")));
    tokens.require(access.clone());
    fake.require(access);
    let mut place = Place::new();
    place.login_to(&fake.host(), "ann", "hunter2");
    // The fake does not know the other's tokens: it refuses, but the token server was asked properly.
    let error = place.resolve(&name).unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    let asked = tokens.seen_at("GET", "/token");
    assert_eq!(asked.len(), 1);
    assert!(asked[0].header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    assert_eq!(asked[0].parameter("account").as_deref(), Some("ann"));
    let to_registry = fake.seen();
    assert!(to_registry.iter().all(|seen| !seen.header("authorization").unwrap_or_default().starts_with("Basic")));
}

#[test]
fn a_refresh_token() {
    let (fake, image, name) = guarded(Access::Open);
    let realm = fake.url("/token");
    fake.require(Access::Token { realm, user: Some(("x".into(), "y".into())), refresh: Some("re/fresh+".into()) });
    let mut place = Place::new();
    place.login(&json!({ "auths": { fake.host(): { "auth": "", "identitytoken": "re/fresh+" } } }));
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
    assert_eq!((fake.seen_at("POST", "/token").len(), fake.seen_at("GET", "/token").len()), (1, 0));
}

#[test]
fn a_token_that_is_no_longer_good_is_replaced() {
    let (fake, _image, name) = guarded(Access::Open);
    fake.require(Access::token(&fake.host(), None));
    let place = Place::new();
    let registry = place.registry();
    let pinned = registry.resolve(&reference(&name), &amd64(), &place.store).unwrap();
    // The registry forgets it before its time.
    fake.fail(
        "GET",
        "/blobs/",
        1,
        Fault::Answer {
            status: 401,
            headers: vec![("WWW-Authenticate".into(), format!("Bearer realm=\"{}\"", fake.url("/token")))],
            body: String::new(),
        },
    );
    registry.pull(&pinned, &place.store, &registry::NoProgress).unwrap();
    assert_eq!(fake.seen_at("GET", "/token").len(), 2);
}

#[test]
fn a_token_is_not_used_beyond_its_time() {
    let (fake, _image, name) = guarded(Access::Open);
    fake.require(Access::token(&fake.host(), None));
    let place = Place::new();
    let registry = place.registry();
    let pinned = registry.resolve(&reference(&name), &amd64(), &place.store).unwrap();
    fake.forget_seen();
    place.clock.advance(Duration::from_secs(295));
    registry.pull(&pinned, &place.store, &registry::NoProgress).unwrap();
    let seen = fake.seen();
    assert_eq!(seen[0].path, "/token", "a new one is asked for before the old one is refused");
}

#[test]
fn a_redirect_takes_no_credential_along() {
    let (fake, image, name) = guarded(basic());
    let storage = FakeRegistry::start_on("127.0.0.2:0");
    image.serve(&storage, "stored", None);
    let there = storage.url(&format!("/v2/stored/blobs/{}?X-Signature=hidden", image.layer(0)));
    fake.fail("GET", &image.layer(0).to_string(), 1, Fault::redirect(307, there));
    // Not even if the way leads back.
    let back = fake.url("/v2/back?X-Signature=hidden");
    storage.fail("GET", "/v2/stored/blobs/", 1, Fault::redirect(302, back));
    let mut place = Place::new();
    place.login_to(&fake.host(), "ann", "hunter2");
    let error = place.pull(&name).unwrap_err();
    let everything = format!("{} {error:?}", chain(&error));
    assert!(!everything.contains("hidden") && !everything.contains("hunter2"), "{everything}");
    let on_the_way = storage.seen();
    assert_eq!(on_the_way.len(), 1);
    assert_eq!(on_the_way[0].header("authorization"), None);
    assert!(fake.seen_at("GET", "/v2/back").iter().all(|seen| seen.header("authorization").is_none()));
    assert_eq!(fake.seen_at("GET", "/v2/back").len(), 1);

    let there = storage.url(&format!("/v2/stored/blobs/{}", image.layer(0)));
    fake.fail("GET", &image.layer(0).to_string(), 1, Fault::redirect(307, there));
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
    assert!(storage.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[test]
fn a_redirect_on_the_same_host_keeps_it() {
    let (fake, image, name) = guarded(basic());
    image.serve(&fake, "moved", None);
    let path = format!("/v2/moved/blobs/{}", image.layer(0));
    fake.fail("GET", &format!("/v2/a/b/blobs/{}", image.layer(0)), 1, Fault::redirect(301, path));
    let mut place = Place::new();
    place.login_to(&fake.host(), "ann", "hunter2");
    place.pull(&name).unwrap();
    image.check_kept(&place.store);
}

#[test]
fn endless_redirects_end() {
    let (fake, _image, name) = guarded(Access::Open);
    fake.fail("GET", "/manifests/", 100, Fault::redirect(302, "/v2/a/b/manifests/x"));
    let error = Place::new().resolve(&name).unwrap_err();
    assert!(error.to_string().ends_with("redirects more than 10 times"), "{error}");
    let fake = FakeRegistry::start();
    fake.fail("GET", "/v2/c/manifests/", 1, Fault::redirect(302, "file:///etc/passwd"));
    let error = Place::new().resolve(&format!("{}/c", fake.host())).unwrap_err();
    assert!(error.to_string().ends_with("redirects to an address of the kind `file`"), "{error}");
}

/// A token server that others could listen to gets no password, and its name is told.
#[test]
fn no_password_in_the_clear() {
    let (fake, _image, name) = guarded(Access::Open);
    fake.require(Access::Token { realm: "http://tokens.invalid/token".into(), user: None, refresh: None });
    let mut place = Place::new();
    place.login_to(&fake.host(), "ann", "hunter2");
    let error = place.resolve(&name).unwrap_err();
    assert!(error.to_string().ends_with("wants a password sent in the clear to tokens.invalid"), "{error}");
}

/// A helper is found through the search path, which is the process's own: the test runs itself again with another one.
#[test]
fn a_helper_is_asked_once_and_with_the_host() {
    let (fake, _image, name) = guarded(basic());
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let script = format!(
        "#!/bin/sh\nIFS= read -r server\necho \"$1 $server\" >>'{}'\necho '{{\"Username\":\"ann\",\"Secret\":\"hunter2\"}}'\n",
        log.display()
    );
    let helper = directory.path().join("docker-credential-kiln-it");
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap_or_default());
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "auth::with_the_helper_in_the_search_path", "--ignored"])
        .env("PATH", path)
        .env("KILN_TEST_IMAGE", name)
        .env("KILN_TEST_HOST", fake.host())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), format!("get {}\n", fake.host()));
    assert!(fake.seen_at("GET", "/blobs/").iter().any(|seen| seen.header("authorization").is_some()));
}

#[test]
#[ignore = "run by a_helper_is_asked_once_and_with_the_host"]
fn with_the_helper_in_the_search_path() {
    let (Ok(name), Ok(host)) = (std::env::var("KILN_TEST_IMAGE"), std::env::var("KILN_TEST_HOST")) else { return };
    let mut place = Place::new();
    place.login(&json!({ "credHelpers": { host: "kiln-it" } }));
    place.pull(&name).unwrap();
}

#[test]
fn a_helper_that_is_missing_is_told_when_it_matters() {
    let (fake, _image, name) = guarded(basic());
    let mut place = Place::new();
    place.login(&json!({ "credsStore": "kiln-none" }));
    let error = place.resolve(&name).unwrap_err();
    assert!(error.help().unwrap().contains("`docker-credential-kiln-none` could not be run"), "{error:?}");
    fake.require(Access::Open);
    place.resolve(&name).unwrap();
}
