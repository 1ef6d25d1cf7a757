//! `--platform`: several in one build, and other ones than the machine's.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::environment::{TestEnv, has, tool};

/// Files that differ between platforms, made by a stage that does not depend on them and one that does.
const DOCKERFILE: &str = "\
FROM --platform=$BUILDPLATFORM scratch AS shared
COPY f /shared
FROM scratch
ARG TARGETARCH
COPY --from=shared /shared /shared
COPY $TARGETARCH /arch
ENV ARCH=$TARGETARCH
";

const BOTH: &str = "--platform=linux/amd64,linux/arm64";

fn env() -> TestEnv {
    let env = TestEnv::new();
    for name in ["f", "amd64", "arm64", "arm"] {
        env.file(name, name);
    }
    env
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

/// Reads the document that a descriptor names in a layout.
fn blob(layout: &Path, descriptor: &Value) -> Value {
    json(&layout.join("blobs").join(descriptor["digest"].as_str().expect("a digest").replace(':', "/")))
}

#[test]
fn several_platforms_make_an_index() {
    let env = env();
    let (layout, iid, metadata) = (env.path("layout"), env.path("iid"), env.path("metadata.json"));
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let files = ["--iidfile", iid.to_str().expect("UTF-8"), "--metadata-file", metadata.to_str().expect("UTF-8")];
    let ran = env.build_with(
        DOCKERFILE,
        &[&[BOTH, "--platform", "linux/arm/v7,linux/amd64", "-o", &output], &files[..]].concat(),
    );
    // The shared stage once, its copy once, one file for each.
    assert_eq!(ran.ok().counts().0, 5);
    let top = &json(&layout.join("index.json"))["manifests"][0];
    assert_eq!(top["mediaType"], "application/vnd.oci.image.index.v1+json");
    let index = blob(&layout, top);
    let platforms: Vec<&Value> =
        index["manifests"].as_array().expect("a list").iter().map(|m| &m["platform"]).collect();
    let expected = serde_json::json!([
        { "architecture": "amd64", "os": "linux" },
        { "architecture": "arm64", "os": "linux" },
        { "architecture": "arm", "os": "linux", "variant": "v7" },
    ]);
    assert_eq!(Value::from_iter(platforms.into_iter().cloned()), expected);
    for manifest in index["manifests"].as_array().expect("a list") {
        let config = blob(&layout, &blob(&layout, manifest)["config"]);
        assert_eq!(config["architecture"], manifest["platform"]["architecture"]);
        assert_eq!(config["variant"], manifest["platform"]["variant"]);
        let arch = format!("ARCH={}", config["architecture"].as_str().expect("text"));
        assert!(config["config"]["Env"].as_array().expect("a list").contains(&arch.into()));
    }
    let digest = top["digest"].as_str().expect("a digest");
    assert_eq!(fs::read_to_string(&iid).expect("a file"), digest);
    let written = json(&metadata);
    assert_eq!(written["containerimage.digest"], digest);
    assert_eq!(written["containerimage.descriptor"]["mediaType"], top["mediaType"]);
    assert_eq!(written["containerimage.config.digest"], Value::Null);
    let quiet = env.kiln(["build", "-q", BOTH, "--platform=linux/arm", "."]).ok();
    assert_eq!((quiet.stdout.trim_end(), quiet.stderr.as_str()), (digest, ""));
}

#[test]
fn one_platform_twice_is_one() {
    let env = env();
    let layout = env.path("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    env.build_with(DOCKERFILE, &["--platform=linux/arm64", "--platform=linux/arm64/v8,linux/aarch64", "-o", &output])
        .ok();
    let top = &json(&layout.join("index.json"))["manifests"][0];
    assert_eq!(top["mediaType"], "application/vnd.oci.image.manifest.v1+json");
}

#[test]
fn files_of_several_platforms_are_split() {
    let env = env();
    let (out, one) = (env.path("out"), env.path("one"));
    let local = |path: &Path, more: &str| format!("type=local,dest={}{more}", path.display());
    env.build_with(DOCKERFILE, &[BOTH, "--platform=linux/arm", "-o", out.to_str().expect("UTF-8")]).ok();
    for (directory, arch) in [("linux_amd64", "amd64"), ("linux_arm64", "arm64"), ("linux_arm_v7", "arm")] {
        assert_eq!(fs::read_to_string(out.join(directory).join("arch")).expect("a file"), arch);
        assert_eq!(fs::read_to_string(out.join(directory).join("shared")).expect("a file"), "f");
    }
    env.build_with(DOCKERFILE, &["--platform=linux/arm64", "-o", &local(&one, ",platform-split=true")]).ok();
    assert_eq!(fs::read_to_string(one.join("linux_arm64/arch")).expect("a file"), "arm64");
    let failed = env.build_with(DOCKERFILE, &[BOTH, "-o", &local(&env.path("no"), ",platform-split=false")]);
    failed.fails(1, &["cannot overwrite arch from linux/amd64 with linux/arm64 when split option is disabled"]);
    let apart = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /dir/\n";
    let merged = env.path("merged");
    env.build_with(apart, &[BOTH, "-o", &local(&merged, ",platform-split=false")]).ok();
    let mut names: Vec<_> =
        fs::read_dir(merged.join("dir")).expect("a directory").map(|e| e.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["amd64", "arm64"]);
}

#[test]
fn a_tar_of_several_platforms() {
    let env = env();
    env.file("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH f /dir/\n");
    let list = |more: &str| {
        let tar = env.path("out.tar");
        env.kiln(["build", "-q", BOTH, "-o", &format!("type=tar,dest={}{more}", tar.display()), "."]).ok();
        tool(Command::new("tar").arg("-tf").arg(tar)).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let below =
        |top: &str, arch: &str| ["", "dir/", &format!("dir/{arch}"), "dir/f"].map(|name| format!("{top}/{name}"));
    assert_eq!(list(""), [below("linux_amd64", "amd64"), below("linux_arm64", "arm64")].concat());
    let failed = env.kiln(["build", BOTH, "-o", "type=tar,dest=x,platform-split=false", "."]);
    failed.fails(1, &["cannot overwrite dir/f from linux/amd64 with linux/arm64"]);
}

#[test]
fn what_holds_one_platform_is_refused() {
    let env = env();
    env.build_with(DOCKERFILE, &[BOTH, "-o", "type=docker,dest=x"])
        .fails(2, &["type=docker holds an image for one platform", "type=oci"]);
    env.build_with(DOCKERFILE, &["-o", "type=oci,dest=x,platform-split=true"])
        .fails(2, &["platform-split is for files"]);
    env.build_with(DOCKERFILE, &["-o", "type=local,dest=x,platform-split=maybe"]).fails(2, &["expected true or false"]);
}

#[test]
fn skopeo_reads_an_index() {
    if !has("skopeo") {
        return;
    }
    let env = env();
    let (archive, copied) = (env.path("oci.tar"), env.path("copied"));
    env.build_with(DOCKERFILE, &[BOTH, "-o", &format!("type=oci,dest={}", archive.display())]).ok();
    let source = format!("oci-archive:{}", archive.display());
    let raw: Value =
        serde_json::from_str(&tool(Command::new("skopeo").args(["inspect", "--raw", &source]))).expect("JSON");
    assert_eq!(raw["manifests"].as_array().map(Vec::len), Some(2));
    tool(Command::new("skopeo").args(["copy", "-q", "--all", &source, &format!("oci:{}:v1", copied.display())]));
    let top = &json(&copied.join("index.json"))["manifests"][0];
    assert_eq!(blob(&copied, top), raw);
}
