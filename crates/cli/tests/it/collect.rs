//! What takes room, what goes, and that builds go on meanwhile.

use std::process::Stdio;

use crate::environment::{TestEnv, ran};

const DOCKERFILE: &str = "FROM busybox\nCOPY a.txt /a.txt\nRUN cat /a.txt > /b.txt\n";

fn usage(env: &TestEnv) -> serde_json::Value {
    serde_json::from_str(&env.kiln(["du", "--verify", "--format", "json"]).ok().stdout).expect("JSON")
}

#[test]
fn du_says_what_is_kept_and_why() {
    let env = TestEnv::with_busybox();
    env.file("a.txt", "a");
    env.build(DOCKERFILE).ok();
    let text = env.kiln(["du", "-v"]).ok().stdout;
    assert!(text.contains("image test"), "{text}");
    env.kiln(["rmi", "test"]).ok();
    let text = env.kiln(["du", "-v"]).ok().stdout;
    assert!(text.contains("cache of [2/3] RUN cat") || text.contains("RUN cat /a.txt"), "{text}");
    assert!(usage(&env)["reclaimable"].as_u64().expect("a number") > 0);
}

#[test]
fn prune_keeps_what_names_reach_and_explain_says_what_was_collected() {
    let env = TestEnv::with_busybox();
    env.file("a.txt", "a");
    env.build(DOCKERFILE).ok();
    let id = env.image_id();
    env.kiln(["prune", "-af"]).ok();
    assert_eq!(env.image_id(), id);
    assert_eq!(env.sh("cat /b.txt"), "a");
    assert_eq!(env.build(DOCKERFILE).ok().counts(), (0, 2), "the cache of a named image stays");
    env.kiln(["rmi", "test"]).ok();
    env.kiln(["prune", "--force"]).ok();
    assert_eq!(env.build(DOCKERFILE).ok().counts(), (0, 2), "without --all the cache stays");
    assert_eq!(env.image_id(), id, "and what was packed again is the same");
    env.kiln(["rmi", "test"]).ok();
    let dry = env.kiln(["prune", "-a", "--dry-run"]).ok().stdout;
    assert!(dry.lines().any(|line| line.starts_with("record\t")), "{dry}");
    env.kiln(["prune", "-af"]).ok();
    usage(&env);
    assert_eq!(env.build(DOCKERFILE).ok().counts(), (2, 0));
    let why = env.kiln(["explain"]).ok().stdout;
    assert!(why.contains("removed by collection on 2"), "{why}");
    assert_eq!(env.sh("cat /b.txt"), "a");
}

#[test]
fn prune_asks_and_refuses_what_it_does_not_know() {
    let env = TestEnv::new();
    env.kiln(["prune"]).fails(1, &["nobody is there to ask", "--force"]);
    env.kiln(["prune", "-f", "--filter", "label=x"]).fails(1, &["only `until=DURATION`"]);
    env.kiln(["prune", "-f", "--keep-storage", "much"]).fails(2, &["is not a size"]);
    env.kiln(["prune", "-f", "--keep-storage", "1GB", "--filter", "until=24h"]).ok();
}

#[test]
fn a_container_keeps_its_layers() {
    let env = TestEnv::with_busybox();
    env.build("FROM busybox\nRUN echo here > /file\n").ok();
    env.kiln(["run", "--name", "c", "test", "true"]).ok();
    env.kiln(["rmi", "test", "busybox"]).ok();
    env.kiln(["prune", "-af"]).ok();
    assert!(env.kiln(["du", "-v"]).ok().stdout.contains("container "));
    let layers = || std::fs::read_dir(env.store().join("layers")).expect("layers").count();
    assert_eq!(layers(), 2);
    env.kiln(["rm", "c"]).ok();
    env.kiln(["prune", "-af"]).ok();
    assert_eq!(layers(), 0);
}

#[test]
fn a_build_brings_the_store_within_its_limit() {
    let env = TestEnv::with_busybox();
    env.build("FROM busybox\nRUN head -c 3000000 /dev/zero | tr '\\0' x > /big\n").ok();
    env.kiln(["rmi", "test"]).ok();
    env.file("Dockerfile", "FROM busybox\nRUN echo small > /small\n");
    let mut build = env.command(["build", "-t", "test", "."]);
    ran(build.env("KILN_KEEP_STORAGE", "4.5MB").output().expect("kiln starts")).ok();
    let size = usage(&env)["size"].as_u64().expect("a number");
    assert!(size < 4_500_000, "{size}");
    assert_eq!(env.sh("cat /small"), "small\n");
}

/// Builds and prunes at once: every build ends well and its image works, and the store is sound in the end.
#[test]
fn builds_and_prunes_race() {
    let env = TestEnv::with_busybox();
    for round in 0..3 {
        let mut children = Vec::new();
        for name in ["one", "two"] {
            let file = format!("Dockerfile.{name}");
            env.file(&file, format!("FROM busybox\nRUN echo {round} > /round\nRUN echo {name} > /name\n"));
            let build = ["build", "--progress=plain", "-f", &file, "-t", name, "."];
            children
                .push(env.command(build).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
            let prune = ["prune", "-af"];
            children
                .push(env.command(prune).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn());
        }
        for child in children {
            ran(child.expect("kiln starts").wait_with_output().expect("kiln ends")).ok();
        }
        usage(&env);
        for name in ["one", "two"] {
            let shown = env.kiln(["run", "--rm", name, "cat", "/round", "/name"]).ok().stdout;
            assert_eq!(shown, format!("{round}\n{name}\n"));
        }
    }
}

/// Four processes build the same sixteen times on one store: each step runs once.
#[test]
fn a_step_is_run_once_for_all() {
    let env = TestEnv::with_busybox();
    let mut total = 0;
    for round in 0..16 {
        let steps = format!("RUN sleep 0.1; echo {} > /a\nRUN echo b > /b\n", round / 4);
        env.file("Dockerfile", format!("FROM busybox\n{steps}"));
        let children: Vec<_> = (0..4)
            .map(|_| {
                let mut build = env.command(["build", "--progress=plain", "-t", "test", "."]);
                build.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kiln starts")
            })
            .collect();
        for child in children {
            total += ran(child.wait_with_output().expect("kiln ends")).ok().counts().0;
        }
    }
    assert_eq!(total, 8, "two steps, four variants of the first; what follows an equal content is another key");
    usage(&env);
}
