use super::*;
use proptest::prelude::*;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[track_caller]
fn check(text: &str, full: &str, familiar: &str) {
    let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reference.to_string(), full);
    assert_eq!(reference.familiar(), familiar);
}

#[track_caller]
fn check_invalid(text: &str, reason: &str) {
    let error = text.parse::<Reference>().expect_err(text).to_string();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn short_names_are_of_docker_hub() {
    check("busybox", "docker.io/library/busybox", "busybox");
    check("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36");
    check("library/busybox", "docker.io/library/busybox", "busybox");
    check("docker.io/busybox", "docker.io/library/busybox", "busybox");
    check("index.docker.io/busybox", "docker.io/library/busybox", "busybox");
    check("docker.io/grafana/grafana:11", "docker.io/grafana/grafana:11", "grafana/grafana:11");
    check("grafana/grafana", "docker.io/grafana/grafana", "grafana/grafana");
    check("a/b/c", "docker.io/a/b/c", "a/b/c");
    check("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000");
}

#[test]
fn the_first_component_is_a_registry_if_it_can_only_be_one() {
    check("ghcr.io/a/b:c", "ghcr.io/a/b:c", "ghcr.io/a/b:c");
    check("localhost/a", "localhost/a", "localhost/a");
    check("localhost:5000/a", "localhost:5000/a", "localhost:5000/a");
    check("host:5000/a:b", "host:5000/a:b", "host:5000/a:b");
    check("Host/a", "Host/a", "Host/a");
    check("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b");
    check("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a");
    check("[fe80::1]/a", "[fe80::1]/a", "[fe80::1]/a");
    check("registry-1.docker.io/library/a", "registry-1.docker.io/library/a", "registry-1.docker.io/library/a");
}

#[test]
fn digests_stand_last() {
    check(&format!("a@{DIGEST}"), &format!("docker.io/library/a@{DIGEST}"), &format!("a@{DIGEST}"));
    check(&format!("a:b@{DIGEST}"), &format!("docker.io/library/a:b@{DIGEST}"), &format!("a:b@{DIGEST}"));
    check_invalid("a@sha256:0123", "64 lower-case hexadecimal digits");
    check_invalid(&format!("a@{DIGEST}0"), "64 lower-case hexadecimal digits");
    check_invalid(&format!("a@{}", DIGEST.to_uppercase()), "SHA-256");
    check_invalid("a@sha512:01234567", "the only kind supported");
    check_invalid("a@", "invalid digest");
}

#[test]
fn separators_are_single() {
    for text in ["a.b", "a_b", "a__b", "a-b", "a---b", "a/b--b_c.d"] {
        check(text, &format!("docker.io/{}{text}", if text.contains('/') { "" } else { OFFICIAL }), text);
    }
    for text in ["a..b", "a___b", "a._b", "-a", "a-", "a.", "_a", "a/-b", "a/b_", "é", "a b", "a\n", "a\0", "a+b"] {
        check_invalid(text, "may have lower-case letters and digits");
    }
}

#[test]
fn mistakes_are_named() {
    check_invalid("", "it is empty");
    check_invalid("Busybox", "the repository must be lower-case: `busybox`");
    check_invalid("ghcr.io/Me/app", "the repository must be lower-case: `me/app`");
    check_invalid(":tag", "there is no repository");
    check_invalid("ghcr.io/", "there is no repository");
    check_invalid("a//b", "an empty component");
    check_invalid("a/", "an empty component");
    check_invalid("/a", "an empty component");
    check_invalid("a:", "the tag is empty");
    check_invalid("a:.b", "tag `.b`");
    check_invalid("a:-b", "tag `-b`");
    check_invalid("a:b:c", "tag `b:c`");
    check_invalid("a:b/c", "is not a registry");
    check_invalid("host:/c", "is not a registry");
    check_invalid("ho_st.name/c", "is not a registry");
    check_invalid("[::1/c", "is not a registry");
    check_invalid("[]:5/c", "is not a registry");
    check_invalid("https://ghcr.io/a", "is not a registry");
    check_invalid(&DIGEST[7..], "read as an image id");
}

#[test]
fn lengths_are_bounded() {
    check_invalid(&format!("a:{}", "b".repeat(129)), "129 characters");
    check_invalid(&format!("host.name/{}", "a".repeat(256)), "256 characters");
    check_invalid(&"a".repeat(248), "256 characters");
    assert!("a".repeat(247).parse::<Reference>().is_ok());
    assert!(format!("a:{}", "b".repeat(128)).parse::<Reference>().is_ok());
}

#[test]
fn a_familiar_name_always_reads_back_as_the_same() {
    check("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b");
    check("docker.io/host.name/a", "docker.io/host.name/a", "docker.io/host.name/a");
    check("docker.io/localhost/a", "docker.io/localhost/a", "docker.io/localhost/a");
    let hex = &DIGEST[7..];
    check(&format!("library/{hex}"), &format!("docker.io/library/{hex}"), &format!("library/{hex}"));
}

#[test]
fn parts_can_be_replaced() {
    let name: Reference = "a".parse().unwrap();
    assert_eq!(name.clone().or_latest().to_string(), "docker.io/library/a:latest");
    assert_eq!(name.name(), "docker.io/library/a");
    let tagged = name.with_tag("v1").unwrap();
    assert_eq!(tagged.clone().or_latest(), tagged);
    let pinned = tagged.with_digest(DIGEST.parse().unwrap());
    assert_eq!(pinned.to_string(), format!("docker.io/library/a:v1@{DIGEST}"));
    assert_eq!(pinned.clone().with_tag("v2").unwrap().to_string(), "docker.io/library/a:v2");
    let error = pinned.with_tag("no spaces").unwrap_err().to_string();
    assert!(error.starts_with("invalid image name `docker.io/library/a:no spaces`: tag"), "{error}");
    assert!("a".parse::<Reference>().unwrap().is_docker_hub());
    assert!(!"quay.io/a".parse::<Reference>().unwrap().is_docker_hub());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_read_or_refused(text in "[a-zA-Z0-9./:@_\\[\\]-]{0,40}") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
            prop_assert_eq!(reference.familiar().parse(), Ok(reference.clone()));
        }
    }

    #[test]
    fn any_name_survives_being_written(
        host in "([a-z]{1,5}\\.)?[a-z]{1,5}(:[0-9]{1,4})?", path in "[a-z0-9]{1,4}((__|[._]|-{1,3})[a-z0-9]{1,4}){0,2}",
        tag in proptest::option::of("\\w[\\w.-]{0,10}"),
    ) {
        let tag = tag.filter(|tag| tag.is_ascii()).map(|tag| format!(":{tag}")).unwrap_or_default();
        let reference: Reference = format!("{host}/{path}{tag}").parse().unwrap();
        prop_assert_eq!(reference.familiar().parse(), Ok(reference.clone()));
    }
}
