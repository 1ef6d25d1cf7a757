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
