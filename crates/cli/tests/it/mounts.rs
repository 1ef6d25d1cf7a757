//! `RUN --mount`: secrets that leave no trace, caches that stay.

use std::path::Path;
use std::process::Stdio;

use crate::environment::{Ran, TestEnv, ran};

const CANARY: &str = "canary-8f1e6c52b7";

fn assert_no_trace(directory: &Path) {
    assert_no_trace_of(CANARY, directory);
}

/// Panics if a file below `directory`, or a name, contains the canary.
pub(crate) fn assert_no_trace_of(canary: &str, directory: &Path) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = entry.path();
        assert!(!path.to_string_lossy().contains(canary), "{}", path.display());
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            assert_no_trace_of(canary, &path);
        } else if kind.is_file()
            && let Ok(bytes) = std::fs::read(&path)
        {
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

#[track_caller]
fn assert_silent(ran: &Ran) {
    assert!(!ran.stdout.contains(CANARY) && !ran.stderr.contains(CANARY), "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn a_secret_is_seen_and_leaves_no_trace() {
    let env = TestEnv::with_busybox();
    std::fs::write(env.path("key"), CANARY).expect("a file");
    let key = format!("id=key,src={}", env.path("key").display());
    let dockerfile = "FROM busybox\n\
        RUN --mount=type=secret,id=key --mount=type=secret,id=key,env=KEY \\\n\
        \x20   --mount=type=secret,id=key,target=/etc/deep/own,mode=0440,uid=7,gid=8 \\\n\
        \x20   stat -c '%a %u:%g' /run/secrets/key /etc/deep/own > /seen && wc -c < /run/secrets/key >> /seen \\\n\
        \x20   && test \"$KEY\" = \"$(cat /etc/deep/own)\" && ! touch /run/secrets/key 2>/dev/null\n\
        RUN test ! -e /run/secrets && test ! -e /etc/deep && test -z \"$KEY\"\n";
    for progress in ["plain", "json"] {
        let flags = ["--secret", &key, "--no-cache", "--progress", progress, "-o", "type=oci,dest=../out.tar"];
        let built = env.build_with(dockerfile, &flags).ok();
        assert_silent(&built);
    }
    assert_eq!(env.sh("cat /seen"), format!("400 0:0\n440 7:8\n{}\n", CANARY.len()));
    let fails = dockerfile.replace("test ! -e /etc/deep", "false");
    assert_silent(&env.build_with(&fails, &["--secret", &key]).fails(1, &["exit code: 1"]));
    for command in [&["explain"][..], &["inspect", "test"], &["history", "test"], &["builds"]] {
        assert_silent(&env.kiln(command.iter().copied()).ok());
    }
    assert_no_trace(&env.store());
    std::fs::remove_file(env.path("key")).expect("a file");
    assert_no_trace(&env.path(""));
}

#[test]
fn a_secret_in_a_variable_and_another_value_hits() {
    let env = TestEnv::with_busybox();
    let dockerfile = "FROM busybox\nRUN --mount=type=secret,id=TOKEN,env=TOKEN test -n \"$TOKEN\" && echo ok > /ok\n";
    env.file("Dockerfile", dockerfile);
    let build = |value: &str| {
        let arguments = ["build", "--progress=plain", "-t", "test", "--secret", "id=TOKEN", "."];
        let mut command = env.command(arguments);
        ran(command.env("TOKEN", value).stdin(Stdio::null()).output().expect("kiln starts")).ok()
    };
    assert_eq!(build(CANARY).counts(), (1, 0));
    assert_eq!(build("another").counts(), (0, 1));
    assert_no_trace(&env.store());
}

#[test]
fn a_secret_that_is_not_given() {
    let env = TestEnv::with_busybox();
    env.build("FROM busybox\nRUN --mount=type=secret,id=a --mount=type=secret,id=b,env=B test ! -e /run/secrets/a\n")
        .ok();
    let dockerfile = "FROM busybox\nRUN --mount=type=secret,id=a,required true\n";
    env.build(dockerfile).fails(1, &["secret a: not found", "Dockerfile:2:13", "give it with --secret id=a"]);
    env.build_with(dockerfile, &["--secret", "id=a,src=/nowhere"]).fails(1, &["failed to read secret a from /nowhere"]);
    env.build_with(dockerfile, &["--secret", "src=/nowhere"]).fails(2, &["--secret src=/nowhere: the id is missing"]);
    let big = env.file("big", vec![b'x'; (500 << 10) + 1]);
    let big = format!("id=a,src={}", big.display());
    env.build_with(dockerfile, &["--secret", &big]).fails(1, &["secret a is too big: at most 500 KiB"]);
}

#[test]
fn a_secret_that_no_variable_holds_is_not_shown() {
    let env = TestEnv::with_busybox();
    let dockerfile = "FROM busybox\nRUN --mount=type=secret,id=a,env=A true\n";
    for (bytes, why) in [(&b"canary-8f1e6c52b7\xff"[..], "not UTF-8"), (b"canary-8f1e6c52b7\0", "null byte")] {
        std::fs::write(env.path("key"), bytes).expect("a file");
        let key = format!("id=a,src={}", env.path("key").display());
        assert_silent(&env.build_with(dockerfile, &["--secret", &key]).fails(1, &[why, "Dockerfile:2:13"]));
    }
}

#[test]
fn a_cache_stays_and_is_in_no_layer() {
    let env = TestEnv::with_busybox();
    let build = |step: &str| {
        let dockerfile = format!(
            "FROM busybox\nRUN --mount=type=cache,target=/var/mine,mode=0750,uid=7,gid=8 \
             stat -c '%a %u:%g' /var/mine > /seen; ls /var/mine >> /seen; touch /var/mine/{step}\n"
        );
        env.build(&dockerfile).ok();
        env.sh("cat /seen; ls -d /var/mine 2>&1 | head -n 1")
    };
    let none = "ls: /var/mine: No such file or directory\n";
    assert_eq!(build("one"), format!("750 7:8\n{none}"));
    assert_eq!(build("two"), format!("750 7:8\none\n{none}"));
    // The content is no part of the key.
    env.build("FROM busybox\nRUN --mount=type=cache,target=/other ls /other\n").ok();
    assert_eq!(build("two"), format!("750 7:8\none\n{none}"));
}

/// What a step does to a cache is in no layer, so an empty layer does not make the next equal step one with it.
#[test]
fn equal_steps_with_a_cache_all_run_once() {
    let env = TestEnv::with_busybox();
    let fill = |id: &str| format!("RUN --mount=type=cache,id={id},target=/n echo x >>/n/f\n");
    let count = "RUN --mount=type=cache,id=a,target=/n wc -l </n/f >/count\n";
    let thrice = format!("FROM busybox\n{}{count}", fill("a").repeat(3));
    assert_eq!(env.build(&thrice).ok().counts(), (4, 0));
    assert_eq!(env.sh("cat /count"), "3\n");
    assert_eq!(env.build(&thrice).ok().counts(), (0, 4));
    // One more of them is one more that runs; what is below starts from the same.
    assert_eq!(env.build(&format!("FROM busybox\n{}{count}", fill("a").repeat(4))).ok().counts(), (1, 4));
    // Having filled one cache does not fill another.
    let other = format!("FROM busybox\n{}{}", fill("b"), count.replace("id=a", "id=b"));
    assert_eq!(env.build(&other).ok().counts(), (2, 0));
    assert_eq!(env.sh("cat /count"), "1\n");
    env.build_with(&other, &["--build-arg", "BUILDKIT_CACHE_MOUNT_NS=n"]).ok();
    assert_eq!(env.sh("cat /count"), "1\n");
    let explained = env.kiln(["explain"]).ok().stdout;
    assert!(explained.contains("cache /n changed: `b` → `n/b`"), "{explained}");
}

#[test]
fn caches_have_names_namespaces_and_seeds() {
    let env = TestEnv::with_busybox();
    env.file("seed/x", "seeded");
    let ls = |mount: &str, flags: &[&str]| {
        let dockerfile = format!(
            "FROM busybox AS seed\nRUN mkdir -m 700 /s && echo s > /s/from-stage\nFROM busybox\n\
             RUN --mount=type=cache,target=/c,{mount} ls /c > /seen; touch /c/left\n"
        );
        env.build_with(&dockerfile, &[flags, &["--no-cache"]].concat()).ok();
        env.sh("cat /seen")
    };
    assert_eq!(ls("id=a", &[]), "");
    assert_eq!(ls("id=a", &[]), "left\n");
    assert_eq!(ls("id=a,sharing=locked", &[]), "left\n");
    assert_eq!(ls("id=b", &[]), "");
    assert_eq!(ls("id=a", &["--build-arg", "BUILDKIT_CACHE_MOUNT_NS=n"]), "");
    assert_eq!(ls("id=a,from=seed,source=/s", &[]), "from-stage\n");
    assert_eq!(ls("id=a,from=seed,source=/s", &[]), "from-stage\nleft\n");
    let context = env.path("context/seed");
    let context = format!("named={}", context.display());
    assert_eq!(ls("id=a,from=named", &["--build-context", &context]), "x\n");
    assert_eq!(std::fs::read_dir(env.path("context/seed")).expect("a directory").count(), 1);
}

#[test]
fn locked_steps_take_turns_and_shared_ones_do_not_wait() {
    let env = TestEnv::with_busybox();
    // Whoever finds the mark of another has not been alone.
    let step = |sharing: &str, number: u32| {
        format!(
            "FROM busybox AS s{number}\nRUN --mount=type=cache,id=l,target=/c,sharing={sharing} \
             test ! -e /c/busy && touch /c/busy && sleep 0.2 && rm /c/busy && echo {number} > /n\n"
        )
    };
    for sharing in ["locked", "private"] {
        let stages: String = (0..4).map(|number| step(sharing, number)).collect();
        let copies: String = (0..4).map(|number| format!("COPY --from=s{number} /n /n{number}\n")).collect();
        env.build(&format!("{stages}FROM busybox\n{copies}")).ok();
    }
    // Each waits for the other, so both run at once on the same directory.
    let meet = |mine: &str, theirs: &str| {
        format!(
            "FROM busybox AS {mine}\nRUN --mount=type=cache,id=m,target=/c touch /c/{mine}; \
             for i in $(seq 600); do test -e /c/{theirs} && exit 0; sleep 0.1; done; exit 1\n"
        )
    };
    let both = "FROM busybox\nCOPY --from=aa /etc/passwd /a\nCOPY --from=bb /etc/passwd /b\n";
    env.build(&format!("{}{}{both}", meet("aa", "bb"), meet("bb", "aa"))).ok();
}
