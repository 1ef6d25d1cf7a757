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
fn a_changed_base_image_is_told_by_its_digests() {
    let env = env();
    let base = |label: &str| {
        env.file("base/Dockerfile", format!("FROM busybox\nRUN echo {label} > /label\n"));
        env.kiln(["build", "-t", "base:1", "base"]).ok();
        env.inspect("base:1")["Descriptor"]["digest"].as_str().expect("a digest").to_owned()
    };
    let text = "FROM base:1\nRUN cat /label > /copy\nRUN cat /copy > /again\n";
    let first = base("first");
    env.build(text).ok();
    let second = base("second");
    let required = env.build_with(text, &["--require-cache"]);
    let said = format!("the base image changed: `base:1@{first}` → `base:1@{second}`");
    required.fails(1, &[&said]);
    env.build(text).ok();
    let explained = env.kiln(["explain"]).ok().stdout;
    let lines: Vec<&str> = explained.lines().map(str::trim).collect();
    assert_eq!(lines[2], format!("because {said}"), "{explained}");
    assert_eq!(lines[4], "because what it starts from changed: [2/3] RUN cat /label > /copy", "{explained}");
    // Another name is another base image, too.
    env.kiln(["tag", "busybox", "plain"]).ok();
    env.file("label", "x");
    env.build("FROM plain\nRUN cat /label > /copy || true\n").ok();
    let explained = env.kiln(["explain"]).ok().stdout;
    assert!(
        explained.contains(&format!("the base image changed: `base:1@{second}` → `plain:latest@sha256:")),
        "{explained}"
    );
}

#[test]
fn a_build_is_known_by_all_its_names() {
    let env = env();
    env.build_with("FROM busybox\nRUN echo 1 > /1\n", &["-t", "example.com/other:v2"]).ok();
    env.kiln(["build", "-t", "unrelated", "--build-arg", "A=1", "."]).ok();
    env.file("Dockerfile", "FROM busybox\nRUN echo 2 > /2\n");
    env.kiln(["build", "-t", "unrelated", "."]).ok();
    assert!(env.kiln(["builds"]).ok().stdout.contains("test:latest, example.com/other:v2"));
    for name in ["test", "example.com/other:v2"] {
        assert!(env.kiln(["explain", name]).ok().stdout.contains("RUN echo 1 > /1"), "{name}");
    }
}

#[test]
fn a_changed_instruction_is_compared_with_what_was_in_its_place() {
    let env = TestEnv::with_busybox();
    let because = |text: &str, step: &str| {
        env.build(text).ok();
        let shown = env.kiln(["explain", step]).ok().stdout;
        shown.lines().nth(1).unwrap_or_default().trim().to_owned()
    };
    env.build("FROM busybox\nRUN echo a > /a\nRUN echo b > /b\n").ok();
    let changed = because("FROM busybox\nRUN echo a > /a\nRUN echo c > /b\n", "echo c");
    assert_eq!(changed, "because the command changed: `echo b > /b` → `echo c > /b`");
    // One more step is no change of those after it.
    let new = because("FROM busybox\nRUN echo n > /n\nRUN echo a > /a\nRUN echo c > /b\n", "echo n");
    assert_eq!(new, "because it was never built");
    let user = because("FROM busybox\nRUN echo n > /n\nUSER nobody\nRUN echo a > /tmp/a\n", "tmp/a");
    assert_eq!(user, "because the command changed: `echo a > /a` → `echo a > /tmp/a`");
}

#[test]
fn builds_are_named_by_the_start_of_an_id_by_image_and_by_step() {
    let env = TestEnv::with_busybox();
    env.build("FROM busybox\nRUN echo first\n").ok();
    let first = env.kiln(["builds", "-q"]).ok().stdout;
    env.file("Dockerfile", "FROM busybox\nRUN echo second\n");
    env.kiln(["build", "-t", "other", "."]).ok();
    let explain = |words: &[&str]| env.kiln(["explain"].iter().chain(words).copied()).ok().stdout;
    let start = &first.trim()[..first.trim().len() - 1];
    for words in [&[start][..], &["test"], &["test", "first"]] {
        assert!(explain(words).contains("RUN echo first"), "{words:?}");
    }
    assert!(explain(&["second"]).starts_with("ran "), "a step of the last build");
    assert!(env.kiln(["builds", "--timings", start]).ok().stdout.contains("RUN echo first"));
    env.kiln(["explain", "0"]).fails(1, &["`0` is the start of the ids of 2 builds"]);
    env.kiln(["explain", "test", "second"]).fails(1, &["no step of build", "contains `second`"]);
    env.kiln(["explain", "neither", "second"]).fails(1, &["no build `neither`, nor one of an image of that name"]);
    env.kiln(["explain", "neither"]).fails(1, &["no build `neither`", "no step of the last build"]);
}

#[test]
fn a_failed_build_is_listed_and_explained() {
    let env = TestEnv::with_busybox();
    let text = "FROM busybox\nRUN echo a > /a\nRUN echo b > /b && false\nRUN echo c\n";
    let failed = env.build_with(text, &["--timings"]).fails(1, &["exit code: 1"]);
    assert!(failed.stderr.contains("PHASE") && failed.stderr.contains(" solve"), "{}", failed.stderr);
    let listed = env.kiln(["builds"]).ok().stdout;
    assert!(listed.contains("2     0        failed at [3/4] RUN echo b > /b && false   test:latest"), "{listed}");
    let lines =
        |shown: &str| shown.lines().map(|line| line.split(" (").next().unwrap_or(line).to_owned()).collect::<Vec<_>>();
    let shown = lines(&env.kiln(["explain"]).ok().stdout);
    assert!(shown[0].starts_with("build ") && shown[0].ends_with("exit code: 1"), "{}", shown[0]);
    assert_eq!(
        shown[1..],
        [
            "base    [1/4] FROM docker.io/library/busybox:latest",
            "ran     [2/4] RUN echo a > /a",
            "        because it was never built",
            "failed  [3/4] RUN echo b > /b && false",
            "        because it was never built",
            "not run [4/4] RUN echo c",
        ]
    );
    env.build("FROM busybox\nRUN echo a > /a\nRUN echo b > /b\n").ok();
    env.build("FROM busybox\nRUN echo a > /a\nRUN echo b > /c && false\n").fails(1, &[]);
    let shown = env.kiln(["explain", "/c"]).ok().stdout;
    assert!(shown.contains("because the command changed: `echo b > /b` → `echo b > /c && false`"), "{shown}");
}

#[test]
fn a_build_that_was_canceled_or_could_not_write_says_so() {
    let env = TestEnv::with_busybox();
    env.file("Dockerfile", "FROM busybox\nRUN echo begun && sleep 1000\n");
    let mut command = env.command(["build", "--progress=plain", "."]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().expect("kiln starts");
    let mut shown = std::io::BufReader::new(child.stderr.take().expect("stderr"));
    let mut line = String::new();
    while !line.contains(" begun\n") || line.contains("RUN") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut shown, &mut line).expect("a line"), 0, "the step runs");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    assert!(env.kiln(["builds"]).ok().stdout.contains("canceled"));
    let shown = env.kiln(["explain"]).ok().stdout;
    assert!(shown.contains(" was canceled\n") && shown.contains("\nstopped [2/2] RUN echo begun"), "{shown}");

    env.file("Dockerfile", "FROM busybox\nRUN mkdir /out\n");
    env.kiln(["build", "-t", "127.0.0.1:1/test", "--push", "."]).fails(1, &["127.0.0.1:1"]);
    assert!(env.kiln(["builds"]).ok().stdout.contains("failed to write its outputs"));
    let shown = env.kiln(["explain"]).ok().stdout;
    assert!(shown.contains("failed after its steps: ") && shown.contains("\nran     [2/2] RUN mkdir"), "{shown}");
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
        .fails(1, &["Dockerfile:3:1", "the command changed: `cat /a > /b` → `cat /a > /c`"]);
    let changed = "FROM busybox\nARG X=1\nRUN cat > /b\n";
    env.build(changed).ok();
    env.build_with(changed, &["--require-cache", "--build-arg", "X=2"]).fails(1, &["Dockerfile:3:1", "env X changed"]);
}
