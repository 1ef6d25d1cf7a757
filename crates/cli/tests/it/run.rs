//! `kiln run`, `ps` and `rm`.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::environment::{TestEnv, has, tool};

#[test]
fn exit_codes_are_dockers() {
    let env = TestEnv::with_busybox();
    env.kiln(["run", "--rm", "busybox", "sh", "-c", "exit 7"]).fails(7, &[]);
    env.kiln(["run", "--rm", "--init", "busybox", "sh", "-c", "kill -TERM $$"]).fails(143, &[]);
    env.kiln(["run", "--rm", "busybox", "no-such-program"]).fails(127, &["no-such-program"]);
    env.kiln(["run", "--rm", "busybox", "/etc/passwd"]).fails(126, &["/etc/passwd"]);
    env.kiln(["run", "--rm", "-v", "nope", "busybox", "true"]).fails(125, &["--volume nope"]);
    env.kiln(["run", "--no-such-flag", "busybox"]).fails(125, &["--no-such-flag"]);
    let store = env.store();
    let store = store.to_str().expect("UTF-8");
    env.kiln(["--root", store, "run", "--no-such-flag", "busybox"]).fails(125, &["--no-such-flag"]);
    env.kiln(["--root", "run", "images", "--no-such-flag"]).fails(2, &["--no-such-flag"]);
    let no_text = std::os::unix::ffi::OsStrExt::from_bytes(b"--\xff");
    let ran = |words: &[&str]| {
        crate::environment::ran(
            env.command(words.iter().copied()).arg::<&OsStr>(no_text).output().expect("kiln starts"),
        )
    };
    ran(&["run"]).fails(125, &[]);
    ran(&["images"]).fails(2, &[]);
    env.kiln(["run", "--rm", "busybox"]).fails(125, &["the image has no command"]);
    env.kiln(["run", "--rm", "127.0.0.1:1/nothing", "true"]).fails(125, &["127.0.0.1:1"]);
}

#[test]
fn flags_change_what_the_command_sees() {
    let env = TestEnv::with_busybox();
    let sh = |flags: &[&str], script: &str| {
        let run = ["run", "--rm"].into_iter().chain(flags.iter().copied()).chain(["busybox", "sh", "-c", script]);
        env.kiln(run).ok().stdout
    };
    assert_eq!(sh(&["-e", "A=1", "-e", "B=x y"], "echo $A $B"), "1 x y\n");
    assert_eq!(sh(&["-w", "/made/here"], "pwd"), "/made/here\n");
    assert_eq!(sh(&["-u", "nobody"], "id -un; id -u"), "nobody\n65534\n");
    assert_eq!(sh(&["-u", "12:34"], "id -u; id -g"), "12\n34\n");
    assert_eq!(sh(&["--hostname", "box"], "hostname"), "box\n");
    assert_eq!(sh(&["--network", "none"], "ls /sys/class/net"), "lo\n");
    assert_eq!(sh(&["--read-only"], "touch /x 2>/dev/null || echo no"), "no\n");
    assert_eq!(sh(&["--init"], "cat /proc/1/cmdline | tr '\\0' ' ' | grep -c 'sh -c'; true"), "0\n");
    assert_eq!(sh(&[], "echo $$; read name < /proc/1/comm; echo $name"), "1\nsh\n");
    assert_eq!(env.kiln(["run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"]).ok().stdout, "a b\n");
}

#[test]
fn volumes_are_shared_with_the_machine() {
    let env = TestEnv::with_busybox();
    env.file("in.txt", "from outside");
    let context = env.path("context");
    let mount = format!("{}:/mnt", context.display());
    env.kiln(["run", "--rm", "-v", &mount, "busybox", "sh", "-c", "cp /mnt/in.txt /mnt/out.txt"]).ok();
    assert_eq!(std::fs::read_to_string(context.join("out.txt")).expect("written"), "from outside");
    let read_only = format!("{mount}:ro");
    env.kiln(["run", "--rm", "-v", &read_only, "busybox", "touch", "/mnt/x"]).fails(1, &["Read-only"]);
}

#[test]
fn stdin_is_handed_over_only_when_asked() {
    let env = TestEnv::with_busybox();
    for (flags, expected) in [(&["-i"][..], "hello"), (&[][..], "")] {
        let arguments = ["run", "--rm"].into_iter().chain(flags.iter().copied()).chain(["busybox", "cat"]);
        let mut child =
            env.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("kiln starts");
        // Without -i nobody reads it.
        let _ = child.stdin.take().expect("a pipe").write_all(b"hello");
        let mut text = String::new();
        child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("text");
        assert!(child.wait().expect("an end").success());
        assert_eq!(text, expected);
    }
}

#[test]
fn signals_reach_the_command() {
    let env = TestEnv::with_busybox();
    let script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut child = env
        .command(["run", "--rm", "busybox", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("kiln starts");
    let mut out = child.stdout.take().expect("a pipe");
    let mut ready = [0; 6];
    out.read_exact(&mut ready).expect("the command starts");
    tool(Command::new("kill").args(["-TERM", &child.id().to_string()]));
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    assert_eq!((rest.as_str(), child.wait().expect("an end").code()), ("caught\n", Some(9)));
}

#[test]
fn a_terminal_is_a_terminal() {
    if !has("script") {
        return;
    }
    let env = TestEnv::with_busybox();
    let kiln = format!(
        "{} run --rm -it busybox sh -c 'test -t 0 && test -t 1 && stty size && echo yes; exit 3'",
        crate::environment::kiln_binary().display()
    );
    let inner = format!("stty rows 33 cols 77; {kiln}; echo code=$?");
    let mut script = Command::new("script");
    script.args(["-qec", &inner, "/dev/null"]).env("KILN_ROOT", env.store()).env("HOME", env.path("home"));
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script starts");
    // Kept open: at its end `script` ends the terminal's input, and that may be before anything has begun.
    let stdin = script.stdin.take();
    let shown = String::from_utf8(script.wait_with_output().expect("an end").stdout).expect("text");
    drop(stdin);
    assert!(shown.contains("33 77") && shown.contains("yes") && shown.contains("code=3"), "{shown}");
}

#[test]
fn containers_stay_until_they_are_removed() {
    let env = TestEnv::with_busybox();
    env.kiln(["run", "--name", "kept", "busybox", "sh", "-c", "exit 4"]).fails(4, &[]);
    env.kiln(["run", "--name", "kept", "busybox", "true"]).fails(125, &["name `kept` is taken"]);
    let listed = env.kiln(["ps", "-a"]).ok().stdout;
    assert!(listed.contains("kept") && listed.contains("exited (4)"), "{listed}");
    assert_eq!(env.kiln(["ps", "-q"]).ok().stdout, "");
    env.kiln(["rm", "kept"]).ok();
    assert_eq!(env.kiln(["ps", "-aq"]).ok().stdout, "");
    env.kiln(["rm", "kept"]).fails(1, &["no such container: kept"]);
}

#[test]
fn what_stands_after_the_image_is_the_containers() {
    let env = TestEnv::with_busybox();
    env.build("FROM busybox\nENTRYPOINT [\"echo\"]\n").ok();
    let said = |words: &[&str]| env.kiln(["run", "--rm", "test"].iter().chain(words).copied()).ok().stdout;
    assert_eq!(said(&["--version", "-u", "root", "--", "--rm"]), "--version -u root -- --rm\n");
    assert_eq!(said(&["--", "x"]), "-- x\n");
}

#[test]
fn options_that_kiln_has_not_are_refused_by_name() {
    let env = TestEnv::with_busybox();
    for words in [&["-d"][..], &["-p", "80:80"], &["--mount", "type=bind"], &["--env-file=x"], &["--privileged"]] {
        let name = words[0].split('=').next().unwrap_or_default();
        let said = format!("{name} is not supported: ");
        env.kiln(["run"].iter().chain(words).chain(&["busybox", "true"]).copied()).fails(125, &[&said]);
    }
    env.kiln(["run", "--entrypoin", "x", "busybox"]).fails(125, &["--entrypoin", "--entrypoint"]);
}
