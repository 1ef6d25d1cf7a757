//! A real registry server on the loopback interface.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::environment::{TestEnv, has, tool};

/// Debian's `docker-registry` with a directory of its own; ends on drop.
pub(crate) struct Server {
    child: Child,
    pub(crate) host: String,
}

impl Server {
    pub(crate) fn start(env: &TestEnv) -> Option<Self> {
        if !has("docker-registry") {
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let host = format!("127.0.0.1:{port}");
        let config = env.path("registry.yml");
        let storage = env.path("registry");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {host}\n",
                storage.display()
            ),
        )
        .expect("a file");
        let mut server = Command::new("docker-registry");
        server.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = server.spawn().expect("the registry starts");
        while TcpStream::connect(&host).is_err() {
            std::thread::yield_now();
        }
        Some(Self { child, host })
    }
}

/// With credentials of its own: the machine's file may be another user's.
fn skopeo(env: &TestEnv) -> Command {
    let credentials = env.path("auth.json");
    fs::write(&credentials, "{}").expect("a file");
    let mut skopeo = Command::new("skopeo");
    skopeo.env("REGISTRY_AUTH_FILE", credentials);
    skopeo
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_pushed_image_comes_back_with_the_same_digest() {
    let env = TestEnv::with_busybox();
    let Some(server) = Server::start(&env) else { return };
    let name = format!("{}/team/app:v1", server.host);
    env.build("FROM busybox\nRUN echo pushed > /f\n").ok();
    env.kiln(["tag", "test", &name]).ok();
    let pushed = env.kiln(["push", "-q", &name]).ok().stdout;
    let other = TestEnv::new();
    let pulled = other.kiln(["pull", "-q", &name]).ok().stdout;
    assert_eq!(pushed, pulled);
    assert_eq!(pulled.trim(), env.inspect("test")["Descriptor"]["digest"]);
    assert_eq!(other.kiln(["run", "--rm", &name, "cat", "/f"]).ok().stdout, "pushed\n");
    if has("skopeo") {
        let shown = tool(skopeo(&env).args(["inspect", "--tls-verify=false", &format!("docker://{name}")]));
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(shown["Digest"], pushed.trim());
    }
}

#[test]
fn a_base_image_is_pulled_and_only_when_needed() {
    let env = TestEnv::with_busybox();
    let Some(server) = Server::start(&env) else { return };
    let base = format!("{}/base", server.host);
    env.kiln(["tag", "busybox", &base]).ok();
    env.kiln(["push", "-q", &base]).ok();
    let other = TestEnv::new();
    // Metadata alone needs no layer.
    other.build(&format!("FROM {base}\nENV A=1\n")).ok();
    assert!(fs::read_dir(other.store().join("layers")).map_or(0, Iterator::count) == 0);
    other.build(&format!("FROM {base}\nRUN echo $0 > /ran\n")).ok();
    assert_eq!(other.sh("cat /ran"), "/bin/sh\n");
    let by_digest = format!("{base}@{}", env.inspect("busybox")["Descriptor"]["digest"].as_str().expect("a digest"));
    other.build(&format!("FROM {by_digest}\nRUN true\n")).ok();
    drop(server);
    // What is here needs no registry.
    other.build(&format!("FROM {base}\nRUN echo $0 > /ran\n")).ok();
}

#[test]
fn a_mirror_is_asked_first() {
    let env = TestEnv::with_busybox();
    let Some(server) = Server::start(&env) else { return };
    env.kiln(["tag", "busybox", &format!("{}/library/mirrored", server.host)]).ok();
    env.kiln(["push", "-q", &format!("{}/library/mirrored", server.host)]).ok();
    let other = TestEnv::new();
    let mirror = format!("docker.io={}", server.host);
    other.build_with("FROM mirrored\nRUN touch /x\n", &["--registry-mirror", &mirror]).ok();
    assert_eq!(other.sh("ls /x"), "/x\n");
}

#[test]
fn what_is_not_there_is_said() {
    let env = TestEnv::with_busybox();
    let Some(server) = Server::start(&env) else { return };
    let name = format!("{}/no/such:tag", server.host);
    env.kiln(["pull", &name]).fails(1, &["no/such"]);
    env.build(&format!("FROM {name}\n")).fails(1, &["no/such", "Dockerfile:1:6"]);
    env.kiln(["push", &name]).fails(1, &["no image named"]);
}

#[test]
fn build_can_push() {
    let env = TestEnv::with_busybox();
    let Some(server) = Server::start(&env) else { return };
    let name = format!("{}/direct", server.host);
    env.file("Dockerfile", "FROM busybox\nRUN echo direct > /d\n");
    env.kiln(["build", "-t", &name, "--push", "."]).ok();
    let other = TestEnv::new();
    other.kiln(["pull", "-q", &name]).ok();
    assert_eq!(other.kiln(["run", "--rm", &name, "cat", "/d"]).ok().stdout, "direct\n");
}

/// As CI does for each platform on a machine of its own, whose images become one index later.
#[test]
fn build_can_push_by_digest() {
    let env = TestEnv::with_busybox();
    let Some(server) = Server::start(&env) else { return };
    let (name, metadata) = (format!("{}/app", server.host), env.path("metadata"));
    env.file("Dockerfile", "FROM busybox\nRUN echo pushed > /f\n");
    let output = |name: &str| format!("type=image,name={name},push-by-digest=true,name-canonical=true,push=true");
    let build =
        |output: &str| env.kiln(["build", "-o", output, "--metadata-file", metadata.to_str().expect("UTF-8"), "."]);
    build(&output(&name)).ok();
    let metadata: serde_json::Value = serde_json::from_slice(&fs::read(&metadata).expect("a file")).expect("JSON");
    let digest = metadata["containerimage.digest"].as_str().expect("a digest");
    let other = TestEnv::new();
    other.kiln(["pull", &name]).fails(1, &["not found"]);
    let ran = other.kiln(["run", "--rm", &format!("{name}@{digest}"), "cat", "/f"]);
    assert_eq!(ran.ok().stdout, "pushed\n");
    build(&output(&format!("{name}:tag"))).fails(2, &["is not a repository alone"]);
    build("type=registry,push-by-digest=true").fails(2, &["needs a repository to push to"]);
}

#[test]
fn an_index_is_pushed_and_pulled_platform_by_platform() {
    let env = TestEnv::new();
    let Some(server) = Server::start(&env) else { return };
    for name in ["amd64", "arm64"] {
        env.file(name, name);
    }
    let name = format!("{}/team/app:v1", server.host);
    env.file("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n");
    env.kiln(["build", "--platform=linux/amd64,linux/arm64", "--push", "-t", &name, "."]).ok();
    let index = env.inspect(&name)["Id"].as_str().expect("an id").to_owned();
    if has("skopeo") {
        let source = format!("docker://{name}");
        let raw = tool(skopeo(&env).args(["inspect", "--raw", "--tls-verify=false", &source]));
        let raw: serde_json::Value = serde_json::from_str(&raw).expect("JSON");
        assert_eq!(raw["manifests"][1]["platform"]["architecture"], "arm64");
        let copied = format!("oci:{}:v1", env.path("copied").display());
        tool(skopeo(&env).args(["copy", "-q", "--all", "--src-tls-verify=false", &source, &copied]));
    }
    // One platform after the other comes to one name.
    let other = TestEnv::new();
    let pulled = other.kiln(["pull", "-q", "--platform=linux/arm64", &name]).ok().stdout;
    assert_eq!(pulled.trim(), index);
    assert_eq!(other.inspect(&name)["Platforms"], serde_json::json!(["linux/arm64"]));
    // What is not here cannot go elsewhere; where the registry has it, nothing is lost.
    let elsewhere = format!("{}/team/other:v1", server.host);
    other.kiln(["tag", &name, &elsewhere]).ok();
    let pushed = other.kiln(["push", "-q", &elsewhere]).ok();
    assert!(pushed.stderr.contains("not all platforms of"), "{}", pushed.stderr);
    assert_ne!(pushed.stdout.trim(), index);
    assert_eq!(other.kiln(["push", "-q", &name]).ok().stdout.trim(), index);
    other.kiln(["pull", "-q", "--platform=linux/amd64", &name]).ok();
    assert_eq!(other.inspect(&name)["Platforms"], serde_json::json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(other.kiln(["push", "-q", &elsewhere]).ok().stdout.trim(), index);
    // A base for each platform of a build, of one name.
    let third = TestEnv::new();
    third.file("Dockerfile", format!("FROM {name}\nENV A=b\n"));
    let tar = format!("type=local,dest={}", third.path("out").display());
    third.kiln(["build", "--platform=linux/amd64,linux/arm64", "-t", "made", "-o", &tar, "."]).ok();
    assert_eq!(fs::read_to_string(third.path("out").join("linux_arm64/arch")).expect("a file"), "arm64");
    assert_eq!(third.inspect(&name)["Id"], index.as_str());
    let failed = third.kiln(["build", "--platform=linux/riscv64", "."]);
    failed.fails(1, &["no image for linux/riscv64; there is linux/amd64, linux/arm64"]);
}
