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

/// What BuildKit's `client.SolveStatus` may hold, by kind: nothing else may be there.
const FIELDS: [(&str, &[&str]); 4] = [
    ("vertexes", &["digest", "inputs", "name", "started", "completed", "cached", "error", "progressGroup"]),
    ("statuses", &["id", "vertex", "name", "total", "current", "timestamp", "started", "completed"]),
    ("logs", &["vertex", "stream", "data", "timestamp"]),
    ("warnings", &["vertex", "level", "short", "detail", "url", "sourceInfo", "range"]),
];

/// Reads lines of `--progress=rawjson`, checks each against the schema, and returns the objects of one kind.
#[track_caller]
fn raw(stderr: &str, wanted: &str) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    let mut known = std::collections::HashSet::new();
    for line in stderr.lines().filter(|line| line.starts_with('{')) {
        let status: serde_json::Value = serde_json::from_str(line).expect("JSON");
        for (kind, objects) in status.as_object().expect("an object") {
            let (_, fields) = FIELDS.iter().find(|(name, _)| name == kind).unwrap_or_else(|| panic!("{kind}: {line}"));
            for object in objects.as_array().expect("a list") {
                let names = object.as_object().expect("an object").keys();
                names.for_each(|name| assert!(fields.contains(&name.as_str()), "{kind}.{name}: {line}"));
                match kind.as_str() {
                    "vertexes" => {
                        check_vertex(object);
                        known.insert(object["digest"].clone());
                    }
                    // A status line may introduce the vertex it is about.
                    _ => assert!(
                        known.contains(&object["vertex"])
                            || status["vertexes"]
                                .as_array()
                                .is_some_and(|v| v.iter().any(|v| v["digest"] == object["vertex"])),
                        "{line}"
                    ),
                }
                if kind == wanted {
                    found.push(object.clone());
                }
            }
        }
    }
    found
}

#[track_caller]
fn check_vertex(vertex: &serde_json::Value) {
    let hex = vertex["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")).expect("a digest");
    assert!(hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{vertex}");
    let time = |name: &str| {
        vertex.get(name).map(|t| t.as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok()).expect("a time"))
    };
    if let Some(completed) = time("completed") {
        assert!(time("started").is_some_and(|started| started <= completed), "{vertex}");
    }
}

fn ended<'a>(vertexes: &'a [serde_json::Value], part: &str) -> &'a serde_json::Value {
    let of_name = |v: &&serde_json::Value| v["name"].as_str().is_some_and(|name| name.contains(part));
    vertexes
        .iter()
        .rfind(of_name)
        .filter(|v| v.get("completed").is_some())
        .unwrap_or_else(|| panic!("{part}: {vertexes:?}"))
}

#[test]
fn rawjson_progress_is_what_buildx_prints() {
    let env = TestEnv::with_busybox();
    env.file("Dockerfile", DOCKERFILE.replace("AS build", "AS Build"));
    let build = || env.kiln(["build", "--progress=rawjson", "-t", "test", "."]).ok();
    let first = build();
    assert!(first.stderr.lines().all(|line| line.starts_with('{')), "{}", first.stderr);
    let vertexes = raw(&first.stderr, "vertexes");
    for name in [
        "[internal] load build definition",
        "[internal] load metadata for docker.io/library/busybox",
        "exporting to image",
    ] {
        ended(&vertexes, name);
    }
    let (run, copy) = (ended(&vertexes, "RUN echo out"), ended(&vertexes, "COPY --from=build"));
    assert!(copy["inputs"].as_array().is_some_and(|inputs| inputs.contains(&run["digest"])), "{copy}");
    let logs = raw(&first.stderr, "logs");
    let log = |stream: u8, data: &str| {
        logs.iter().any(|l| l["stream"] == stream && l["data"] == data && l["vertex"] == run["digest"])
    };
    assert!(log(1, "b3V0Cg==") && log(2, "ZXJyCg=="), "{logs:?}");
    let warnings = raw(&first.stderr, "warnings");
    assert_eq!(warnings[0]["range"][0]["start"]["line"], 1, "{warnings:?}");
    assert!(raw(&first.stderr, "statuses").iter().any(|s| s["id"] == "named test:latest"));
    let second = raw(&build().stderr, "vertexes");
    let cached = ended(&second, "RUN echo out");
    assert_eq!((&cached["cached"], &cached["digest"]), (&true.into(), &run["digest"]), "the digest is stable");
}

#[test]
fn rawjson_tells_why_a_step_failed() {
    let env = TestEnv::with_busybox();
    let ran = env.build_with("FROM busybox\nRUN exit 3\n", &["--progress=rawjson"]).fails(1, &["Dockerfile:2"]);
    let vertexes = raw(&ran.stderr, "vertexes");
    let failed = ended(&vertexes, "RUN exit 3");
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("exit 3")), "{failed}");
}

#[test]
fn the_environment_can_choose_the_mode() {
    let env = TestEnv::with_busybox();
    env.file("Dockerfile", DOCKERFILE);
    let run = |variable: &str, flags: &[&str]| {
        let mut command = env.command(["build"].into_iter().chain(flags.iter().copied()).chain(["."]));
        command.env("BUILDKIT_PROGRESS", variable).output().expect("kiln starts")
    };
    let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text(&run("rawjson", &[])).starts_with('{'));
    assert!(text(&run("rawjson", &["--progress=plain"])).starts_with('#'));
    let wrong = run("fancy", &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong).contains("BUILDKIT_PROGRESS: invalid progress mode `fancy`"), "{}", text(&wrong));
}

#[test]
fn timings_show_phases_and_parts_of_steps() {
    let env = TestEnv::with_busybox();
    let shown = env.build_with(DOCKERFILE, &["--timings", "--iidfile", "id"]).ok().stderr;
    for phase in ["parse", "lower", "resolve", "look up", "box", "command", "diff", "commit", "write", "assemble"] {
        assert!(shown.lines().any(|l| l.contains("ms ") && l.contains(&format!(" {phase}"))), "{phase}\n{shown}");
    }
    assert!(!env.build(DOCKERFILE).ok().stderr.contains("PHASE"));
    let id = env.kiln(["builds", "-q"]).ok().stdout;
    let kept = env.kiln(["builds", "--timings", id.trim()]).ok().stdout;
    assert!(kept.contains("command") && kept.contains("RUN echo out"), "{kept}");
    env.kiln(["builds", "--timings", "nonsense"]).fails(1, &["no build `nonsense`"]);
    env.file("Dockerfile", DOCKERFILE);
    let json = env.kiln(["build", "--progress=json", "--no-cache", "."]).ok().stderr;
    let spans: Vec<serde_json::Value> = json
        .lines()
        .filter_map(|l| serde_json::from_str(l).ok())
        .filter(|e: &serde_json::Value| e["event"] == "span")
        .collect();
    let has = |phase: &str, of_step: bool| spans.iter().any(|s| s["phase"] == phase && s["vertex"].is_u64() == of_step);
    assert!(has("parse", false) && has("command", true), "{spans:?}");
}

#[test]
fn json_progress_is_nothing_but_json() {
    let env = TestEnv::with_busybox();
    let events = |text: &str, code: i32| -> Vec<serde_json::Value> {
        let ran = env.build_with(text, &["--progress=json"]).fails(code, &[]);
        ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    };
    let built = events("from busybox\nRUN echo a\nMAINTAINER x\n", 0);
    let find = |events: &[serde_json::Value], kind: &str| events.iter().find(|e| e["event"] == kind).cloned();
    let warning = find(&built, "warning").expect("a warning");
    assert!(warning["rule"].is_string() && warning["line"].is_u64(), "{warning}");
    let done = built.last().expect("an event");
    assert_eq!((&done["event"], &done["run"], &done["cached"]), (&"done".into(), &1.into(), &0.into()));
    let failed = events("FROM busybox\nRUN exit 3\n", 1);
    let error = failed.last().expect("an event");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("exit code: 3")), "{error}");
    assert_eq!(find(&events("FRM busybox\n", 1), "error").expect("an error")["event"], "error");
}
