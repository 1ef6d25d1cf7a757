//! What people and programs see of a build.

use crate::environment::TestEnv;

const DOCKERFILE: &str =
    "FROM busybox AS build\nRUN echo out; echo err >&2\nFROM busybox\nCOPY --from=build /etc/passwd /p\n";

#[test]
fn plain_progress_names_steps_and_prints_output() {
    let env = TestEnv::with_busybox();
    let first = env.build(DOCKERFILE).ok().stderr;
    assert!(first.contains("RUN echo out; echo err >&2"), "{first}");
    assert!(first.lines().any(|l| l.starts_with('#') && l.ends_with(" out")), "{first}");
    assert!(first.lines().any(|l| l.starts_with('#') && l.ends_with(" err")), "{first}");
    let second = env.build(DOCKERFILE).ok().stderr;
    assert!(second.contains("CACHED") && !second.contains("DONE"), "{second}");
}

#[test]
fn json_progress_is_one_object_a_line() {
    let env = TestEnv::with_busybox();
    env.file("Dockerfile", DOCKERFILE);
    let shown = env.kiln(["build", "--progress=json", "."]).ok().stderr;
    let events: Vec<serde_json::Value> =
        shown.lines().filter(|l| l.starts_with('{')).map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert!(
        events.iter().any(|e| e["event"] == "output" && e["stream"] == "stderr" && e["text"] == "err\n"),
        "{shown}"
    );
    assert!(events.iter().any(|e| e["event"] == "finished"), "{shown}");
}

#[test]
fn a_wrong_mode_is_refused() {
    let env = TestEnv::with_busybox();
    env.build_with(DOCKERFILE, &["--progress", "fancy"]).fails(2, &["invalid progress mode `fancy`"]);
}
