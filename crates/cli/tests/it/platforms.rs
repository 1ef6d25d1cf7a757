//! `--platform`: several in one build, and other ones than the machine's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[path = "../../src/emulation/program.rs"]
mod program;

use crate::environment::{Ran, TestEnv, has, kiln_binary, ran, tool};

/// Files that differ between platforms, made by a stage that does not depend on them and one that does.
const DOCKERFILE: &str = "\
FROM --platform=$BUILDPLATFORM scratch AS shared
COPY f /shared
FROM scratch
ARG TARGETARCH
COPY --from=shared /shared /shared
COPY $TARGETARCH /arch
ENV ARCH=$TARGETARCH
";

const BOTH: &str = "--platform=linux/amd64,linux/arm64";

fn env() -> TestEnv {
    let env = TestEnv::new();
    for name in ["f", "amd64", "arm64", "arm"] {
        env.file(name, name);
    }
    env
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

/// Reads the document that a descriptor names in a layout.
fn blob(layout: &Path, descriptor: &Value) -> Value {
    json(&layout.join("blobs").join(descriptor["digest"].as_str().expect("a digest").replace(':', "/")))
}

#[test]
fn annotations_go_where_they_are_meant_to_be() {
    let env = env();
    let layout = env.path("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let build = |flags: &[&str]| {
        fs::remove_dir_all(&layout).ok();
        env.build_with(DOCKERFILE, &[flags, &["-o", &output]].concat()).ok();
        let top = blob(&layout, &json(&layout.join("index.json"))["manifests"][0]);
        let manifests = top["manifests"].as_array().cloned().unwrap_or_default();
        let of: Vec<Value> = manifests.iter().map(|entry| blob(&layout, entry)["annotations"].clone()).collect();
        let entries: Vec<Value> = manifests.iter().map(|entry| entry["annotations"].clone()).collect();
        serde_json::json!([top["annotations"], entries, of])
    };
    let (index, manifest) = ("--annotation=index,manifest:a=b", "--annotation=manifest[linux/arm64]:a=c");
    let both = build(&[BOTH, index, manifest, "--annotation=manifest-descriptor:d=e"]);
    let expected = serde_json::json!([{ "a": "b" }, [{ "d": "e" }, { "d": "e" }], [{ "a": "b" }, { "a": "c" }]]);
    assert_eq!(both, expected);
    // One image has an index for these annotations alone.
    let one = ["--platform=linux/arm64"];
    assert_eq!(build(&[&one[..], &["--annotation=a=b"]].concat()), serde_json::json!([{ "a": "b" }, [], []]));
    let indexed = build(&[&one[..], &[index]].concat());
    assert_eq!(indexed, serde_json::json!([{ "a": "b" }, [null], [{ "a": "b" }]]));
    env.build_with(DOCKERFILE, &["--platform=local", index, "-t", "test"]).ok();
    let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    assert_eq!(env.inspect("test")["Platforms"], serde_json::json!([format!("linux/{own}")]));
    env.build_with(DOCKERFILE, &["--annotation=index:a=b", "-o", "type=docker,dest=x"]).fails(2, &["has no index"]);
    env.build_with(DOCKERFILE, &[BOTH, "--annotation=manifest[linux/s390x]:a=b"])
        .fails(2, &["nothing is built for linux/s390x"]);
}

#[test]
fn several_platforms_make_an_index() {
    let env = env();
    let (layout, iid, metadata) = (env.path("layout"), env.path("iid"), env.path("metadata.json"));
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let files = ["--iidfile", iid.to_str().expect("UTF-8"), "--metadata-file", metadata.to_str().expect("UTF-8")];
    let ran = env.build_with(
        DOCKERFILE,
        &[&[BOTH, "--platform", "linux/arm/v7,linux/amd64", "-o", &output], &files[..]].concat(),
    );
    // The shared stage once, its copy once, one file for each.
    assert_eq!(ran.ok().counts().0, 5);
    let top = &json(&layout.join("index.json"))["manifests"][0];
    assert_eq!(top["mediaType"], "application/vnd.oci.image.index.v1+json");
    let index = blob(&layout, top);
    let platforms: Vec<&Value> =
        index["manifests"].as_array().expect("a list").iter().map(|m| &m["platform"]).collect();
    let expected = serde_json::json!([
        { "architecture": "amd64", "os": "linux" },
        { "architecture": "arm64", "os": "linux" },
        { "architecture": "arm", "os": "linux", "variant": "v7" },
    ]);
    assert_eq!(Value::from_iter(platforms.into_iter().cloned()), expected);
    for manifest in index["manifests"].as_array().expect("a list") {
        let config = blob(&layout, &blob(&layout, manifest)["config"]);
        assert_eq!(config["architecture"], manifest["platform"]["architecture"]);
        assert_eq!(config["variant"], manifest["platform"]["variant"]);
        let arch = format!("ARCH={}", config["architecture"].as_str().expect("text"));
        assert!(config["config"]["Env"].as_array().expect("a list").contains(&arch.into()));
    }
    let digest = top["digest"].as_str().expect("a digest");
    assert_eq!(fs::read_to_string(&iid).expect("a file"), digest);
    let written = json(&metadata);
    assert_eq!(written["containerimage.digest"], digest);
    assert_eq!(written["containerimage.descriptor"]["mediaType"], top["mediaType"]);
    assert_eq!(written["containerimage.config.digest"], Value::Null);
    let quiet = env.kiln(["build", "-q", BOTH, "--platform=linux/arm", "."]).ok();
    assert_eq!((quiet.stdout.trim_end(), quiet.stderr.as_str()), (digest, ""));
}

#[test]
fn one_platform_twice_is_one() {
    let env = env();
    let layout = env.path("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    env.build_with(DOCKERFILE, &["--platform=linux/arm64", "--platform=linux/arm64/v8,linux/aarch64", "-o", &output])
        .ok();
    let top = &json(&layout.join("index.json"))["manifests"][0];
    assert_eq!(top["mediaType"], "application/vnd.oci.image.manifest.v1+json");
}

#[test]
fn files_of_several_platforms_are_split() {
    let env = env();
    let (out, one) = (env.path("out"), env.path("one"));
    let local = |path: &Path, more: &str| format!("type=local,dest={}{more}", path.display());
    env.build_with(DOCKERFILE, &[BOTH, "--platform=linux/arm", "-o", out.to_str().expect("UTF-8")]).ok();
    for (directory, arch) in [("linux_amd64", "amd64"), ("linux_arm64", "arm64"), ("linux_arm_v7", "arm")] {
        assert_eq!(fs::read_to_string(out.join(directory).join("arch")).expect("a file"), arch);
        assert_eq!(fs::read_to_string(out.join(directory).join("shared")).expect("a file"), "f");
    }
    env.build_with(DOCKERFILE, &["--platform=linux/arm64", "-o", &local(&one, ",platform-split=true")]).ok();
    assert_eq!(fs::read_to_string(one.join("linux_arm64/arch")).expect("a file"), "arm64");
    let failed = env.build_with(DOCKERFILE, &[BOTH, "-o", &local(&env.path("no"), ",platform-split=false")]);
    failed.fails(1, &["cannot overwrite arch from linux/amd64 with linux/arm64 when split option is disabled"]);
    let apart = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /dir/\n";
    let merged = env.path("merged");
    env.build_with(apart, &[BOTH, "-o", &local(&merged, ",platform-split=false")]).ok();
    let mut names: Vec<_> =
        fs::read_dir(merged.join("dir")).expect("a directory").map(|e| e.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["amd64", "arm64"]);
}

#[test]
fn a_tar_of_several_platforms() {
    let env = env();
    env.file("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH f /dir/\n");
    let list = |more: &str| {
        let tar = env.path("out.tar");
        env.kiln(["build", "-q", BOTH, "-o", &format!("type=tar,dest={}{more}", tar.display()), "."]).ok();
        tool(Command::new("tar").arg("-tf").arg(tar)).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let below =
        |top: &str, arch: &str| ["", "dir/", &format!("dir/{arch}"), "dir/f"].map(|name| format!("{top}/{name}"));
    assert_eq!(list(""), [below("linux_amd64", "amd64"), below("linux_arm64", "arm64")].concat());
    let failed = env.kiln(["build", BOTH, "-o", "type=tar,dest=x,platform-split=false", "."]);
    failed.fails(1, &["cannot overwrite dir/f from linux/amd64 with linux/arm64"]);
}

#[test]
fn what_holds_one_platform_is_refused() {
    let env = env();
    env.build_with(DOCKERFILE, &[BOTH, "-o", "type=docker,dest=x"])
        .fails(2, &["type=docker holds an image for one platform", "type=oci"]);
    env.build_with(DOCKERFILE, &["-o", "type=oci,dest=x,platform-split=true"])
        .fails(2, &["platform-split is for files"]);
    env.build_with(DOCKERFILE, &["-o", "type=local,dest=x,platform-split=maybe"]).fails(2, &["expected true or false"]);
}

#[test]
fn skopeo_reads_an_index() {
    if !has("skopeo") {
        return;
    }
    let env = env();
    let (archive, copied) = (env.path("oci.tar"), env.path("copied"));
    env.build_with(DOCKERFILE, &[BOTH, "-o", &format!("type=oci,dest={}", archive.display())]).ok();
    let source = format!("oci-archive:{}", archive.display());
    let raw: Value =
        serde_json::from_str(&tool(Command::new("skopeo").args(["inspect", "--raw", &source]))).expect("JSON");
    assert_eq!(raw["manifests"].as_array().map(Vec::len), Some(2));
    tool(Command::new("skopeo").args(["copy", "-q", "--all", &source, &format!("oci:{}:v1", copied.display())]));
    let top = &json(&copied.join("index.json"))["manifests"][0];
    assert_eq!(blob(&copied, top), raw);
}

/// Builds `test` for both platforms, with busybox of this machine in both.
fn index_in_store() -> TestEnv {
    let env = TestEnv::with_busybox();
    env.build_with(
        "FROM --platform=$BUILDPLATFORM busybox AS base\nFROM scratch\nARG TARGETARCH\nCOPY --from=base / /\nENV ARCH=$TARGETARCH\nCMD [\"sh\", \"-c\", \"echo $ARCH\"]\n",
        &[BOTH],
    )
    .ok();
    env
}

/// The architecture of this machine, and the other one.
fn architectures() -> (&'static str, &'static str) {
    if cfg!(target_arch = "aarch64") { ("arm64", "amd64") } else { ("amd64", "arm64") }
}

#[test]
fn a_name_may_stand_for_an_index() {
    let env = index_in_store();
    let (own, other) = architectures();
    let index = env.inspect("test")["Descriptor"]["digest"].as_str().expect("a digest").to_owned();
    let shown = env.inspect("test");
    assert_eq!((&shown["Id"], &shown["Architecture"]), (&index.as_str().into(), &own.into()));
    assert_eq!(shown["Platforms"], serde_json::json!(["linux/amd64", "linux/arm64"]));
    let one: Value =
        serde_json::from_str(&env.kiln(["inspect", &format!("--platform=linux/{other}"), "test"]).ok().stdout)
            .expect("JSON");
    assert_eq!(one[0]["Architecture"], other);
    assert_ne!(one[0]["Descriptor"]["digest"], index.as_str());
    env.kiln(["inspect", "--platform=linux/s390x", "test"])
        .fails(1, &["`test:latest` is not here for linux/s390x", "is for linux/amd64, linux/arm64"]);
    assert_eq!(env.kiln(["run", "--rm", "test"]).ok().stdout.trim(), own);
    assert!(
        env.kiln(["history", "--platform", &format!("linux/{other}"), "test"])
            .ok()
            .stdout
            .contains(&format!("ENV ARCH={other}"))
    );
    let listed = env.kiln(["images", "-q", "--no-trunc", "test"]).ok().stdout;
    assert_eq!(listed.trim(), index);
    env.kiln(["tag", "test", "again"]).ok();
    assert_eq!(env.inspect("again")["Id"], index.as_str());
    // What is in an index is found by its id, and is not removed by it.
    let id = one[0]["Id"].as_str().expect("an id");
    assert_eq!(env.kiln(["tag", id, "single"]).ok().code, 0);
    assert_eq!(env.inspect("single")["Id"], id);
    env.kiln(["rmi", "single"]).ok();
    env.kiln(["rmi", id]).fails(1, &["is part of the index `again:latest`"]);
    env.kiln(["rmi", &index[7..19]]).fails(1, &["has several names: `again:latest`, `test:latest`"]);
    assert_eq!(env.kiln(["rmi", "-f", &index[7..19]]).ok().stdout, "Untagged: again:latest\nUntagged: test:latest\n");
}

#[test]
fn a_saved_index_loads_as_the_same_index() {
    let env = index_in_store();
    let (own, other) = architectures();
    for format in ["docker-archive", "oci-archive"] {
        let archive = env.path(format);
        let archive = archive.to_str().expect("UTF-8");
        env.kiln(["save", "test", "--format", format, "-o", archive]).ok();
        let elsewhere = TestEnv::new();
        elsewhere.kiln(["load", "-i", archive]).ok();
        assert_eq!(elsewhere.inspect("test")["Id"], env.inspect("test")["Id"], "{format}");
        assert_eq!(elsewhere.kiln(["run", "--rm", "test"]).ok().stdout.trim(), own);
        env.kiln(["save", "test", "--format", format, "--platform", &format!("linux/{other}"), "-o", archive]).ok();
        let elsewhere = TestEnv::new();
        elsewhere.kiln(["load", "-i", archive]).ok();
        assert_eq!(elsewhere.inspect("test")["Platforms"], serde_json::json!([format!("linux/{other}")]), "{format}");
    }
    if has("skopeo") {
        // Those who read `manifest.json` alone get the image of this machine.
        env.kiln(["save", "test", "-o", env.path("docker.tar").to_str().expect("UTF-8")]).ok();
        let source = format!("docker-archive:{}", env.path("docker.tar").display());
        let raw = tool(Command::new("skopeo").args(["inspect", "--config", "--raw", &source]));
        let config: Value = serde_json::from_str(&raw).expect("JSON");
        assert_eq!(config["architecture"], own);
    }
}

#[test]
fn an_image_here_for_another_platform_is_said_so() {
    let env = index_in_store();
    // Nobody listens there.
    env.kiln(["tag", "test", "127.0.0.1:1/app"]).ok();
    let failed = env.build_with("FROM 127.0.0.1:1/app\n", &["--platform=linux/s390x"]);
    let name = "127.0.0.1:1/app:latest";
    failed.fails(
        1,
        &[
            &format!("cannot resolve image `{name}`"),
            &format!("in the store, `{name}` is for linux/amd64, linux/arm64"),
        ],
    );
    let layout = env.path("layout");
    env.file("Dockerfile", "FROM 127.0.0.1:1/app\n");
    env.kiln(["build", BOTH, "-o", &format!("type=oci,tar=false,dest={}", layout.display()), "."]).ok();
    let context = format!("--build-context=base=oci-layout://{}", layout.display());
    let failed = env.build_with("FROM base\n", &["--platform=linux/s390x", &context]);
    failed.fails(1, &["is not here for linux/s390x", "is for linux/amd64, linux/arm64"]);
}

#[test]
fn an_image_for_another_machine_is_not_run_in_silence() {
    let env = TestEnv::with_busybox();
    let (own, other) = architectures();
    let platform = format!("linux/{other}");
    let text = format!("FROM --platform=linux/{own} busybox AS base\nFROM scratch\nCOPY --from=base / /\n");
    env.build_with(&text, &["--platform", &platform]).ok();
    let warning = format!("warning: the image's platform ({platform}) does not match this machine's (linux/{own}");
    let warns = |words: &[&str]| {
        let ran = env.kiln(["run", "--rm"].iter().chain(words).chain(&["true"]).copied()).ok();
        ran.stderr.contains(&warning)
    };
    // Built here, as it is and packed; its programs are those of this machine, so that they run.
    assert!(warns(&["test"]));
    env.kiln(["inspect", "test"]).ok();
    assert!(warns(&["test"]));
    assert!(warns(&[env.image_id().as_str()]));
    assert!(!warns(&["--platform", &platform, "test"]));
    assert!(!warns(&["busybox"]));
}

#[test]
fn what_a_registry_has_for_another_platform_is_refused() {
    let env = TestEnv::with_busybox();
    let Some(server) = crate::registry::Server::start(&env) else { return };
    let (own, other) = architectures();
    let name = format!("{}/box", server.host);
    env.kiln(["tag", "busybox", &name]).ok();
    env.kiln(["push", &name]).ok();
    let elsewhere = TestEnv::new();
    let platform = format!("--platform=linux/{other}");
    let said = format!("was found, but not for linux/{other}: it is for linux/{own}");
    elsewhere.kiln(["pull", &platform, &name]).fails(1, &[&said]);
    assert_eq!(elsewhere.kiln(["images", "-q"]).ok().stdout, "");
    elsewhere.kiln(["run", "--rm", &platform, &name, "true"]).fails(125, &[&said]);
    let pull = elsewhere.command(["pull", &name]).env("DOCKER_DEFAULT_PLATFORM", format!("linux/{other}")).output();
    ran(pull.expect("kiln starts")).fails(1, &[&said]);
    elsewhere.kiln(["pull", "--platform=local", &name]).ok();
    elsewhere.kiln(["run", "--rm", "--platform=local", &name, "true"]).ok();
}

#[test]
fn all_commands_read_platforms_alike() {
    let env = index_in_store();
    let (own, other) = architectures();
    let archive = env.path("archive");
    let archive = archive.to_str().expect("UTF-8");
    let shown = |text: &str| serde_json::from_str::<Value>(text).expect("JSON")[0]["Architecture"].clone();
    assert_eq!(shown(&env.kiln(["inspect", "--platform=local", "test"]).ok().stdout), own);
    let platform = format!("--platform=linux/{other}");
    assert_eq!(shown(&env.kiln(["inspect", &platform, "test"]).ok().stdout), other);
    assert!(env.kiln(["history", &platform, "test"]).ok().stdout.contains(&format!("ENV ARCH={other}")));
    // What is built and run by default is not what is shown of an image that is there.
    let inspect = env.command(["inspect", "test"]).env("DOCKER_DEFAULT_PLATFORM", format!("linux/{other}")).output();
    assert_eq!(shown(&ran(inspect.expect("kiln starts")).ok().stdout), own);
    env.kiln(["save", &platform, "test", "-o", archive]).ok();
    let elsewhere = TestEnv::new();
    elsewhere.kiln(["load", "-i", archive]).ok();
    assert_eq!(elsewhere.inspect("test")["Platforms"], serde_json::json!([format!("linux/{other}")]));
    env.kiln(["tag", "test", "127.0.0.1:1/app"]).ok();
    for words in [&["inspect", "test"][..], &["history", "test"], &["save", "test", "-o", archive]] {
        let failed = env.kiln(words.iter().copied().chain(["--platform=linux/amd46"]));
        failed.fails(2, &["--platform linux/amd46", "did you mean `linux/amd64`?"]);
    }
    env.kiln(["push", "--platform=linux/s390x", "127.0.0.1:1/app"]).fails(1, &["is not here for linux/s390x"]);
    env.kiln(["push", "--platform=local", "127.0.0.1:1/app"]).fails(1, &["127.0.0.1:1 cannot be reached"]);
}

/// Writes the smallest program for an architecture into the context, and says whether the machine executes it.
fn foreign(env: &TestEnv, architecture: &str) -> bool {
    let path = env.file("program", program::program(architecture).expect("known"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    Command::new(path).status().is_ok_and(|status| status.success())
}

const RUNS: &str = "FROM scratch AS made\nCOPY program /program\nRUN [\"/program\"]\n";

#[test]
fn a_command_for_another_machine_runs_or_says_what_it_needs() {
    for architecture in ["arm64", "amd64", "s390x", "386", "arm", "riscv64"] {
        let env = TestEnv::new();
        let runs = foreign(&env, architecture);
        let platform = format!("linux/{architecture}");
        let ran = env.build_with(RUNS, &["--platform", &platform]);
        if runs {
            ran.ok();
            continue;
        }
        let failed = ran.fails(
            1,
            &[
                &format!("a command for {platform}"),
                "cannot run on this machine",
                "Dockerfile:3:1",
                "stage `made` is for",
                "qemu-user-static and binfmt-support",
                "FROM --platform=$BUILDPLATFORM",
            ],
        );
        assert!(!failed.stderr.contains("COPY program"), "nothing runs before: {}", failed.stderr);
        // What needs no command needs no emulator.
        env.build_with("FROM scratch\nCOPY program /program\nENV A=b\nWORKDIR /w\n", &["--platform", &platform]).ok();
        env.kiln(["run", "--rm", "test", "/program"]).fails(126, &["the image is for linux/", "qemu-user-static"]);
    }
}

/// Runs `script` where it can say itself what the kernel hands to which emulator (`$HANDLERS/register`): a user namespace
/// has a binfmt_misc of its own since Linux 6.7. `None` where that cannot be had.
fn with_own_handlers(env: &TestEnv, script: &str) -> Option<Ran> {
    let prepare =
        "mount -t tmpfs tmpfs /mnt && mkdir /mnt/b && mount -t binfmt_misc none /mnt/b && test -e /mnt/b/register";
    let sh = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-euc", script]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", env.path("home")).env("KILN_ROOT", env.store()).env("KILN", kiln_binary());
        ran(command.env("HANDLERS", "/mnt/b").current_dir(env.path("context")).output().expect("unshare starts"))
    };
    if sh(prepare).code != 0 {
        eprintln!("skipped: no binfmt_misc of one's own here");
        return None;
    }
    Some(sh(&format!("{prepare}\n{script}")))
}

#[test]
fn an_emulator_is_used_if_the_kernel_holds_on_to_it() {
    let build = "$KILN build --progress=plain --platform=linux/s390x .";
    let magic = "\\x7fELF\\x02\\x02\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x16";
    // What it is called decides what it does: it prints the program it should run.
    let register = |flags: &str| {
        format!(
            "cp $(command -v busybox) /mnt/cat; printf %s ':emulator:M::{magic}::/mnt/cat:{flags}' > $HANDLERS/register; {build}"
        )
    };
    let env = TestEnv::new();
    if foreign(&env, "s390x") {
        eprintln!("skipped: this machine executes s390x anyway");
        return;
    }
    env.file("Dockerfile", RUNS);
    let Some(none) = with_own_handlers(&env, build) else { return };
    none.fails(1, &["a command for linux/s390x", "qemu-user-static and binfmt-support"]);
    let loose = with_own_handlers(&env, &register("")).expect("as before");
    loose.fails(1, &["a command for linux/s390x", "with the flag F"]);
    let fixed = with_own_handlers(&env, &register("F")).expect("as before").ok();
    assert_eq!(fixed.counts(), (2, 0));
    assert!(fixed.stderr.contains("ELF"), "{}", fixed.stderr);
    // What is known needs no emulator.
    let cached = with_own_handlers(&env, build).expect("as before").ok();
    assert_eq!(cached.counts(), (0, 2));
    env.file("Dockerfile", format!("{RUNS}FROM made\nCOPY program /more\n"));
    assert_eq!(with_own_handlers(&env, build).expect("as before").ok().counts(), (1, 2));
    env.file("Dockerfile", format!("{RUNS}RUN [\"/program\", \"again\"]\n"));
    with_own_handlers(&env, build).expect("as before").fails(1, &["Dockerfile:4:1"]);
}
