//! What the cache promises, sentence by sentence: where an equal result stops, what must miss and what must hit, and who
//! waits for whom.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Stdio};

use crate::environment::{Ran, TestEnv, busybox_tar, has, is_root, ran, tool};

/// Builds, changes the file `a`, of which everything reads the size alone, and builds again: only `ran` of `all` steps
/// run, and the image is the same, down to its digest.
#[track_caller]
fn check_cutoff(text: &str, ran: usize, all: usize) {
    let env = TestEnv::with_busybox();
    env.file("a", "one");
    env.file("b", "b");
    let image = || (env.image_id(), env.inspect("test")["Descriptor"]["digest"].clone());
    assert_eq!(env.build(text).ok().counts(), (all, 0), "{text}");
    let first = image();
    env.file("a", "two");
    assert_eq!(env.build(text).ok().counts(), (ran, all - ran), "{text}");
    assert_eq!(image(), first, "{text}");
}

#[test]
fn an_equal_result_stops_everywhere() {
    // The file is read by a bind mount, so that the layer of this RUN is the first of all.
    let run = "FROM busybox AS first\nRUN --mount=type=bind,target=/c wc -c < /c/a > /size\n";
    let check = |rest: &str, others: usize| check_cutoff(&format!("{run}{rest}"), 1, 1 + others);
    check("RUN cat /size > /again\n", 1);
    check("COPY b /size-of/\n", 1);
    check("WORKDIR /size-of\n", 1);
    check("ADD b /b\nRUN cat /size /b > /all\n", 2);
    check("FROM busybox\nCOPY --from=first /size /\nRUN cat /size\n", 2);
    check("FROM busybox\nRUN --mount=type=bind,from=first,target=/m cat /m/size > /s\n", 1);
    check("FROM first\nRUN cat /size > /s\n", 1);
    check("FROM first AS second\nRUN cat /size > /s\nFROM busybox\nCOPY --from=second /s /\n", 2);
    let copied = "FROM busybox AS in\nCOPY a /a\nRUN wc -c < /a > /size\nFROM busybox\nCOPY --from=in /size /\n";
    check_cutoff(copied, 2, 3);
}

/// Imports busybox with more in it; `also` fills the directory of further files.
fn import(env: &TestEnv, name: &str, also: impl FnOnce(&std::path::Path)) {
    let extra = env.path("extra");
    let _ = std::fs::remove_dir_all(&extra);
    std::fs::create_dir(&extra).expect("a directory");
    let extract = ["-xf", busybox_tar().to_str().expect("UTF-8")];
    tool(std::process::Command::new("tar").args(extract).arg("-C").arg(&extra));
    also(&extra);
    let tar = env.path("image.tar");
    let mut pack = std::process::Command::new("tar");
    pack.args(["--xattrs", "--format=pax", "--numeric-owner", "--mtime=@0", "-cf"]).arg(&tar).arg("-C");
    tool(pack.arg(&extra).arg("."));
    env.kiln(["import", tar.to_str().expect("UTF-8"), name]).ok();
}

#[test]
fn a_tag_that_moves_is_no_change_if_its_content_is_none() {
    let env = TestEnv::with_busybox();
    env.file("a", "a");
    import(&env, "base", |extra| std::fs::write(extra.join("x"), "1").expect("a file"));
    let text = "FROM base\nCOPY a /data/\nRUN cat /x | wc -c > /size\nRUN ls / > /list\n";
    assert_eq!(env.build(text).ok().counts(), (3, 0));
    // Another configuration, the same layers.
    env.file("labeled/Dockerfile", "FROM base\nLABEL a=b\n");
    env.kiln(["build", "-q", "-t", "base", "labeled"]).ok();
    assert_eq!(env.build(text).ok().counts(), (0, 3));
    // The same image by another name, and the names the other way around.
    env.kiln(["tag", "base", "another"]).ok();
    assert_eq!(env.build(&text.replace("FROM base", "FROM another")).ok().counts(), (0, 3));
    // Another file in it: a COPY does not read that, and what a RUN gives again is what it gave.
    let layers = |env: &TestEnv| env.inspect("test")["RootFS"]["Layers"].as_array().cloned().expect("layers");
    let before = layers(&env);
    import(&env, "base", |extra| std::fs::write(extra.join("x"), "2").expect("a file"));
    assert_eq!(env.build(text).ok().counts(), (2, 1));
    let after = layers(&env);
    assert_ne!(after[0], before[0]);
    assert_eq!(after[1..], before[1..]);
}

#[test]
fn what_a_copy_of_an_image_takes_is_never_stale() {
    if !has("setfattr") || !has("tar") {
        return;
    }
    let env = TestEnv::with_busybox();
    let text = "FROM busybox\nCOPY --from=source /d /d\nRUN ls -lR /d\n";
    let mut round = 0;
    let mut check = |what: &str, fill: &dyn Fn(&std::path::Path)| {
        import(&env, "source", |extra| {
            let d = extra.join("d");
            std::fs::create_dir(&d).expect("a directory");
            std::fs::write(d.join("f"), "1").expect("a file");
            std::fs::write(d.join("g"), "1").expect("a file");
            fill(&d);
        });
        assert_eq!(env.build(text).ok().counts(), (2, 0), "round {round}: {what}");
        assert_eq!(env.build(text).ok().counts(), (0, 2), "round {round}: {what}");
        round += 1;
    };
    check("the first", &|_| {});
    check("data", &|d| std::fs::write(d.join("f"), "2").expect("a file"));
    check("a mode", &|d| std::fs::set_permissions(d.join("f"), PermissionsExt::from_mode(0o640)).expect("a mode"));
    check("a name", &|d| std::fs::rename(d.join("f"), d.join("h")).expect("a rename"));
    check("a link", &|d| symlink("f", d.join("l")).expect("a link"));
    check("where a link leads", &|d| symlink("g", d.join("l")).expect("a link"));
    check("one file with two names", &|d| {
        std::fs::remove_file(d.join("g")).expect("gone");
        std::fs::hard_link(d.join("f"), d.join("g")).expect("a link");
    });
    check("a directory for a file", &|d| {
        std::fs::remove_file(d.join("g")).expect("gone");
        std::fs::create_dir(d.join("g")).expect("a directory");
    });
    check("an extended attribute", &|d| {
        tool(std::process::Command::new("setfattr").args(["-n", "user.a", "-v", "b"]).arg(d.join("f")));
    });
    if is_root() {
        check("an owner", &|d| std::os::unix::fs::chown(d.join("f"), Some(7), Some(7)).expect("an owner"));
    }
}

#[test]
fn mounts_and_named_contexts_are_never_stale() {
    let env = TestEnv::with_busybox();
    let other = env.path("other");
    std::fs::create_dir(&other).expect("a directory");
    let text = "FROM busybox AS src\nRUN --mount=type=bind,target=/c cat /c/a > /a\n\
                FROM busybox\nRUN --mount=type=bind,from=src,target=/m cat /m/a > /b\n\
                RUN --mount=type=bind,from=named,target=/n cat /n/x > /x\nCOPY --from=named x /y\n";
    let flag = format!("named={}", other.display());
    let build = || env.build_with(text, &["--build-context", &flag]).ok().counts();
    env.file("a", "1");
    std::fs::write(other.join("x"), "1").expect("a file");
    assert_eq!(build(), (4, 0));
    assert_eq!(build(), (0, 4));
    env.file("a", "2");
    // Everything above it changes for the RUN that comes after; COPY does not read that.
    assert_eq!(build(), (3, 1));
    std::fs::write(other.join("x"), "2").expect("a file");
    assert_eq!(build(), (2, 2));
    assert_eq!(env.sh("cat /b /x /y"), "222");
    std::fs::set_permissions(other.join("x"), PermissionsExt::from_mode(0o755)).expect("a mode");
    assert_eq!(build(), (2, 2));
}

#[test]
fn who_builds_and_where_is_no_input() {
    let env = TestEnv::with_busybox();
    env.file("a", "a");
    env.file("d/b", "b");
    let text = "FROM busybox\nARG UNUSED\nWORKDIR /w\nCOPY . .\nRUN cat a > b\n";
    assert_eq!(env.build(text).ok().counts(), (3, 0));
    // Another directory, home, user and umask; modes are content and stay.
    let script = "cp -rp . \"$1\" && umask 077 && cd \"$1\" && exec \"$2\" build --progress=plain .";
    let mut build = std::process::Command::new("sh");
    build.args(["-c", script, "sh"]).arg(env.path("elsewhere")).arg(crate::environment::kiln_binary());
    build.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("KILN_ROOT", env.store());
    build.env("HOME", env.path("other-home")).env("USER", "somebody").env("TZ", "Asia/Tokyo").env("LANG", "de_DE");
    build.current_dir(env.path("context")).stdin(Stdio::null());
    assert_eq!(ran(build.output().expect("sh starts")).ok().counts(), (0, 3));
}

fn spawn(env: &TestEnv, file: &str) -> Child {
    let mut build = env.command(["build", "--progress=plain", "-f", file, "."]);
    build.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kiln starts")
}

fn end(child: Child) -> Ran {
    ran(child.wait_with_output().expect("kiln ends"))
}

/// Two commands that run in two processes at once, each until it has heard of the other. If one held a lock that the other
/// needs, neither would end well; each gives up after a while.
#[test]
fn no_lock_is_held_while_a_command_runs() {
    let env = TestEnv::with_busybox();
    env.file("a", "a");
    for (own, other) in [("one", "two"), ("two", "one")] {
        let wait = format!("n=0; until [ -e /c/{other} ]; do sleep 0.1; n=$((n+1)); [ $n -lt 600 ]; done");
        env.file(
            own,
            format!(
                "FROM busybox\nCOPY a /{own}\nRUN --mount=type=cache,target=/c set -e; touch /c/{own}; {wait}\n\
                 RUN --mount=type=cache,target=/c set -e; touch /c/{own}-again; n=0; \
                 until [ -e /c/{other}-again ]; do sleep 0.1; n=$((n+1)); [ $n -lt 600 ]; done\n"
            ),
        );
    }
    let builds = [spawn(&env, "one"), spawn(&env, "two")];
    for build in builds {
        assert_eq!(end(build).ok().counts().0, 3);
    }
}

/// Four processes with four builds each, one after the other, on one store: common steps run once, others as often as
/// they differ.
#[test]
fn many_builds_on_one_store_run_what_is_common_once() {
    let env = TestEnv::with_busybox();
    for file in 0..4 {
        let text = "FROM busybox AS common\nRUN sleep 0.3; cat /proc/sys/kernel/random/uuid > /id\n\
                    FROM busybox\nCOPY --from=common /id /id\n";
        env.file(&format!("f{file}"), format!("{text}RUN echo {file} > /own\n"));
    }
    let mut total = 0;
    for _ in 0..4 {
        let builds: Vec<Child> = (0..4).map(|file| spawn(&env, &format!("f{file}"))).collect();
        total += builds.into_iter().map(|build| end(build).ok().counts().0).sum::<usize>();
    }
    assert_eq!(total, 1 + 1 + 4);
}

/// A container goes on while everything else is collected around it, also one whose stack was flattened.
#[test]
fn a_running_container_keeps_what_it_has_mounted() {
    let env = TestEnv::with_busybox();
    env.file("f", "file\n");
    let mut text = "FROM busybox\n".to_owned();
    (0..140).for_each(|n| text += &format!("COPY f /d/{n}\n"));
    env.build(&text).ok();
    let shared = env.path("shared");
    std::fs::create_dir(&shared).expect("a directory");
    let volume = format!("{}:/v", shared.display());
    let script =
        "touch /v/up; n=0; until [ -e /v/go ]; do sleep 0.1; n=$((n+1)); [ $n -lt 600 ]; done; cat /d/* | wc -l";
    let mut container = env.command(["run", "--rm", "-v", &volume, "test", "sh", "-c", script]);
    let container = container.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut container = container.expect("kiln starts");
    while !shared.join("up").exists() {
        assert!(container.try_wait().expect("a status").is_none(), "{:?}", end(container));
        std::thread::yield_now();
    }
    let flats = || std::fs::read_dir(env.store().join("flats")).map_or(0, Iterator::count);
    assert_eq!(flats(), 4);
    env.kiln(["rmi", "test", "busybox"]).ok();
    env.kiln(["prune", "-af"]).ok();
    assert_eq!(flats(), 4);
    std::fs::write(shared.join("go"), "").expect("a file");
    assert_eq!(end(container).ok().stdout, "140\n");
    env.kiln(["prune", "-af"]).ok();
    let left = |name: &str| std::fs::read_dir(env.store().join(name)).map_or(0, Iterator::count);
    assert_eq!((left("flats"), left("layers")), (0, 0));
}

/// Builds, containers and prunes at once: every container has its image whole.
#[test]
fn containers_builds_and_prunes_race() {
    let env = TestEnv::with_busybox();
    env.build("FROM busybox\nRUN for n in $(seq 50); do echo $n > /f$n; done\n").ok();
    for round in 0..3 {
        env.file("Dockerfile", format!("FROM busybox\nRUN echo {round} > /round\n"));
        let commands: [&[&str]; 6] = [
            &["prune", "-af"],
            &["run", "--rm", "test", "sh", "-c", "sleep 0.1; cat /f*"],
            &["build", "-q", "-t", "other", "."],
            &["run", "--rm", "test", "sh", "-c", "cat /f*; sleep 0.1"],
            &["prune", "-af"],
            &["prune", "--keep-storage", "1", "-f"],
        ];
        let children = commands.map(|command| {
            let mut command = env.command(command.iter().copied());
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kiln starts")
        });
        for (child, command) in children.into_iter().zip(commands) {
            let ended = end(child).ok();
            if command[0] == "run" {
                assert_eq!(ended.stdout.lines().count(), 50, "{command:?}");
            }
        }
        assert_eq!(env.kiln(["run", "--rm", "other", "cat", "/round"]).ok().stdout, format!("{round}\n"));
    }
    env.kiln(["du"]).ok();
}
