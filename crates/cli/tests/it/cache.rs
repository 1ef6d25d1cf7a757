//! What is reused, and that the result is the same.

use crate::environment::TestEnv;

const DOCKERFILE: &str = "FROM busybox AS one\n\
    COPY a.txt /a.txt\n\
    RUN cat /a.txt | wc -c > /size\n\
    FROM busybox AS two\n\
    COPY b.txt /b.txt\n\
    RUN cp /b.txt /bb.txt\n\
    FROM busybox\n\
    COPY --from=one /size /size\n\
    COPY --from=two /bb.txt /bb.txt\n\
    RUN cat /size /bb.txt > /all\n";

fn env() -> TestEnv {
    let env = TestEnv::with_busybox();
    env.file("a.txt", "aaa");
    env.file("b.txt", "bbb");
    env
}

#[test]
fn a_second_build_runs_nothing_and_gives_the_same_image() {
    let env = env();
    assert_eq!(env.build(DOCKERFILE).ok().counts(), (7, 0));
    let id = env.image_id();
    assert_eq!(env.build(DOCKERFILE).ok().counts(), (0, 7));
    assert_eq!(env.image_id(), id);
}

#[test]
fn touched_files_and_another_place_still_hit() {
    let env = env();
    env.build(DOCKERFILE).ok();
    env.file("a.txt", "aaa");
    assert_eq!(env.build(DOCKERFILE).ok().counts(), (0, 7));
    let elsewhere = env.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    for name in ["Dockerfile", "a.txt", "b.txt"] {
        std::fs::copy(env.path("context").join(name), elsewhere.join(name)).expect("a copy");
    }
    let again = env.kiln(["build", "--progress=plain", elsewhere.to_str().expect("UTF-8")]).ok();
    assert_eq!(again.counts(), (0, 7));
}

#[test]
fn an_equal_result_stops_what_is_below() {
    let env = env();
    env.build(DOCKERFILE).ok();
    let id = env.image_id();
    // The size stays the same: everything that reads only the size is reused, and so is the image.
    env.file("a.txt", "zzz");
    assert_eq!(env.build(DOCKERFILE).ok().counts(), (2, 5));
    assert_eq!(env.image_id(), id);
}

#[test]
fn a_changed_file_reruns_what_reads_it_only() {
    let env = env();
    env.build(DOCKERFILE).ok();
    env.file("b.txt", "other");
    // COPY b, RUN cp, COPY --from=two, RUN cat.
    assert_eq!(env.build(DOCKERFILE).ok().counts(), (4, 3));
    assert_eq!(env.sh("cat /bb.txt"), "other");
}

#[test]
fn modes_and_names_are_content() {
    use std::os::unix::fs::PermissionsExt;
    let env = env();
    let dockerfile = "FROM busybox\nCOPY d /d\n";
    env.file("d/x", "x");
    env.build(dockerfile).ok();
    std::fs::set_permissions(env.path("context/d/x"), std::fs::Permissions::from_mode(0o600)).expect("a mode");
    assert_eq!(env.build(dockerfile).ok().counts(), (1, 0));
    std::fs::rename(env.path("context/d/x"), env.path("context/d/y")).expect("a rename");
    assert_eq!(env.build(dockerfile).ok().counts(), (1, 0));
    assert_eq!(env.sh("ls /d"), "y\n");
}

#[test]
fn an_argument_that_is_not_used_misses_no_copy() {
    let env = env();
    let dockerfile = "FROM busybox\nARG X\nCOPY a.txt /\nRUN cat /a.txt\n";
    env.build_with(dockerfile, &["--build-arg", "X=1"]).ok();
    assert_eq!(env.build_with(dockerfile, &["--build-arg", "X=2"]).ok().counts(), (1, 1));
}

#[test]
fn no_cache_runs_everything_and_keeps_equal_layers() {
    let env = env();
    env.build(DOCKERFILE).ok();
    let id = env.image_id();
    assert_eq!(env.build_with(DOCKERFILE, &["--no-cache"]).ok().counts(), (7, 0));
    assert_eq!(env.image_id(), id);
    assert_eq!(env.build_with(DOCKERFILE, &["--no-cache-filter", "two"]).ok().counts(), (2, 5));
}

#[test]
fn a_miss_is_explained() {
    let env = env();
    env.build(DOCKERFILE).ok();
    let first = env.kiln(["explain"]).ok().stdout;
    assert!(
        first.contains("ran     [one 2/3] COPY a.txt /a.txt") && first.contains("because it was never built"),
        "{first}"
    );
    env.file("a.txt", "zzz");
    env.build(DOCKERFILE).ok();
    let second = env.kiln(["explain"]).ok().stdout;
    let lines: Vec<&str> = second.lines().collect();
    let of = |step: &str| {
        let at = lines.iter().position(|line| line.contains(step)).unwrap_or_else(|| panic!("{step}\n{second}"));
        (lines[at].split_whitespace().next().expect("a word"), lines.get(at + 1).copied().unwrap_or_default().trim())
    };
    assert_eq!(of("COPY a.txt"), ("ran", "because file a.txt changed (content)"));
    assert_eq!(of("RUN cat /a.txt"), ("ran", "because what it starts from changed: [one 2/3] COPY a.txt /a.txt"));
    assert!(second.contains("with the result it had before"), "{second}");
    assert_eq!(of("COPY b.txt").0, "reused");
    env.build_with(DOCKERFILE, &["--no-cache"]).ok();
    let third = env.kiln(["explain"]).ok().stdout;
    assert!(third.contains("because the cache was ignored (--no-cache)"), "{third}");
    assert_eq!(env.kiln(["builds", "-q"]).ok().stdout.lines().count(), 3);
    env.kiln(["explain", "no-such-build"]).fails(1, &["no build `no-such-build`"]);
}

#[test]
fn a_failed_step_leaves_no_record() {
    let env = env();
    let dockerfile = "FROM busybox\nRUN touch /x && test -e /never\n";
    env.build(dockerfile).fails(1, &["exit code: 1"]);
    env.build(dockerfile).fails(1, &["exit code: 1"]);
    env.build("FROM busybox\nRUN touch /x\n").ok();
}

#[test]
fn two_builds_at_once_run_a_step_once() {
    let env = env();
    env.file("Dockerfile", "FROM busybox\nRUN sleep 1; cat /proc/sys/kernel/random/uuid > /id\n");
    let start = || {
        let mut command = env.command(["build", "--progress=plain", "."]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().expect("kiln starts")
    };
    let builds = [start(), start()];
    let mut counts: Vec<(usize, usize)> = builds
        .into_iter()
        .map(|child| crate::environment::ran(child.wait_with_output().expect("an end")).ok().counts())
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [(0, 1), (1, 0)]);
}

#[test]
fn a_cache_can_be_required() {
    let env = TestEnv::with_busybox();
    env.file("a", "1");
    let text = "FROM busybox\nCOPY a /a\nRUN cat /a > /b\n";
    let required = |flags: &[&str]| {
        let flags: Vec<&str> = ["--require-cache"].iter().chain(flags).copied().collect();
        env.build_with(text, &flags)
    };
    required(&[]).fails(1, &["Dockerfile:2:1", "it was never built", "--require-cache: a step would run"]);
    assert!(env.kiln(["builds", "-q"]).ok().stdout.is_empty(), "nothing ran");
    env.build(text).ok();
    assert_eq!(required(&[]).ok().counts(), (0, 2));
    env.file("a", "2");
    let ran = required(&[]).fails(1, &["Dockerfile:2:1", "file a changed (content)"]);
    assert!(!ran.stderr.contains("Dockerfile:3"), "what follows is not known yet\n{}", ran.stderr);
    let ran = required(&["--progress=json"]).fails(1, &[]);
    let event = ran.stderr.lines().find(|line| line.contains("missing")).expect("an event");
    let event: serde_json::Value = serde_json::from_str(event).expect("JSON");
    assert_eq!(event["reasons"][0], "file a changed (content)");
    env.file("a", "1");
    required(&["--no-cache"]).fails(1, &["the cache is ignored (--no-cache)"]);
    env.build_with("FROM busybox\nCOPY a /a\nRUN cat /a > /c\n", &["--require-cache"])
        .fails(1, &["Dockerfile:3:1", "it was never built"]);
    let changed = "FROM busybox\nARG X=1\nRUN cat > /b\n";
    env.build(changed).ok();
    env.build_with(changed, &["--require-cache", "--build-arg", "X=2"]).fails(1, &["Dockerfile:3:1", "env X changed"]);
}
