//! Images are packed when something needs their digest, and not before.

use std::fs;
use std::process::Stdio;

use crate::environment::{TestEnv, ran};

const DOCKERFILE: &str =
    "FROM busybox\nRUN echo x > /x && echo secret > /y && chmod 600 /y && chown 1:1 /y\nCMD [\"cat\", \"/x\"]\n";

/// How many blobs the store holds.
fn blobs(env: &TestEnv) -> usize {
    fs::read_dir(env.store().join("blobs/sha256")).expect("a directory").count()
}

#[test]
fn building_naming_running_and_listing_pack_nothing() {
    let env = TestEnv::with_busybox();
    let before = blobs(&env);
    let built = env.build(DOCKERFILE).ok();
    assert!(built.stderr.contains("named test:latest") && !built.stderr.contains("sha256:"), "{}", built.stderr);
    assert_eq!(env.kiln(["run", "--rm", "test"]).ok().stdout, "x\n");
    env.kiln(["tag", "test", "other:1"]).ok();
    env.build_with(DOCKERFILE, &["-o", "type=image,name=third"]).ok();
    let listed = env.kiln(["images", "--digests"]).ok().stdout;
    let row = |name: &str| -> Vec<String> {
        let line = listed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {listed}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    for name in ["test ", "other ", "third "] {
        let row = row(name);
        assert_eq!((row[2].as_str(), row.last().map(String::as_str)), ("-", Some("-")), "{listed}");
    }
    let line = env.kiln(["images", "other", "--format", "json"]).ok().stdout;
    let json: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&json["ID"], &json["Digest"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    // The layers below, and four bytes more.
    assert!(json["Size"].as_u64().expect("a number") > 100_000, "{line}");
    env.kiln(["rmi", "third"]).ok();
    assert_eq!(blobs(&env), before);

    // Whoever asks for a digest gives one to all names of the image.
    let id = env.image_id();
    assert!(blobs(&env) > before);
    let packed = env.inspect("other:1");
    assert_eq!(packed["Id"], id.as_str());
    assert_eq!(packed["RepoTags"], serde_json::json!(["other:1", "test:latest"]));
    let short = &id["sha256:".len()..][..12];
    assert_eq!(env.kiln(["images", "-q", "test"]).ok().stdout.trim(), short);
    assert_eq!(env.kiln(["run", "--rm", short]).ok().stdout, "x\n");
    // Building again neither changes nor forgets it.
    assert_eq!(env.build(DOCKERFILE).ok().counts(), (0, 1));
    let listed = env.kiln(["images"]).ok().stdout;
    assert_eq!(listed.matches(short).count(), 2, "{listed}");
}

#[test]
fn what_needs_the_digest_packs_on_its_own() {
    let consumers: [&[&str]; 6] = [
        &["inspect", "test"],
        &["history", "test"],
        &["save", "test", "-o", "../saved.tar"],
        &["images", "-q", "test"],
        &["build", "-q", "-t", "test", "."],
        &["build", "-t", "above", "-f", "above", "."],
    ];
    for consumer in consumers {
        let env = TestEnv::with_busybox();
        env.build(DOCKERFILE).ok();
        env.file("above", "FROM test\nRUN cat /x > /z\n");
        let before = blobs(&env);
        env.kiln(consumer.iter().copied()).ok();
        // A layer, a configuration and a manifest: what is built on it is not packed either.
        assert_eq!(blobs(&env), before + 3, "{consumer:?}");
    }
}

#[test]
fn what_is_printed_is_what_is_packed_later() {
    let env = TestEnv::with_busybox();
    env.build(DOCKERFILE).ok();
    let id = env.image_id();
    assert_eq!(env.kiln(["build", "-q", "."]).ok().stdout.trim(), id);
    env.build_with(DOCKERFILE, &["--no-cache"]).ok();
    assert_eq!(env.image_id(), id, "an equal layer is kept, and the draft with it");
    env.build_with("FROM test\nRUN cat /x > /z\n", &["-t", "above"]).ok();
    assert_eq!(env.kiln(["run", "--rm", "above", "cat", "/z"]).ok().stdout, "x\n");
}

/// The second step ends when the layer of the first is packed.
#[test]
fn what_an_output_needs_is_packed_while_later_steps_run() {
    let env = TestEnv::with_busybox();
    let before = blobs(&env);
    env.file("src/a", "a");
    env.file(
        "Dockerfile",
        "FROM busybox AS other\nRUN echo not needed > /n\nFROM busybox\nRUN echo x > /x\n\
         RUN --mount=type=bind,source=src,target=/src --mount=type=bind,from=other,target=/o \
         i=0; while [ ! -e /src/packed ]; do i=$((i+1)); [ $i -lt 600 ] || exit 1; sleep 0.1; done\n",
    );
    let mut build = env.command(["build", "--progress=plain", "-o", "type=oci,dest=../out.tar", "."]);
    let build = build.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kiln starts");
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| ran(build.wait_with_output().expect("kiln ends")));
        while blobs(&env) == before && !ended.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(blobs(&env), before + 1, "and nothing that is not part of the image");
        env.file("src/packed", "");
        ended.join().expect("no panic").ok();
    });
}

#[test]
fn a_draft_keeps_its_layers_until_its_name_goes() {
    let env = TestEnv::with_busybox();
    env.build(DOCKERFILE).ok();
    env.kiln(["rmi", "busybox"]).ok();
    env.kiln(["prune", "-af"]).ok();
    env.kiln(["du", "--verify"]).ok();
    assert_eq!(env.kiln(["run", "--rm", "test"]).ok().stdout, "x\n");
    assert!(env.kiln(["du", "-v"]).ok().stdout.contains("image draft"));
    env.kiln(["rmi", "test"]).ok();
    env.kiln(["prune", "-af"]).ok();
    let left = env.kiln(["du"]).ok().stdout;
    assert!(!left.contains("draft") && !left.contains("layer"), "{left}");
    env.kiln(["run", "--rm", "test"]).fails(125, &["test"]);
}

/// What reads a build's output to its end waits for whatever still holds it; `ran` does.
#[test]
fn the_disk_is_not_waited_for() {
    let env = TestEnv::with_busybox();
    let marked = || env.store().join("dirty").exists();
    // Comes to an end, though nobody waits for it.
    let wait = || {
        while marked() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    wait();

    env.build(DOCKERFILE).ok();
    wait();

    env.kiln(["du", "--verify"]).ok();
    env.build(DOCKERFILE).ok();
    assert!(!marked(), "nothing was written");
}
