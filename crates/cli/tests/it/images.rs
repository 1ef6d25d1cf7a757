//! `images`, `tag`, `rmi`, `inspect`, `history`, `import`, `load`, `save`.

use crate::environment::{TestEnv, busybox_tar};

#[test]
fn names_come_and_go() {
    let env = TestEnv::with_busybox();
    env.kiln(["tag", "busybox", "example.com/team/box:v1"]).ok();
    let listed = env.kiln(["images"]).ok().stdout;
    assert!(listed.lines().any(|l| l.starts_with("busybox ") && l.contains("latest")), "{listed}");
    assert!(listed.lines().any(|l| l.starts_with("example.com/team/box ") && l.contains("v1")), "{listed}");
    env.kiln(["rmi", "busybox"]).ok();
    env.kiln(["inspect", "busybox"]).fails(1, &["no image named `busybox`"]);
    env.kiln(["run", "--rm", "example.com/team/box:v1", "true"]).ok();
    env.kiln(["rmi", "example.com/team/box:v2"]).fails(1, &["a similar name exists: `example.com/team/box:v1`"]);
    env.kiln(["rmi", "-f", "example.com/team/box:v2"]).ok();
    env.kiln(["tag", "busybux", "x"]).fails(1, &["no image named `busybux`"]);
    env.kiln(["tag", "example.com/team/box:v1", "UPPER"]).fails(1, &["invalid image name"]);
}

#[test]
fn an_image_is_found_by_its_id() {
    let env = TestEnv::with_busybox();
    let id = env.kiln(["images", "-q"]).ok().stdout;
    assert_eq!(id.trim().len(), 12);
    env.kiln(["run", "--rm", id.trim(), "true"]).ok();
    env.kiln(["tag", "busybox", "other"]).ok();
    env.kiln(["tag", "busybox", "third"]).ok();
    let refused = env.kiln(["rmi", id.trim()]);
    let refused = refused.fails(1, &["has several names: `busybox:latest`, `other:latest`, `third:latest`", "--force"]);
    assert_eq!(refused.stdout, "");
    // A name is removed alone, and the last one by the id too.
    assert_eq!(env.kiln(["rmi", "other"]).ok().stdout, "Untagged: other:latest\n");
    assert_eq!(env.kiln(["images", "-q"]).ok().stdout.lines().count(), 2);
    let removed = env.kiln(["rmi", "-f", id.trim()]).ok().stdout;
    assert_eq!(removed, "Untagged: busybox:latest\nUntagged: third:latest\n");
    assert_eq!(env.kiln(["images", "-q"]).ok().stdout, "");
    env.kiln(["import", busybox_tar().to_str().expect("UTF-8"), "busybox"]).ok();
    let id = env.kiln(["images", "-q"]).ok().stdout;
    assert_eq!(env.kiln(["rmi", id.trim()]).ok().stdout, "Untagged: busybox:latest\n");
}

#[test]
fn a_saved_image_loads_as_the_same_image() {
    let env = TestEnv::with_busybox();
    env.build("FROM busybox\nRUN echo x > /x\nCMD [\"cat\", \"/x\"]\n").ok();
    let id = env.image_id();
    for format in ["docker-archive", "oci-archive"] {
        let archive = env.path(format);
        env.kiln(["save", "test", "--format", format, "-o", archive.to_str().expect("UTF-8")]).ok();
        let other = TestEnv::new();
        let loaded = other.kiln(["load", "-i", archive.to_str().expect("UTF-8")]).ok();
        assert_eq!(loaded.stdout, "Loaded image: test:latest\n");
        assert_eq!(other.image_id(), id, "{format}");
        assert_eq!(other.kiln(["run", "--rm", "test"]).ok().stdout, "x\n");
    }
}

#[test]
fn archives_come_through_pipes_and_compressed() {
    let env = TestEnv::with_busybox();
    let saved = env.command(["save", "busybox"]).output().expect("kiln starts").stdout;
    let packed = env.path("image.tar.gz");
    std::fs::write(env.path("image.tar"), &saved).expect("a file");
    crate::environment::tool(std::process::Command::new("gzip").arg(env.path("image.tar")));
    let other = TestEnv::new();
    let input = std::fs::File::open(packed).expect("a file");
    let loaded = crate::environment::ran(other.command(["load"]).stdin(input).output().expect("kiln starts")).ok();
    assert_eq!(loaded.stdout, "Loaded image: busybox:latest\n");
}

#[test]
fn the_same_content_imports_as_the_same_image() {
    let (one, two) = (TestEnv::with_busybox(), TestEnv::with_busybox());
    let layers = |env: &TestEnv| env.inspect("busybox")["RootFS"]["Layers"].clone();
    assert_eq!(layers(&one), layers(&two));
}
