//! Bad input: a clear error, nothing lost, and the next build works.

use crate::environment::TestEnv;

/// Builds something wrong, checks what is said, then that the store still serves.
#[track_caller]
fn check(dockerfile: &str, parts: &[&str]) {
    let env = TestEnv::with_busybox();
    env.file("src/main.rs", "");
    env.build(dockerfile).fails(1, parts);
    env.build("FROM busybox\nCOPY src /src\n").ok();
}

#[test]
fn an_empty_dockerfile() {
    check("", &["the Dockerfile cannot be empty"]);
    check("# only a comment\n", &["file with no instructions"]);
}

#[test]
fn an_unknown_instruction() {
    check("FROM busybox\nCPOY a b\n", &["unknown instruction: CPOY", "did you mean", "COPY", "Dockerfile:2:1"]);
}

#[test]
fn a_misspelled_image_has_a_neighbor_in_the_store() {
    let env = TestEnv::with_busybox();
    // Nobody listens there.
    env.kiln(["tag", "busybox", "127.0.0.1:1/box"]).ok();
    let help = "in the store is an image with a similar name: `127.0.0.1:1/box`";
    env.build("FROM 127.0.0.1:1/bxo\n")
        .fails(1, &["cannot resolve image `127.0.0.1:1/bxo:latest`", help, "Dockerfile:1:6"]);
    env.kiln(["run", "127.0.0.1:1/bxo", "true"]).fails(125, &[help]);
    let far = env.build("FROM 127.0.0.1:1/neither\n").fails(1, &["cannot be reached"]);
    assert!(!far.stderr.contains("similar"), "{}", far.stderr);
    assert_eq!(far.stderr.matches("= help: ").count(), 1, "{}", far.stderr);
}

#[test]
fn a_misspelled_image_that_the_registry_has_not() {
    let env = TestEnv::with_busybox();
    let Some(server) = crate::registry::Server::start(&env) else { return };
    env.kiln(["tag", "busybox", &format!("{}/box:v1", server.host)]).ok();
    let failed = env.build(&format!("FROM {}/box:v2\n", server.host));
    failed.fails(1, &["not found", &format!("similar name: `{}/box:v1`", server.host)]);
}

#[test]
fn something_unterminated() {
    check("FROM busybox\nRUN <<EOF\necho\n", &["unterminated heredoc", "Dockerfile:2"]);
    check(
        "FROM busybox\nENV A=\"b\n",
        &["unexpected end of statement while looking for matching double-quote", "Dockerfile:2"],
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    check(
        "FROM busybox\nCPOY a b\nWORKDIR\nRUN --nope true\n",
        &["CPOY", "WORKDIR requires exactly one argument", "unknown flag: --nope", "3 errors"],
    );
}

/// Builds what is written to `Dockerfile`, in 2 GiB of address space, and checks what is said.
#[track_caller]
fn check_bytes(dockerfile: &[u8], parts: &[&str]) {
    let env = TestEnv::with_busybox();
    env.file("Dockerfile", dockerfile);
    let ran = kiln_through(&env, &["prlimit", "--as=2147483648"], &["build", "--progress=plain", "."]);
    ran.fails(1, parts);
    env.build("FROM busybox\nRUN true\n").ok();
}

#[test]
fn far_too_much() {
    check_bytes("FROM busybox\nRUN true\n".repeat(500_000).as_bytes(), &["the Dockerfile is larger than 4 MiB"]);
    let line = format!("FROM busybox\nENV A={}\n", "x".repeat(10 << 20));
    check_bytes(line.as_bytes(), &["the Dockerfile is larger than 4 MiB"]);
    let line = format!("FROM busybox\nENV A={}\n", "x".repeat(70_000));
    check_bytes(line.as_bytes(), &["dockerfile line greater than max allowed size of 65535", "Dockerfile:2"]);
    // What doubles in every line is not followed to its end.
    let doubling: String = (1..64).map(|n| format!("ENV A{n}=$A{m}$A{m}\n", m = n - 1)).collect();
    check_bytes(format!("FROM busybox\nENV A0=xxxxxxxx\n{doubling}").as_bytes(), &["Dockerfile:"]);
}

#[test]
fn ten_thousand_stages() {
    let stages: String = (1..10_000).map(|n| format!("FROM s{} AS s{n}\n", n - 1)).collect();
    let cycle = format!("FROM s9999 AS s0\n{stages}");
    check_bytes(cycle.as_bytes(), &["s9999", "Dockerfile:1:6"]);
    let missing = format!("FROM busybox AS s0\n{stages}FROM s9999\nCOPY --from=s5 /nothing /\n");
    check_bytes(missing.as_bytes(), &["\"/nothing\": not found"]);
}

#[test]
fn bytes_that_are_no_text() {
    check_bytes(b"FROM busybox\nRUN \xff\xfe nothing\n", &["not UTF-8 text: line 2"]);
    check_bytes(b"\xff\xfe\0F\0R\0O\0M\0", &["not UTF-8 text: line 1"]);
    check_bytes(b"FROM busybox\nRUN echo a\0b\n", &["Dockerfile:2"]);
    check_bytes(b"FROM busybox\nENV A=a\0b\nRUN true\n", &["Dockerfile:"]);
    check_bytes(b"FROM busybox\nWORKDIR /a\0b\n", &["Dockerfile:2"]);
    check_bytes(b"FROM busybox\nCOPY src\0x /\n", &["Dockerfile:2"]);
    check_bytes(b"FROM busybox\nCOPY Dockerfile /a\0b\n", &["Dockerfile:2"]);
    check_bytes(b"FROM busy\0box\n", &["Dockerfile:1:6"]);
    check_bytes(&b"\0".repeat(1 << 20), &["Dockerfile:1"]);
}

#[test]
fn deep_expansions() {
    let deep = format!("{}{}", "${a:-".repeat(1_000), "}".repeat(1_000));
    let unclosed = "${a:-".repeat(1_000);
    for word in [&deep, &unclosed] {
        let parts = ["substitutions are nested deeper than 100 levels", "Dockerfile:2:"];
        check_bytes(format!("FROM busybox\nENV A={word}\n").as_bytes(), &parts);
        check_bytes(format!("FROM busybox\nRUN --mount=target={word} true\n").as_bytes(), &parts);
    }
    check_bytes(format!("FROM {deep}\n").as_bytes(), &["nested deeper than 100 levels", "Dockerfile:1:"]);
}

#[test]
fn what_leads_back_to_itself() {
    check_bytes(b"FROM a AS a\nRUN true\n", &["Dockerfile:1:6"]);
    let mounts = b"FROM busybox AS a\nRUN --mount=from=b,target=/m true\nFROM busybox AS b\nCOPY --from=a / /\n";
    check_bytes(mounts, &["circular dependency detected on stage: "]);
    check_bytes(b"FROM busybox AS a\nRUN --mount=from=a,target=/m true\n", &["circular dependency", "Dockerfile:2"]);
    check_bytes(b"FROM busybox\nONBUILD ONBUILD ONBUILD RUN true\n", &["Chaining ONBUILD", "Dockerfile:2:9"]);
    // A trigger whose stage is the one that it is in.
    let trigger = b"FROM busybox AS a\nONBUILD COPY --from=b / /\nFROM a AS b\nRUN true\n";
    check_bytes(trigger, &["circular dependency detected on stage: b"]);
    check_bytes(b"FROM busybox\nARG A=$A$A\nARG A=$A$A\nCOPY ${A:-none} /\n", &["\"/none\": not found"]);
}

#[test]
fn a_base_image_that_is_nowhere() {
    check("FROM 127.0.0.1:1/nothing:1\n", &["127.0.0.1:1/nothing:1", "Dockerfile:1:6"]);
}

#[test]
fn a_missing_file_with_its_nearest_name() {
    check(
        "FROM busybox\nCOPY src/mian.rs /\n",
        &["\"/src/mian.rs\": not found", "a similar path exists", "src/main.rs", "Dockerfile:2:6"],
    );
}

#[test]
fn paths_cannot_leave_the_context() {
    // `..` is clamped at the root of the context, as with BuildKit.
    check("FROM busybox\nCOPY ../../etc/passwd /\n", &["\"/etc/passwd\": not found"]);
    let env = TestEnv::with_busybox();
    std::fs::write(env.path("outside"), "secret").expect("a file");
    std::os::unix::fs::symlink("../outside", env.path("context/link")).expect("a link");
    env.build("FROM busybox\nCOPY link /\n").fails(1, &["not found"]);
}

#[test]
fn stages_in_a_circle_or_unknown() {
    check("FROM b AS a\nFROM a AS b\nCOPY --from=c x /\nFROM b AS c\n", &["c"]);
    check(
        "FROM busybox AS a\nCOPY --from=b /x /\nFROM busybox AS b\nFROM a\n",
        &["cannot copy from stage", "needs to be defined before"],
    );
    let env = TestEnv::with_busybox();
    env.build_with("FROM busybox AS release\n", &["--target", "relase"])
        .fails(1, &["target stage \"relase\" could not be found", "release"]);
}

#[test]
fn what_is_not_supported_yet_says_so() {
    check("FROM busybox\nRUN --device=x true\n", &["not supported yet", "Dockerfile:2"]);
    let env = TestEnv::with_busybox();
    env.build_with("FROM busybox\n", &["--cgroup-parent", "x"]).fails(2, &["start kiln in the one you want"]);
    env.build_with("FROM busybox\n", &["--add-host", "a:host-gateway"]).fails(2, &["no bridge", "--network=host"]);
    env.build_with("FROM busybox\n", &["--annotation=indx:a=b"])
        .fails(2, &["--annotation indx:a=b: `indx:` cannot be annotated (did you mean index?)"]);
}

#[test]
fn flags_of_yes_and_no_take_a_value_as_with_buildx() {
    let env = TestEnv::new();
    let flags = ["--no-cache=false", "--pull=false", "--push=false", "--load=true", "--check=false", "--quiet=true"];
    let ran = env.build_with("FROM scratch\nLABEL a=b\n", &flags).ok();
    assert!(ran.stdout.starts_with("sha256:"), "{}", ran.stdout);
    env.kiln(["build", "--push=true", "."]).fails(2, &["--push needs a name"]);
    env.build_with("FROM scratch\n", &["--pull=perhaps"]).fails(2, &["perhaps"]);
}

#[test]
fn a_failing_step_shows_its_output_and_place() {
    check(
        "FROM busybox\nRUN echo some output && \\\n  exit 42\n",
        &["some output", "exit code: 42", ">>> RUN echo some output", "Dockerfile:2"],
    );
}

#[test]
fn a_command_that_is_not_there() {
    check("FROM busybox\nRUN [\"/no/such/program\"]\n", &["/no/such/program", "Dockerfile:2"]);
    check(
        "FROM busybox\nUSER nobodyelse\nRUN true\n",
        &["unable to find user nobodyelse: no matching entries in passwd file"],
    );
}

#[test]
fn an_unwritable_store() {
    let env = TestEnv::new();
    std::fs::write(env.path("file"), "").expect("a file");
    let root = env.path("file/store");
    env.kiln(["--root", root.to_str().expect("UTF-8"), "images"]).fails(1, &["file/store"]);
}

#[test]
fn damaged_archives() {
    let env = TestEnv::with_busybox();
    let tar = std::fs::read(crate::environment::busybox_tar()).expect("a tar");
    let cut = env.path("cut.tar");
    std::fs::write(&cut, &tar[..tar.len() / 2]).expect("a file");
    env.kiln(["import", cut.to_str().expect("UTF-8"), "cut"]).fails(1, &["failed to import"]);
    env.kiln(["load", cut.to_str().expect("UTF-8")]).fails(1, &["failed to load"]);
    env.kiln(["inspect", "cut"]).fails(1, &["no image named `cut`"]);
    let archive = env.path("image.tar");
    env.kiln(["save", "busybox", "-o", archive.to_str().expect("UTF-8")]).ok();
    let mut bytes = std::fs::read(&archive).expect("an archive");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&archive, bytes).expect("a file");
    let other = TestEnv::new();
    other.kiln(["load", archive.to_str().expect("UTF-8")]).fails(1, &["failed to load"]);
    assert_eq!(other.kiln(["images", "-q"]).ok().stdout, "");
    env.build("FROM busybox\nRUN true\n").ok();
}

#[test]
fn archives_that_climb_out() {
    let env = TestEnv::with_busybox();
    let attacks = [
        ("dotdot", "f = tarfile.TarInfo('../escaped'); f.size = 1; t.addfile(f, io.BytesIO(b'x'))"),
        (
            "through-a-link",
            "l = tarfile.TarInfo('out'); l.type = tarfile.SYMTYPE; l.linkname = '/tmp'; t.addfile(l); \
             f = tarfile.TarInfo('out/kiln-escaped'); f.size = 1; t.addfile(f, io.BytesIO(b'x'))",
        ),
        (
            "hard-link",
            "l = tarfile.TarInfo('passwd'); l.type = tarfile.LNKTYPE; l.linkname = '../../../../../../etc/passwd'; t.addfile(l)",
        ),
    ];
    for (name, body) in attacks {
        let tar = env.path(&format!("{name}.tar"));
        let script = format!("import tarfile, io, sys; t = tarfile.open(sys.argv[1], 'w'); {body}; t.close()");
        crate::environment::tool(std::process::Command::new("python3").args(["-c", &script]).arg(&tar));
        env.kiln(["import", tar.to_str().expect("UTF-8"), "evil"]).fails(1, &["failed to import"]);
        assert!(!std::path::Path::new("/tmp/kiln-escaped").exists(), "{name}");
        assert!(!env.path("escaped").exists() && !env.path("store/escaped").exists(), "{name}");
    }
    env.build("FROM busybox\nRUN true\n").ok();
}

#[test]
fn a_full_disk() {
    if !crate::environment::is_root() {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let env = TestEnv::new();
    let small = env.path("small");
    std::fs::create_dir(&small).expect("a directory");
    let _mount = SmallDisk::mount(&small);
    let root = small.join("store");
    let kiln = |arguments: &[&str]| {
        env.kiln(["--root", root.to_str().expect("UTF-8")].into_iter().chain(arguments.iter().copied()))
    };
    kiln(&["import", crate::environment::busybox_tar().to_str().expect("UTF-8"), "busybox"]).ok();
    env.file("Dockerfile", "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=64\n");
    kiln(&["build", "--progress=plain", "."]).fails(1, &["No space left on device"]);
    env.file("big", vec![7; 64 << 20]);
    env.file("Dockerfile", "FROM busybox\nCOPY big /\n");
    kiln(&["build", "--progress=plain", "."]).fails(1, &["No space left on device"]);
    env.file("Dockerfile", "FROM busybox\nRUN echo small > /f\n");
    kiln(&["build", "--progress=plain", "."]).ok();
}

/// A tmpfs of 32 MiB, unmounted on drop.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(path: &std::path::Path) -> Self {
        let mut mount = std::process::Command::new("mount");
        crate::environment::tool(mount.args(["-t", "tmpfs", "-o", "size=32m", "kiln-test"]).arg(path));
        Self(path.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A test that failed half-way may still have it busy; lazily then.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Runs kiln through another program that takes something away from it.
fn kiln_through(env: &TestEnv, wrapper: &[&str], arguments: &[&str]) -> crate::environment::Ran {
    let kiln = env.command(arguments.iter().copied());
    let mut command = std::process::Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(kiln.get_program()).args(kiln.get_args()).current_dir(env.path("context"));
    command.env("KILN_ROOT", env.store()).env("HOME", env.path("home"));
    crate::environment::ran(command.stdin(std::process::Stdio::null()).output().expect("the wrapper starts"))
}

#[test]
fn no_user_namespaces() {
    let env = TestEnv::new();
    std::fs::create_dir(env.path("context/d")).expect("a directory");
    env.file("Dockerfile", "FROM scratch\nCOPY d /d\n");
    // Root without capabilities, in a namespace that allows no further ones.
    let script =
        "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
    let without = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"];
    kiln_through(&env, &without, &["build", "."]).fails(1, &["user namespace", "max_user_namespaces"]);
    env.build("FROM scratch\nCOPY d /d\n").ok();
}

#[test]
fn no_network() {
    let env = TestEnv::with_busybox();
    env.file("Dockerfile", "FROM nowhere.example.com/image\nRUN true\n");
    let without = ["unshare", "--user", "--map-root-user", "--net"];
    kiln_through(&env, &without, &["build", "."]).fails(1, &["nowhere.example.com", "Dockerfile:1:6", "kiln load"]);
    env.build("FROM busybox\nRUN true\n").ok();
}
