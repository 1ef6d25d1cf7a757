//! `--output`, `--iidfile`, `--metadata-file`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::environment::{TestEnv, tool};

const DOCKERFILE: &str = "FROM scratch\nCOPY --chmod=640 f /dir/f\nCOPY --chown=12:34 g /g\n";

fn env() -> TestEnv {
    let env = TestEnv::new();
    env.file("f", "eff");
    env.file("g", "gee");
    env
}

#[test]
fn a_directory() {
    let env = env();
    let out = env.path("out");
    env.build_with(DOCKERFILE, &["-o", out.to_str().expect("UTF-8")]).ok();
    assert_eq!(fs::read_to_string(out.join("dir/f")).expect("a file"), "eff");
    assert_eq!(fs::metadata(out.join("dir/f")).expect("a file").permissions().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_to_string(out.join("g")).expect("a file"), "gee");
}

#[test]
fn a_tar_on_stdout() {
    let env = env();
    env.file("Dockerfile", DOCKERFILE);
    let output = env.command(["build", "--progress=quiet", "-o", "-", "."]).output().expect("kiln starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(env.path("out.tar"), &output.stdout).expect("a file");
    let listing = tool(Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(env.path("out.tar")));
    let lines: Vec<Vec<&str>> = listing.lines().map(|l| l.split_whitespace().collect()).collect();
    let shown: Vec<(&str, &str, &str)> = lines.iter().map(|l| (l[0], l[1], l[l.len() - 1])).collect();
    assert_eq!(shown, [("drw-r-----", "0/0", "dir/"), ("-rw-r-----", "0/0", "dir/f"), ("-rw-r--r--", "12/34", "g")]);
}

#[test]
fn ids_and_metadata() {
    let env = env();
    let (iid, metadata) = (env.path("iid"), env.path("metadata.json"));
    let flags = ["--iidfile", iid.to_str().expect("UTF-8"), "--metadata-file", metadata.to_str().expect("UTF-8")];
    env.build_with(DOCKERFILE, &flags).ok();
    let id = env.image_id();
    assert_eq!(fs::read_to_string(&iid).expect("a file"), id);
    let written: serde_json::Value = serde_json::from_slice(&fs::read(&metadata).expect("a file")).expect("JSON");
    assert_eq!(written["containerimage.config.digest"], id);
    assert_eq!(written["containerimage.digest"], env.inspect("test")["Descriptor"]["digest"]);
    assert_eq!(written["image.name"], "docker.io/library/test:latest");
    let quiet = env.kiln(["build", "-q", "."]).ok();
    assert_eq!((quiet.stdout.trim_end(), quiet.stderr.as_str()), (id.as_str(), ""));
}

#[test]
fn archives_have_the_same_bytes_each_time() {
    let env = env();
    for kind in ["oci", "docker"] {
        let bytes: Vec<Vec<u8>> = ["a.tar", "b.tar"]
            .iter()
            .map(|name| {
                let dest = env.path(name);
                env.build_with(DOCKERFILE, &["-o", &format!("type={kind},dest={}", dest.display())]).ok();
                fs::read(dest).expect("an archive")
            })
            .collect();
        assert!(bytes[0] == bytes[1], "{kind}");
    }
}

#[test]
fn two_stores_give_the_same_digest_with_an_epoch() {
    let id = |store: &TestEnv| {
        store.build_with(DOCKERFILE, &["--build-arg", "SOURCE_DATE_EPOCH=1700000000"]).ok();
        store.image_id()
    };
    assert_eq!(id(&env()), id(&env()));
}

#[test]
fn an_unknown_output_is_refused() {
    let env = env();
    env.build_with(DOCKERFILE, &["-o", "type=zip,dest=x"]).fails(2, &["unknown type `zip`"]);
    env.build_with(DOCKERFILE, &["-o", "type=dokcer,dest=x"]).fails(2, &["did you mean `docker`?"]);
    env.build_with(DOCKERFILE, &["-o", "type=oci,dest=/no/such/dir/x"]).fails(1, &["/no/such/dir/x"]);
}

#[test]
fn a_pipe_is_written_to_and_a_failure_keeps_the_old_file() {
    let env = env();
    let pipe = env.path("pipe");
    tool(Command::new("mkfifo").arg(&pipe));
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).expect("an archive")
    });
    env.build_with(DOCKERFILE, &["-o", &format!("type=oci,dest={}", pipe.display())]).ok();
    let archive = env.path("out.tar");
    env.build_with(DOCKERFILE, &["-o", &format!("type=oci,dest={}", archive.display())]).ok();
    assert!(reader.join().expect("a reader") == fs::read(&archive).expect("an archive"));
    let before = fs::read(&archive).expect("an archive");
    env.build_with("FROM scratch\nCOPY missing /\n", &["-o", &format!("type=oci,dest={}", archive.display())])
        .fails(1, &["not found"]);
    assert!(fs::read(&archive).expect("an archive") == before);
}

/// Reads the configuration of `test`, and the time of `name` in its last layer.
fn times(env: &TestEnv, name: &str) -> (serde_json::Value, String) {
    let archive = env.path("saved.tar");
    env.kiln(["save", "test", "-o", archive.to_str().expect("UTF-8")]).ok();
    let saved = env.path("saved");
    let _ = fs::remove_dir_all(&saved);
    fs::create_dir(&saved).expect("a directory");
    tool(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&saved));
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(saved.join(name)).expect("a file")).expect("JSON")
    };
    let item = json("manifest.json")[0].clone();
    let layer =
        item["Layers"].as_array().expect("a list").last().expect("a layer").as_str().expect("a name").to_owned();
    let mut list = Command::new("tar");
    list.env("TZ", "UTC").args(["--full-time", "-tvf"]).arg(saved.join(layer)).arg(name);
    let line = tool(&mut list);
    let words: Vec<&str> = line.split_whitespace().collect();
    (json(item["Config"].as_str().expect("a name")), format!("{} {}", words[3], words[4]))
}

#[test]
fn an_epoch_holds_back_times() {
    let env = env();
    let out = env.path("out");
    let epoch = "1000000000";
    let (day, at) = ("2001-09-09 01:46:40", "2001-09-09T01:46:40Z");
    let build = |flags: &[&str]| {
        let mut command = env.command(["build", "-q", "-t", "test"]);
        let built = command.args(flags).arg(".").env("SOURCE_DATE_EPOCH", epoch).output().expect("kiln starts");
        crate::environment::ran(built).ok();
    };
    env.file("Dockerfile", "FROM scratch\nARG SOURCE_DATE_EPOCH\nENV E=$SOURCE_DATE_EPOCH\nCOPY f /dir/f\n");
    build(&["-o", out.to_str().expect("UTF-8")]);
    let (config, time) = times(&env, "dir/f");
    assert_eq!((config["created"].as_str(), time.as_str()), (Some(at), day));
    assert!(config["history"].as_array().expect("a list").iter().all(|line| line["created"] == at));
    assert!(config["config"]["Env"].as_array().expect("a list").contains(&format!("E={epoch}").into()));
    let modified = |path: &str| fs::metadata(out.join(path)).expect("a file").modified().expect("a time");
    let expected = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    assert_eq!((modified("dir/f"), modified("dir")), (expected, expected));
    // Asked for the files' own times, an image keeps them; configuration and history are held back all the same.
    let image = format!("type=oci,dest={}", env.path("oci.tar").display());
    build(&["-o", &format!("{image},rewrite-timestamp=false")]);
    let (config, time) = times(&env, "dir/f");
    assert_eq!(config["created"], at);
    assert_ne!(time, day);
    build(&["-o", &format!("{image},rewrite-timestamp=true")]);
    assert_eq!(times(&env, "dir/f").1, day);
    // A flag goes before the environment; empty, it is as if there were none.
    build(&["--build-arg", "SOURCE_DATE_EPOCH="]);
    assert_ne!(times(&env, "dir/f").0["created"], at);
}

#[test]
fn an_epoch_may_be_that_of_the_context() {
    let env = env();
    let tar = env.path("context.tar");
    env.file("Dockerfile", "ARG SOURCE_DATE_EPOCH=context\nFROM scratch\nARG SOURCE_DATE_EPOCH\nENV E=${SOURCE_DATE_EPOCH-unset}\nCOPY f /f\n");
    let touch = |name: &str, time: &str| {
        tool(Command::new("touch").args(["-d", &format!("@{time}")]).arg(env.path("context").join(name)));
    };
    touch("f", "1234567890");
    touch("g", "1234567891");
    touch("Dockerfile", "5");
    tool(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(env.path("context")).args(["f", "g", "Dockerfile"]));
    let input = fs::File::open(&tar).expect("a file");
    let built = env.command(["build", "-q", "-t", "test", "-"]).stdin(input).output().expect("kiln starts");
    crate::environment::ran(built).ok();
    let (config, time) = times(&env, "f");
    assert_eq!((config["created"].as_str(), time.as_str()), (Some("2009-02-13T23:31:31Z"), "2009-02-13 23:31:30"));
    assert!(config["config"]["Env"].as_array().expect("a list").contains(&"E=1234567891".into()));
    // A directory has no one time.
    env.kiln(["build", "-q", "-t", "test", "."]).ok();
    let (config, _) = times(&env, "f");
    assert_ne!(config["created"], "2009-02-13T23:31:31Z");
    assert!(config["config"]["Env"].as_array().expect("a list").contains(&"E=unset".into()));
}

#[test]
fn what_no_epoch_can_be_is_refused() {
    let env = env();
    let epoch = |value: &str| format!("SOURCE_DATE_EPOCH={value}");
    env.build_with(DOCKERFILE, &["--build-arg", &epoch("soon")])
        .fails(1, &["invalid SOURCE_DATE_EPOCH: soon", "seconds since 1970"]);
    env.build(&format!("ARG {}\n{DOCKERFILE}", epoch("contxt")))
        .fails(1, &["Dockerfile:1:23", "invalid SOURCE_DATE_EPOCH: contxt", "did you mean `context`?"]);
    let both = ["-o", "type=image,rewrite-timestamp=true", "-o", "type=image,rewrite-timestamp=false"];
    env.build_with(DOCKERFILE, &both).fails(2, &["rewrite-timestamp differs between outputs"]);
    env.build_with(DOCKERFILE, &["-o", "type=local,dest=x,rewrite-timestamp=true"]).fails(2, &["is for images"]);
}

#[test]
fn what_cannot_be_written_is_said_before_anything_runs() {
    let env = TestEnv::with_busybox();
    env.file("file", "");
    let text = "FROM busybox\nRUN echo ran\n";
    let refused = |flags: &[&str], code: i32, parts: &[&str]| {
        env.file("Dockerfile", text);
        let ran = env.kiln(["build", "--progress=plain"].into_iter().chain(flags.iter().copied()).chain(["."]));
        assert!(!ran.fails(code, parts).stderr.contains("RUN"), "{flags:?}");
    };
    refused(&["--push"], 2, &["--push needs a name to push to", "--tag"]);
    refused(&["-o", "type=registry"], 2, &["--output type=registry needs a name to push to", "name="]);
    refused(&["-o", "type=image,push=1"], 2, &["--output type=image,push=1 needs a name"]);
    refused(&["-o", "type=image,push=yes"], 2, &["`push=yes`: expected true or false"]);
    refused(&["-o", "type=image,dest=x"], 2, &["type=image writes no file"]);
    refused(&["--iidfile", "none/id"], 1, &["--iidfile: none cannot be written to"]);
    refused(&["--metadata-file", "."], 1, &["--metadata-file: . is a directory"]);
    refused(&["-o", "type=oci,dest=none/x.tar"], 1, &["type=oci,dest=none/x.tar: none cannot be written to"]);
    refused(&["-o", "file/out"], 1, &["--output file/out: file is not a directory"]);
}

#[test]
fn what_is_empty_is_not_given() {
    let env = env();
    let empty =
        ["-f", "--target", "--iidfile", "--metadata-file", "--shm-size", "-o", "--platform", "--label", "--build-arg"];
    let flags: Vec<&str> = empty.iter().flat_map(|flag| [*flag, ""]).collect();
    env.build_with(DOCKERFILE, &flags).ok();
    env.build_with(DOCKERFILE, &["--build-arg", "=x"]).fails(2, &["--build-arg =x: the name is empty"]);
    env.build_with(DOCKERFILE, &["--annotation", "a"]).fails(2, &["--annotation a: expected NAME=VALUE"]);
}

#[test]
fn flags_of_before_buildkit_are_honored_or_refused() {
    let env = env();
    env.build_with(DOCKERFILE, &["--rm", "--rm=true", "--force-rm", "--compress", "--isolation=default"]).ok();
    for flags in
        [&["--rm=false"][..], &["--squash"], &["-m", "1g"], &["--cpuset-cpus", "0"], &["--security-opt", "x"], &["-D"]]
    {
        env.build_with(DOCKERFILE, flags).fails(2, &["is not supported: "]);
    }
}

#[test]
fn the_environment_says_the_platform_and_the_limit_or_is_refused() {
    let env = env();
    env.file("Dockerfile", DOCKERFILE);
    let build = |name: &str, value: &str, flags: &[&str]| {
        let words = ["build", "-t", "test"].into_iter().chain(flags.iter().copied()).chain(["."]);
        crate::environment::ran(env.command(words).env(name, value).output().expect("kiln starts"))
    };
    let architecture = || env.inspect("test")["Architecture"].clone();
    build("DOCKER_DEFAULT_PLATFORM", "linux/s390x", &[]).ok();
    assert_eq!(architecture(), "s390x");
    build("DOCKER_DEFAULT_PLATFORM", "linux/s390x", &["--platform", "local"]).ok();
    assert_eq!(architecture(), image::Platform::host().architecture);
    build("DOCKER_DEFAULT_PLATFORM", "a/b/c/d", &[]).fails(2, &["DOCKER_DEFAULT_PLATFORM"]);
    build("KILN_KEEP_STORAGE", "much", &[]).fails(2, &["KILN_KEEP_STORAGE: `much` is not a size"]);
    env.build_with(DOCKERFILE, &["--platform", "linux/amd46"])
        .fails(2, &["linux/amd46", "did you mean `linux/amd64`?"]);
}
