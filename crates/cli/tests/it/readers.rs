//! Other tools read what kiln writes.

use std::process::Command;

use serde_json::Value;

use crate::environment::{TestEnv, has, is_root, tool};

fn built() -> TestEnv {
    let env = TestEnv::with_busybox();
    env.file("f", "data");
    env.build("FROM busybox\nCOPY f /etc/f\nRUN rm /etc/group && ln /etc/f /hard && mkdir -p /deep/er\nCMD [\"cat\", \"/hard\"]\n").ok();
    env
}

#[test]
fn skopeo_inspects_and_converts() {
    if !has("skopeo") {
        return;
    }
    let env = built();
    let oci = format!("type=oci,dest={}", env.path("oci.tar").display());
    let docker = format!("type=docker,dest={}", env.path("docker.tar").display());
    env.kiln(["build", "-t", "test", "-o", &oci, "-o", &docker, "."]).ok();
    let id = env.image_id();
    for source in ["oci-archive:oci.tar", "docker-archive:docker.tar"] {
        let (transport, file) = source.split_once(':').expect("a colon");
        let source = format!("{transport}:{}", env.path(file).display());
        let config = tool(Command::new("skopeo").args(["inspect", "--config", "--raw", &source]));
        assert_eq!(format!("sha256:{}", sha256(&config)), id, "{source}");
        let copied = env.path(&format!("{transport}.layout"));
        tool(Command::new("skopeo").args(["copy", "-q", &source, &format!("oci:{}:copied", copied.display())]));
        let other = TestEnv::new();
        other.kiln(["load", copied.to_str().expect("UTF-8"), "--tag", "copied"]).ok();
        assert_eq!(other.kiln(["run", "--rm", "copied"]).ok().stdout, "data");
    }
}

/// Layers of every compression, which is the last layer's: that of the base stays as it is.
#[test]
fn skopeo_reads_every_compression() {
    let env = built();
    let types = [
        ("", "tar+gzip"),
        (",compression=gzip,compression-level=9", "tar+gzip"),
        (",compression=zstd", "tar+zstd"),
        (",compression=zstd,compression-level=19,force-compression=false", "tar+zstd"),
        (",compression=uncompressed", "tar"),
    ];
    let mut diff_ids = Vec::new();
    for (options, expected) in types {
        let layout = env.path("layout");
        env.kiln(["build", "-o", &format!("type=oci,tar=false,dest={}{options}", layout.display()), "."]).ok();
        let file = |path: &str| serde_json::from_slice::<Value>(&std::fs::read(layout.join(path)).expect("a file"));
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().expect("a digest").replace(':', "/");
            file(&format!("blobs/{digest}")).expect("JSON")
        };
        let manifest = blob(&file("index.json").expect("JSON")["manifests"][0]);
        let layers = manifest["layers"].as_array().expect("a list");
        let last = layers.last().expect("a layer")["mediaType"].as_str().expect("text");
        assert_eq!(last, format!("application/vnd.oci.image.layer.v1.{expected}"), "{options}");
        diff_ids.push(blob(&manifest["config"])["rootfs"].clone());
        let other = TestEnv::new();
        other.kiln(["load", layout.to_str().expect("UTF-8"), "--tag", "test"]).ok();
        assert_eq!(other.kiln(["run", "--rm", "test"]).ok().stdout, "data", "{options}");
        if has("skopeo") {
            let copied = env.path("copied");
            let names = [format!("oci:{}", layout.display()), format!("oci:{}:copied", copied.display())];
            tool(Command::new("skopeo").args(["copy", "-q"]).args(names));
            other.kiln(["load", copied.to_str().expect("UTF-8"), "--tag", "copied"]).ok();
            assert_eq!(other.kiln(["run", "--rm", "copied"]).ok().stdout, "data", "{options}");
            std::fs::remove_dir_all(copied).expect("a directory");
        }
        std::fs::remove_dir_all(layout).expect("a directory");
    }
    diff_ids.dedup();
    assert_eq!(diff_ids.len(), 1, "what is compressed is the same");
}

#[test]
fn one_image_has_one_compression() {
    let env = built();
    let both = ["-o", "type=image,compression=zstd", "-o", "type=image,compression=gzip"];
    env.kiln(["build"].into_iter().chain(both).chain(["."])).fails(2, &["compression differs between outputs"]);
    for (output, why) in [
        ("type=local,dest=x,compression=zstd", "compression is for images"),
        ("type=image,compression=zst", "did you mean zstd?"),
        ("type=image,compresion=zstd", "did you mean `compression`?"),
        ("type=image,force-compression=true", "layers of base images stay as they are"),
    ] {
        env.kiln(["build", "-o", output, "."]).fails(2, &[why]);
    }
    // The image of the store has it, too.
    env.kiln(["build", "-t", "small", "-o", "type=image,compression=zstd", "."]).ok();
    let saved = env.path("saved");
    env.kiln(["save", "small", "--format", "oci-archive", "-o", saved.to_str().expect("UTF-8")]).ok();
    let listed =
        tool(Command::new("tar").arg("-xOf").arg(&saved).args(["--wildcards", "blobs/*/*"]).env("LC_ALL", "C"));
    assert!(listed.contains("tar+zstd"));
}

fn sha256(text: &str) -> String {
    use std::io::Write;
    let mut sum = Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("sha256sum");
    sum.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    String::from_utf8(sum.wait_with_output().expect("an end").stdout).expect("text")[..64].to_owned()
}

#[test]
fn umoci_unpacks() {
    if !has("umoci") {
        return;
    }
    let env = built();
    let layout = env.path("layout");
    env.kiln(["build", "-t", "test:v1", "-o", &format!("type=oci,tar=false,dest={}", layout.display()), "."]).ok();
    let bundle = env.path("bundle");
    let mut umoci = Command::new("umoci");
    umoci.arg("unpack");
    if !is_root() {
        umoci.arg("--rootless");
    }
    tool(umoci.arg("--image").arg(format!("{}:v1", layout.display())).arg(&bundle));
    let root = bundle.join("rootfs");
    assert_eq!(std::fs::read_to_string(root.join("hard")).expect("a file"), "data");
    assert!(!root.join("etc/group").exists() && root.join("deep/er").is_dir());
    use std::os::unix::fs::MetadataExt;
    let inode = |name: &str| std::fs::metadata(root.join(name)).expect("a file").ino();
    assert_eq!(inode("hard"), inode("etc/f"));
}

#[test]
fn podman_loads_and_runs() {
    if !is_root() || !has("podman") {
        return;
    }
    let env = built();
    let archive = env.path("archive.tar");
    env.kiln(["save", "test", "-o", archive.to_str().expect("UTF-8")]).ok();
    let podman = |arguments: &[&str]| {
        let mut podman = Command::new("podman");
        podman.arg("--root").arg(env.path("podman")).arg("--runroot").arg(env.path("podman-run"));
        podman.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "runc"]);
        tool(podman.args(arguments))
    };
    let loaded = podman(&["load", "-q", "-i", archive.to_str().expect("UTF-8")]);
    assert!(loaded.contains("test:latest"), "{loaded}");
    let out = podman(&[
        "run",
        "--rm",
        "--network=host",
        "--ulimit=nofile=1024:1024",
        "--ulimit=nproc=1024:1024",
        "docker.io/library/test:latest",
    ]);
    assert_eq!(out, "data");
}
