//! Commands: what they get, what they give back, and how they fail.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use sandbox::{ErrorKind, Io, Rlimit, Rootfs, Status};

use super::fixture::{Fixture, chain, tree, upper};
use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("output_is_separate", output_is_separate),
    ("codes_and_signals_come_back", codes_and_signals_come_back),
    ("commands_are_looked_up", commands_are_looked_up),
    ("what_cannot_run_says_why", what_cannot_run_says_why),
    ("environment_is_exact", environment_is_exact),
    ("a_megabyte_of_environment_arrives", a_megabyte_of_environment_arrives),
    ("working_directory_is_made", working_directory_is_made),
    ("upper_holds_what_was_written", upper_holds_what_was_written),
    ("an_upper_can_be_used_again", an_upper_can_be_used_again),
    ("a_directory_can_be_the_root", a_directory_can_be_the_root),
    ("without_layers_the_upper_is_the_root", without_layers_the_upper_is_the_root),
    ("read_only_roots_are", read_only_roots_are),
    ("four_hundred_layers", four_hundred_layers),
    ("long_paths_of_layers", long_paths_of_layers),
    ("a_missing_layer_is_named", a_missing_layer_is_named),
    ("limits_apply", limits_apply),
    ("usage_is_measured", usage_is_measured),
    ("input_is_read", input_is_read),
    ("one_box_without_a_launcher", one_box_without_a_launcher),
    ("null_bytes_are_refused", null_bytes_are_refused),
];

fn output_is_separate(fixture: &Fixture) {
    let output = fixture.run(&fixture.shell("echo out; echo err >&2"));
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
}

fn codes_and_signals_come_back(fixture: &Fixture) {
    assert_eq!(fixture.run(&fixture.shell("exit 7")).status, Status::Code(7));
    // The first process of a namespace cannot kill itself; one that the shell waits for can.
    assert_eq!(fixture.run(&fixture.shell("sh -c 'kill -9 $$'; exit $?")).status, Status::Code(137));
    let mut child = fixture.spawn(&fixture.shell("sleep 1000"));
    child.signal(libc::SIGKILL).unwrap();
    assert_eq!(child.wait().unwrap().status, Status::Signal(9));
    assert_eq!(child.wait().unwrap().status.code(), 137);
}

fn commands_are_looked_up(fixture: &Fixture) {
    assert_eq!(fixture.run(&fixture.command(&["echo", "hello"])).good(), "hello");
    let mut spec = fixture.command(&["echo", "hello"]);
    spec.env.clear();
    assert_eq!(fixture.run(&spec).good(), "hello");
    let mut spec = fixture.command(&["./echo", "hello"]);
    spec.cwd = "/bin".into();
    assert_eq!(fixture.run(&spec).good(), "hello");
}

fn what_cannot_run_says_why(fixture: &Fixture) {
    #[track_caller]
    fn check(fixture: &Fixture, command: &str, kind: ErrorKind, text: &str) {
        let mut spec = fixture.command(&[command]);
        let base = fixture.directory();
        fs::write(base.join("plain"), "no program").unwrap();
        fs::create_dir(base.join("bin")).unwrap();
        fs::write(base.join("bin/plain-in-path"), "no program").unwrap();
        for (name, text) in [("binary", "\x01\x02 no program"), ("script", "#!/no/such/interpreter\n")] {
            fs::write(base.join(name), text).unwrap();
            fs::set_permissions(base.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let Rootfs::Overlay { lowers, .. } = &mut spec.rootfs else { unreachable!() };
        lowers.insert(0, base);
        let error = fixture.try_run(&spec).unwrap_err();
        assert_eq!((chain(&error).as_str(), error.kind()), (text, kind));
    }
    let (missing, refused) = (ErrorKind::NotFound, ErrorKind::NotExecutable);
    check(fixture, "nope", missing, "exec: \"nope\": executable file not found in $PATH");
    check(fixture, "/bin/nope", missing, "exec: \"/bin/nope\": no such file or directory");
    check(fixture, "/etc/passwd/x", missing, "exec: \"/etc/passwd/x\": no such file or directory");
    let text = "exec: \"/script\": the file exists, but the interpreter it names does not";
    check(fixture, "/script", missing, text);
    check(fixture, "/plain", refused, "exec: \"/plain\": Permission denied (os error 13)");
    check(fixture, "/etc", refused, "exec: \"/etc\": Permission denied (os error 13)");
    check(fixture, "plain-in-path", refused, "exec: \"plain-in-path\": Permission denied (os error 13)");
    check(fixture, "/binary", refused, "exec: \"/binary\": Exec format error (os error 8)");
    check(fixture, "", ErrorKind::Invalid, "no command was given");
}

fn environment_is_exact(fixture: &Fixture) {
    let mut spec = fixture.command(&["/bin/env"]);
    spec.env = vec![("B".into(), "2=3".into()), ("A".into(), String::new())];
    assert_eq!(fixture.run(&spec).good(), "B=2=3\nA=\nHOME=/root");
    spec.env.push(("HOME".into(), "/elsewhere".into()));
    assert_eq!(fixture.run(&spec).good(), "B=2=3\nA=\nHOME=/elsewhere");
}

fn a_megabyte_of_environment_arrives(fixture: &Fixture) {
    let mut spec = fixture.shell("env | wc -c");
    for number in 0..16 {
        spec.env.push((format!("V{number}"), "x".repeat(65_536)));
    }
    let count: usize = fixture.run(&spec).good().parse().unwrap();
    assert!(count > 1 << 20, "{count}");
    // One string of the kernel's limit (execve(2): 32 pages) is too long, and that is said.
    spec.env.push(("LONG".into(), "x".repeat(131_072)));
    let error = fixture.try_run(&spec).unwrap_err();
    assert_eq!(chain(&error), "exec: \"/bin/sh\": Argument list too long (os error 7)");
}

fn working_directory_is_made(fixture: &Fixture) {
    let mut spec = fixture.shell("pwd; stat -c '%a %u %g' . ..");
    spec.cwd = "/srv/a/b".into();
    assert_eq!(fixture.run(&spec).good(), "/srv/a/b\n755 0 0\n755 0 0");
    assert_eq!(tree(upper(&spec)), ["srv", "srv/a", "srv/a/b"]);
    let output = fixture.run(&spec);
    assert!(output.exit.stubs.is_empty(), "{output:?}");
    spec.cwd = "/etc/passwd".into();
    let error = chain(&fixture.try_run(&spec).unwrap_err());
    assert_eq!(error, "entering the working directory /etc/passwd: Not a directory (os error 20)");
}

fn upper_holds_what_was_written(fixture: &Fixture) {
    let spec = fixture.shell("umask; echo hi > /etc/new; rm /etc/group; mkdir /d; echo x > /tmp/t");
    assert_eq!(fixture.run(&spec).good(), "0022");
    assert_eq!(tree(upper(&spec)), ["d", "etc", "etc/group", "etc/new", "tmp", "tmp/t"]);
    assert_eq!(fs::read(upper(&spec).join("etc/new")).unwrap(), b"hi\n");
    // A box without anything to do leaves nothing.
    let spec = fixture.shell(":");
    fixture.run(&spec).good();
    assert!(tree(upper(&spec)).is_empty());
}

fn an_upper_can_be_used_again(fixture: &Fixture) {
    let mut spec = fixture.shell("echo one > /file");
    fixture.run(&spec).good();
    spec.argv = vec!["/bin/cat".into(), "/file".into()];
    assert_eq!(fixture.run(&spec).good(), "one");
    assert_eq!(fixture.run(&spec).good(), "one");
}

fn a_directory_can_be_the_root(fixture: &Fixture) {
    let path = fixture.directory();
    fs::create_dir(path.join("bin")).unwrap();
    fs::copy("/bin/busybox", path.join("bin/sh")).unwrap();
    let mut spec = fixture.shell("echo here > /file");
    spec.rootfs = Rootfs::Directory { path: path.clone(), read_only: false };
    let output = fixture.run(&spec);
    assert_eq!(output.exit.stubs, ["/proc", "/dev", "/sys"]);
    assert_eq!(tree(&path), ["bin", "bin/sh", "dev", "file", "proc", "sys"]);
}

fn without_layers_the_upper_is_the_root(fixture: &Fixture) {
    let mut spec = fixture.command(&["/sh", "-c", "echo $0"]);
    fs::copy("/bin/busybox", upper(&spec).join("sh")).unwrap();
    let Rootfs::Overlay { lowers, .. } = &mut spec.rootfs else { unreachable!() };
    lowers.clear();
    assert_eq!(fixture.run(&spec).good(), "/sh");
}

fn read_only_roots_are(fixture: &Fixture) {
    let mut spec = fixture.shell("touch /x; touch /dev/shm/x && echo shm; echo > /dev/null && echo null");
    let Rootfs::Overlay { read_only, .. } = &mut spec.rootfs else { unreachable!() };
    *read_only = true;
    spec.hosts = Some(b"127.0.0.1 localhost\n".to_vec());
    let output = fixture.run(&spec);
    assert_eq!(output.stdout, "shm\nnull\n");
    assert_eq!(output.stderr, "touch: /x: Read-only file system\n");
}

fn four_hundred_layers(fixture: &Fixture) {
    let mut spec = fixture.shell("cat /number; ls /numbers | wc -l");
    let Rootfs::Overlay { lowers, .. } = &mut spec.rootfs else { unreachable!() };
    let layers = fixture.directory();
    for number in 0..400 {
        let layer = layers.join(number.to_string());
        fs::create_dir_all(layer.join("numbers")).unwrap();
        fs::write(layer.join("number"), number.to_string()).unwrap();
        fs::write(layer.join("numbers").join(number.to_string()), "").unwrap();
        lowers.insert(0, layer);
    }
    assert_eq!(fixture.run(&spec).good(), "399400");
}

fn long_paths_of_layers(fixture: &Fixture) {
    let mut long = fixture.directory();
    for _ in 0..3 {
        long.push("x".repeat(200));
    }
    long.push("with:colon,comma\\backslash");
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("found"), "yes").unwrap();
    let mut spec = fixture.shell("cat /found");
    let Rootfs::Overlay { lowers, .. } = &mut spec.rootfs else { unreachable!() };
    lowers.insert(0, long);
    assert_eq!(fixture.run(&spec).good(), "yes");
}

fn a_missing_layer_is_named(fixture: &Fixture) {
    let mut spec = fixture.shell(":");
    let Rootfs::Overlay { lowers, .. } = &mut spec.rootfs else { unreachable!() };
    lowers.push("/no/such/layer".into());
    let error = chain(&fixture.try_run(&spec).unwrap_err());
    assert!(error.contains("/no/such/layer") && error.contains("No such file"), "{error}");
}

fn limits_apply(fixture: &Fixture) {
    // `RLIMIT_NOFILE` and `RLIMIT_CORE`, whose types differ between C libraries.
    const NOFILE: u32 = 7;
    const CORE: u32 = 4;
    let mut spec = fixture.shell("ulimit -n; ulimit -c");
    spec.rlimits = vec![
        Rlimit { resource: NOFILE, soft: 77, hard: 99 },
        Rlimit { resource: CORE, soft: 0, hard: 0 },
        // No such resource: left out.
        Rlimit { resource: 99, soft: 0, hard: 0 },
    ];
    assert_eq!(fixture.run(&spec).good(), "77\n0");
}

fn usage_is_measured(fixture: &Fixture) {
    let output = fixture.run(&fixture.shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"));
    assert!(output.exit.max_rss_bytes > 100_000, "{output:?}");
    assert!((output.exit.user_time + output.exit.system_time).as_micros() > 1000, "{output:?}");
}

fn input_is_read(fixture: &Fixture) {
    let (read, write) = std::io::pipe().unwrap();
    let (out, out_there) = std::io::pipe().unwrap();
    let io = Io {
        stdin: std::os::fd::OwnedFd::from(read).into(),
        stdout: std::os::fd::OwnedFd::from(out_there).into(),
        ..Io::null()
    };
    let mut child = fixture.launcher.spawn(&fixture.command(&["tr", "a-z", "A-Z"]), io).unwrap();
    std::io::Write::write_all(&mut { write }, b"hello\n").unwrap();
    assert_eq!(std::io::read_to_string(out).unwrap(), "HELLO\n");
    assert!(child.wait().unwrap().status.success());
    // Nothing to read is the end of it.
    assert_eq!(fixture.says("cat"), "");
}

fn one_box_without_a_launcher(fixture: &Fixture) {
    let mut child = sandbox::spawn(&fixture.shell("exit 3"), Io::null()).unwrap();
    assert_eq!(child.wait().unwrap().status, Status::Code(3));
}

fn null_bytes_are_refused(fixture: &Fixture) {
    let mut spec = fixture.command(&["/bin/echo", "a\0b"]);
    assert_eq!(chain(&fixture.try_run(&spec).unwrap_err()), "an argument contains a null byte");
    spec.argv.pop();
    spec.env.push(("A".into(), "\0".into()));
    assert_eq!(chain(&fixture.try_run(&spec).unwrap_err()), "an environment variable contains a null byte");
}
