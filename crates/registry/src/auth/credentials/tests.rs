use super::*;

fn of(json: &str) -> (tempfile::TempDir, Credentials) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, json).unwrap();
    let credentials = Credentials::new(Some(path));
    (directory, credentials)
}

#[track_caller]
fn check(json: &str, registry: &str, repository: &str, expected: Option<(&str, &str)>) {
    let (_directory, credentials) = of(json);
    let found = credentials.find(registry, repository);
    assert_eq!(found.note, None);
    let expected =
        expected.map(|(user, password)| Credential::Basic { user: user.into(), password: Secret::new(password) });
    assert_eq!(found.credential, expected);
}

// `u:p:q`, `hub:x`, `org:x`
const AUTHS: &str = r#"{"auths":{
    "localhost:5000":{"auth":"dTpwOnE="},
    "https://index.docker.io/v1/":{"auth":"aHViOng"},
    "quay.io":{"username":"all","password":"x"},
    "quay.io/org":{"auth":"b3JnOng="},
    "https://ghcr.io/v2/":{"username":"gh","password":"x"}
}}"#;

#[test]
fn by_host() {
    check(AUTHS, "localhost:5000", "a/b", Some(("u", "p:q")));
    check(AUTHS, "localhost", "a/b", None);
    check(AUTHS, "localhost:50001", "a/b", None);
    check(AUTHS, "ghcr.io", "a", Some(("gh", "x")));
}

#[test]
fn docker_hub_by_its_old_address() {
    check(AUTHS, "docker.io", "library/busybox", Some(("hub", "x")));
    check(AUTHS, "registry-1.docker.io", "library/busybox", Some(("hub", "x")));
}

#[test]
fn the_longest_path_wins() {
    check(AUTHS, "quay.io", "org/image", Some(("org", "x")));
    check(AUTHS, "quay.io", "org", Some(("org", "x")));
    check(AUTHS, "quay.io", "organ/image", Some(("all", "x")));
}

#[test]
fn tokens() {
    let json = r#"{"auths":{"a":{"auth":"dTo=","identitytoken":"i"},"b":{"registrytoken":"r"},"c":{}}}"#;
    let (_directory, credentials) = of(json);
    assert_eq!(credentials.find("a", "x").credential, Some(Credential::Identity { token: Secret::new("i") }));
    assert_eq!(credentials.find("b", "x").credential, Some(Credential::Bearer { token: Secret::new("r") }));
    assert_eq!(credentials.find("c", "x"), Found::default());
}

#[test]
fn no_file_and_nothing_in_it() {
    assert_eq!(Credentials::new(None).find("a", "b"), Found::default());
    assert_eq!(Credentials::new(Some("/no/such/config.json".into())).find("a", "b"), Found::default());
    check("", "a", "b", None);
    check(r#"{"auths":null,"credsStore":""}"#, "a", "b", None);
}

#[test]
fn damage_is_noted_without_quoting_it() {
    let (_directory, credentials) = of("{\"auths\":{\"a\":{\"auth\":[\"hunter2\"]}}}");
    let note = credentials.find("a", "b").note.unwrap();
    assert!(note.contains("is not valid at line 1") && !note.contains("hunter2"), "{note}");
    let (_directory, credentials) = of(r#"{"auths":{"a":{"auth":"hunter2!"}}}"#);
    assert_eq!(credentials.find("a", "b").note.unwrap(), "the credentials for `a` in config.json are not base64");
}

#[test]
fn a_missing_helper_leaves_what_the_file_has() {
    let (_directory, credentials) = of(r#"{"credsStore":"kiln-none","auths":{"a":{"auth":"dTpw"}}}"#);
    let found = credentials.find("a", "b");
    assert_eq!(found.credential.unwrap().user(), "u");
    assert!(found.note.unwrap().contains("docker-credential-kiln-none"));
}

#[test]
fn no_debug_output_has_a_secret() {
    let (_directory, credentials) = of(r#"{"auths":{"a":{"username":"u","password":"hunter2"}}}"#);
    let found = credentials.find("a", "b");
    assert!(!format!("{credentials:?} {found:?}").contains("hunter2"));
}
