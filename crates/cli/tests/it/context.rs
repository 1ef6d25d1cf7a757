//! Build contexts that are not directories.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::environment::{Ran, TestEnv, ran, tool};

/// Packs the build context as `name`, with further flags of tar.
fn pack(env: &TestEnv, name: &str, flags: &[&str]) -> std::path::PathBuf {
    let tar = env.path(name);
    tool(Command::new("tar").arg("-C").arg(env.path("context")).args(flags).arg("-cf").arg(&tar).arg("."));
    tar
}

fn build_from(env: &TestEnv, stdin: &std::path::Path, flags: &[&str]) -> Ran {
    let arguments = ["build", "--progress=plain", "-t", "test"].into_iter().chain(flags.iter().copied()).chain(["-"]);
    let mut command = env.command(arguments);
    command.current_dir(env.path("home"));
    ran(command.stdin(Stdio::from(File::open(stdin).unwrap())).output().unwrap())
}

#[test]
fn an_archive_on_stdin_is_the_context() {
    let env = TestEnv::with_busybox();
    env.file("Dockerfile", "FROM busybox\nCOPY . /o/\n");
    env.file("d/a", "a");
    env.file("d/secret", "s");
    env.file(".wh.name", "kept");
    env.file(".dockerignore", "**/secret\nDockerfile\n");
    for (name, flag) in [("plain", None), ("gzip", Some("-z")), ("bzip2", Some("-j")), ("xz", Some("-J"))] {
        let tar = pack(&env, name, flag.as_slice());
        build_from(&env, &tar, &[]).ok();
        assert_eq!(
            env.sh("cd /o && find . -type f | sort | tr '\\n' ' '"),
            "./.dockerignore ./.wh.name ./d/a ",
            "{name}"
        );
    }
    // Times and the place it was unpacked to do not count.
    let (steps, _) = build_from(&env, &pack(&env, "again", &[]), &[]).ok().counts();
    assert_eq!(steps, 0);
}

#[test]
fn the_dockerfile_in_an_archive_may_have_another_name() {
    let env = TestEnv::with_busybox();
    env.file("sub/My.Dockerfile", "FROM busybox\nCOPY . /o/\n");
    env.file("sub/My.Dockerfile.dockerignore", "b");
    env.file(".dockerignore", "a");
    env.file("a", "a");
    env.file("b", "b");
    let tar = pack(&env, "tar", &[]);
    build_from(&env, &tar, &["-f", "./sub/My.Dockerfile"]).ok();
    assert_eq!(env.sh("ls /o | tr '\\n' ' '"), "a sub ");
    build_from(&env, &tar, &[]).fails(1, &["failed to read Dockerfile of stdin"]);
}

#[test]
fn no_link_of_an_archive_leads_out_of_it() {
    let env = TestEnv::with_busybox();
    let outside = env.path("outside");
    std::fs::write(&outside, "FROM busybox\nLABEL out=side\n").unwrap();
    std::os::unix::fs::symlink(&outside, env.path("context/Dockerfile")).unwrap();
    build_from(&env, &pack(&env, "tar", &[]), &[]).fails(1, &["failed to read Dockerfile of stdin"]);
}

#[test]
fn what_is_no_archive_is_a_dockerfile() {
    let env = TestEnv::with_busybox();
    let dockerfile = env.path("text");
    std::fs::write(&dockerfile, "FROM busybox\nLABEL from=stdin\n").unwrap();
    build_from(&env, &dockerfile, &[]).ok();
    assert_eq!(env.inspect("test")["Config"]["Labels"]["from"], "stdin");
    build_from(&env, &dockerfile, &["-f", "x"]).fails(1, &["stdin is not an archive"]);
    std::fs::write(&dockerfile, [b"\x1f\x8b\x08".as_slice(), &[0; 600]].concat()).unwrap();
    build_from(&env, &dockerfile, &[]).fails(1, &["failed to unpack stdin"]);
}
