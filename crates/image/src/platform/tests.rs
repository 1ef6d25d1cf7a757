use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let platform: Platform = text.parse().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(platform.to_string(), expected, "{text}");
    assert_eq!(platform.to_string().parse().as_ref(), Ok(&platform), "{text} does not survive being written");
}

#[track_caller]
fn check_invalid(text: &str, reason: &str) {
    let error = text.parse::<Platform>().expect_err(text).to_string();
    assert!(error.contains(reason) && error.contains(text), "{error}");
}

#[test]
fn aliases_and_defaults_are_normalized() {
    for (text, expected) in [
        ("linux/amd64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("Linux/X86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/i386", "linux/386"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/arm/v5", "linux/arm/v5"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("macos/arm64", "darwin/arm64"),
        ("windows/amd64", "windows/amd64"),
        ("plan10/vax", "plan10/vax"),
    ] {
        check(text, expected);
    }
}

#[test]
fn a_single_word_takes_the_rest_from_this_machine() {
    let host = Platform::host();
    check("linux", &host.to_string());
    check("s390x", "linux/s390x");
    check("aarch64", "linux/arm64");
    check("armhf", "linux/arm/v7");
    assert_eq!("macos".parse::<Platform>().unwrap().os, "darwin");
    assert_eq!("windows".parse::<Platform>().unwrap().architecture, host.architecture);
}

#[test]
fn mistakes_are_named() {
    check_invalid("", "no part of it empty");
    check_invalid("linux/", "no part of it empty");
    check_invalid("linux//v7", "no part of it empty");
    check_invalid("linux/*", "wildcards");
    check_invalid("linux/arm/v7/x", "more than");
    check_invalid("amd46", "neither");
    check_invalid("linux/amd 64", "only letters");
}

#[test]
fn lower_variants_run_on_higher_machines() {
    let rank =
        |image: &str, machine: &str| image.parse::<Platform>().unwrap().rank_for(&machine.parse::<Platform>().unwrap());
    assert_eq!(rank("linux/amd64", "linux/amd64"), Some(0));
    assert_eq!(rank("linux/amd64", "linux/amd64/v3"), Some(2));
    assert_eq!(rank("linux/amd64/v2", "linux/amd64/v3"), Some(1));
    assert_eq!(rank("linux/amd64/v3", "linux/amd64"), None);
    assert_eq!(rank("linux/arm/v5", "linux/arm"), Some(2));
    assert_eq!(rank("linux/arm/v8", "linux/arm/v7"), None);
    assert_eq!(rank("linux/arm/v7", "linux/arm64"), None);
    assert_eq!(rank("linux/arm64", "linux/arm64/v9"), Some(UNSPECIFIC));
    assert_eq!(rank("linux/arm64/v9", "linux/arm64"), None);
    assert_eq!(rank("linux/riscv64/rva23", "linux/riscv64"), None);
    assert_eq!(rank("windows/amd64", "linux/amd64"), None);
}

#[test]
fn an_old_configuration_without_an_operating_system_is_linux() {
    assert_eq!(Platform::normalized("", "amd64", Some("")).to_string(), "linux/amd64");
}

/// Makes the manifests of an index, each told apart by its size.
fn index(platforms: &[&str]) -> Vec<Descriptor> {
    let manifest = |(size, text): (usize, &&str)| {
        let digest = format!("sha256:{size:064x}");
        let mut value = serde_json::json!({
            "mediaType": crate::media_type::OCI_MANIFEST, "digest": digest, "size": size,
        });
        if let [os, architecture, variant @ ..] = &text.split('/').collect::<Vec<_>>()[..] {
            value["platform"] =
                serde_json::json!({ "os": os, "architecture": architecture, "variant": variant.first() });
        }
        serde_json::from_value(value).unwrap()
    };
    platforms.iter().enumerate().map(manifest).collect()
}

#[track_caller]
fn check_select(platforms: &[&str], wanted: &str, expected: u64) {
    let manifests = index(platforms);
    let wanted: Platform = wanted.parse().unwrap();
    assert_eq!(wanted.select(&manifests).map(Descriptor::size), Ok(expected));
}

#[test]
fn the_best_manifest_is_selected() {
    check_select(&["linux/arm64/v8", "linux/amd64"], "linux/amd64", 1);
    check_select(&["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "linux/arm/v6", 1);
    check_select(&["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", 1);
    check_select(&["linux/amd64", "linux/amd64/v3", "linux/amd64/v2"], "linux/amd64/v2", 2);
    check_select(&["linux/amd64", "linux/amd64"], "linux/amd64", 0);
}

#[test]
fn a_manifest_without_platform_is_the_last_resort() {
    check_select(&["", "linux/amd64"], "linux/amd64", 1);
    check_select(&["", "linux/arm64"], "linux/amd64", 0);
}

#[test]
fn attestations_are_neither_selected_nor_listed() {
    let manifests = index(&["linux/arm64", "unknown/unknown", "linux/arm/v7", "linux/arm64"]);
    let error = "linux/amd64".parse::<Platform>().unwrap().select(&manifests).unwrap_err();
    assert_eq!(error.to_string(), "no image for linux/amd64; there is linux/arm/v7, linux/arm64");

    let mut marked = index(&[""]);
    let kind = ("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned());
    marked[0].set_annotations(Some([kind].into()));
    let error = "linux/amd64".parse::<Platform>().unwrap().select(&marked).unwrap_err();
    assert_eq!(error.to_string(), "no image for linux/amd64");
}
