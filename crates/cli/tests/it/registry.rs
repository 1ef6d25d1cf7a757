//! A real registry server on the loopback interface.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::environment::{TestEnv, has, tool};

/// Debian's `docker-registry` with a directory of its own; ends on drop.
struct Server {
    child: Child,
    host: String,
}

impl Server {
    fn start(env: &TestEnv) -> Option<Self> {
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
        // The machine's own file of credentials may be another user's.
        let credentials = env.path("auth.json");
        fs::write(&credentials, "{}").expect("a file");
        let mut skopeo = Command::new("skopeo");
        skopeo.env("REGISTRY_AUTH_FILE", credentials);
        let shown = tool(skopeo.args(["inspect", "--tls-verify=false", &format!("docker://{name}")]));
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
