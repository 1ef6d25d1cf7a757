//! What instructions give.

use std::os::unix::fs::{PermissionsExt, symlink};

use crate::environment::TestEnv;

#[test]
fn a_multi_stage_image_builds_and_runs() {
    let env = TestEnv::with_busybox();
    env.file("src/hello.txt", "hello\n");
    env.build(
        "FROM busybox AS build\n\
         WORKDIR /build\n\
         COPY src/ .\n\
         RUN tr a-z A-Z < hello.txt > out.txt\n\
         FROM busybox\n\
         COPY --from=build /build/out.txt /out.txt\n\
         CMD [\"cat\", \"/out.txt\"]\n",
    )
    .ok();
    assert_eq!(env.kiln(["run", "--rm", "test"]).ok().stdout, "HELLO\n");
}

#[test]
fn the_configuration_has_what_the_instructions_say() {
    let env = TestEnv::with_busybox();
    env.build(
        "FROM busybox\n\
         ARG VERSION=1.2\n\
         ENV APP=/app VER=${VERSION:-none}\n\
         LABEL version=$VERSION\n\
         WORKDIR $APP\n\
         EXPOSE 80 53/udp\n\
         VOLUME /data\n\
         USER nobody\n\
         STOPSIGNAL SIGINT\n\
         HEALTHCHECK --interval=5s CMD true\n\
         SHELL [\"/bin/ash\", \"-c\"]\n\
         ENTRYPOINT [\"echo\"]\n\
         CMD hi there\n\
         ONBUILD RUN true\n",
    )
    .ok();
    let image = env.inspect("test");
    let config = &image["Config"];
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(config["Env"], serde_json::json!([path, "APP=/app", "VER=1.2"]));
    assert_eq!(config["Labels"], serde_json::json!({"version": "1.2"}));
    assert_eq!(config["WorkingDir"], "/app");
    assert_eq!(config["ExposedPorts"], serde_json::json!({"53/udp": {}, "80/tcp": {}}));
    assert_eq!(config["Volumes"], serde_json::json!({"/data": {}}));
    assert_eq!(config["User"], "nobody");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(
        config["Healthcheck"],
        serde_json::json!({"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_i64})
    );
    assert_eq!(config["Entrypoint"], serde_json::json!(["echo"]));
    assert_eq!(config["Cmd"], serde_json::json!(["/bin/ash", "-c", "hi there"]));
    assert_eq!(config["OnBuild"], serde_json::json!(["RUN true"]));
    let history = env.kiln(["history", "--no-trunc", "test"]).ok().stdout;
    for line in ["ENV APP=/app VER=1.2", "WORKDIR /app", "EXPOSE [53/udp 80/tcp]", "USER nobody", "STOPSIGNAL SIGINT"] {
        assert!(history.contains(line), "{line}\n{history}");
    }
}

#[test]
fn run_sees_users_env_and_heredocs() {
    let env = TestEnv::with_busybox();
    env.build(
        "FROM busybox\n\
         RUN echo app:x:1234:1234::/home/app:/bin/sh >> /etc/passwd\n\
         ENV GREETING=hello\n\
         RUN sh <<EOF > /heredoc.txt\n\
         echo $GREETING\n\
         id -u\n\
         EOF\n\
         RUN <<EOF\n\
         #!/bin/busybox sh\n\
         echo script > /script.txt\n\
         EOF\n\
         USER app\n\
         WORKDIR /home/app\n\
         RUN [\"sh\", \"-c\", \"id -un > who; echo $HOME >> who\"]\n",
    )
    .ok();
    assert_eq!(env.sh("cat /heredoc.txt /script.txt /home/app/who"), "hello\n0\nscript\napp\n/home/app\n");
    assert_eq!(env.sh("stat -c '%u:%g %a' /home/app/who"), "1234:1234 644\n");
}

#[test]
fn run_leaves_nothing_of_its_mounts_in_the_layer() {
    let env = TestEnv::with_busybox();
    env.build("FROM busybox\nRUN test -s /etc/hosts && test -e /etc/resolv.conf && test -e /dev/null && touch /made\n")
        .ok();
    let layers = env.path("rootfs.tar");
    env.kiln(["build", "-o", &format!("type=tar,dest={}", layers.display()), "."]).ok();
    let listing = crate::environment::tool(std::process::Command::new("tar").arg("-tf").arg(&layers));
    let names: Vec<&str> = listing.lines().collect();
    assert!(names.contains(&"made"), "{listing}");
    assert!(
        !names.iter().any(|n| n.starts_with("etc/hosts")
            || n.starts_with("etc/resolv")
            || n.starts_with("dev/") && *n != "dev/"),
        "{listing}"
    );
}

#[test]
fn copy_follows_dockers_rules() {
    let env = TestEnv::with_busybox();
    env.file("dir/a.txt", "a");
    env.file("dir/sub/b.txt", "b");
    env.file("c1.conf", "1");
    env.file("c2.conf", "2");
    let script = env.file("run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o4755)).expect("a mode");
    symlink("a.txt", env.path("context/dir/link")).expect("a link");
    env.build(
        "FROM busybox\n\
         COPY dir /merged\n\
         COPY dir/a.txt /renamed\n\
         COPY *.conf /conf/\n\
         COPY --chown=nobody:0 --chmod=640 c1.conf /owned\n\
         COPY run.sh /run.sh\n\
         COPY <<one <<\"two\" /inline/\n\
         value $PATH_THAT_IS_NOT_SET.\n\
         one\n\
         literal $HOME\n\
         two\n",
    )
    .ok();
    assert_eq!(env.sh("cd /merged && cat a.txt sub/b.txt && readlink link"), "aba.txt\n");
    assert_eq!(env.sh("cat /renamed /conf/c1.conf /conf/c2.conf"), "a12");
    assert_eq!(env.sh("stat -c '%U:%g %a' /owned /run.sh"), "nobody:0 640\nroot:0 4755\n");
    assert_eq!(env.sh("cat /inline/one /inline/two"), "value .\nliteral $HOME\n");
}

#[test]
fn dockerignore_hides_files() {
    let env = TestEnv::with_busybox();
    env.file(".dockerignore", "*.log\n!keep.log\ntarget\n");
    env.file("a.log", "");
    env.file("keep.log", "");
    env.file("target/x", "");
    env.file("src/main.rs", "");
    env.build("FROM busybox\nCOPY . /all/\n").ok();
    assert_eq!(
        env.sh("cd /all && find . -type f | sort"),
        "./.dockerignore\n./Dockerfile\n./keep.log\n./src/main.rs\n"
    );
    env.build("FROM busybox\nCOPY a.log /\n").fails(1, &["\"/a.log\": not found", "ignore file"]);
    env.file(".dockerignore", "a\n".repeat((8 << 20) + 1));
    env.build("FROM busybox\nCOPY src /\n").fails(1, &["the ignore file", ".dockerignore is larger than 16 MiB"]);
}

#[test]
fn add_extracts_archives_and_copy_does_not() {
    let env = TestEnv::with_busybox();
    env.file("in/one", "1");
    env.file("in/two", "2");
    for (flag, name) in [("z", "a.tgz"), ("J", "a.tar.xz"), ("j", "a.tar.bz2"), ("", "a.bin")] {
        let mut tar = std::process::Command::new("tar");
        crate::environment::tool(
            tar.current_dir(env.path("context")).arg(format!("-c{flag}f")).args([name, "-C", "in", "."]),
        );
    }
    env.build(
        "FROM busybox\nADD a.tgz /tgz/\nADD a.tar.xz /xz/\nADD a.tar.bz2 /bz2/\nADD a.bin /bin-archive/\nCOPY a.tgz /copied/\nADD in/one /plain\n",
    )
    .ok();
    assert_eq!(env.sh("cat /tgz/one /xz/two /bz2/one /bin-archive/two /plain"), "12121");
    assert_eq!(env.sh("ls /copied"), "a.tgz\n");
}

#[test]
fn onbuild_triggers_run_in_the_child() {
    let env = TestEnv::with_busybox();
    env.file("app.txt", "app");
    env.file("Dockerfile", "FROM busybox\nONBUILD COPY app.txt /app.txt\nONBUILD RUN echo ran >> /app.txt\n");
    env.kiln(["build", "-t", "parent", "."]).ok();
    env.build("FROM parent\nRUN echo child >> /app.txt\n").ok();
    assert_eq!(env.sh("cat /app.txt"), "appran\nchild\n");
    assert!(env.inspect("test")["Config"]["OnBuild"].is_null());
}

#[test]
fn only_needed_stages_are_built() {
    let env = TestEnv::with_busybox();
    let dockerfile = "FROM busybox AS broken\nRUN false\nFROM busybox AS good\nRUN touch /good\nFROM broken AS last\n";
    env.build_with(dockerfile, &["--target", "good"]).ok();
    assert_eq!(env.sh("ls /good"), "/good\n");
    env.build(dockerfile).fails(1, &["exit code: 1", "RUN false"]);
}

#[test]
fn contexts_may_be_directories_and_layouts() {
    let env = TestEnv::with_busybox();
    let other = env.path("other");
    std::fs::create_dir(&other).expect("a directory");
    std::fs::write(other.join("x"), "from other").expect("a file");
    env.build("FROM busybox\nRUN echo layout > /l\n").ok();
    let layout = env.path("layout");
    env.kiln(["build", "-t", "l:v1", "-o", &format!("type=oci,tar=false,dest={}", layout.display()), "."]).ok();
    env.build_with(
        "FROM fromlayout\nCOPY --from=other x /x\n",
        &[
            "--build-context",
            &format!("other={}", other.display()),
            "--build-context",
            &format!("fromlayout=oci-layout://{}:v1", layout.display()),
        ],
    )
    .ok();
    assert_eq!(env.sh("cat /x /l"), "from otherlayout\n");
}

#[test]
fn run_can_bind_and_use_tmpfs() {
    let env = TestEnv::with_busybox();
    env.file("in.txt", "in");
    env.build(
        "FROM busybox AS tools\nRUN echo tool > /tool\n\
         FROM busybox\n\
         RUN --mount=type=bind,target=/ctx --mount=from=tools,source=/tool,target=/t --mount=type=tmpfs,target=/scratch \
         touch /scratch/x && cat /ctx/in.txt /t > /out\n",
    )
    .ok();
    assert_eq!(env.sh("cat /out; ls /scratch /ctx 2>/dev/null | wc -l"), "intool\n0\n");
}

#[test]
fn network_none_has_loopback_only() {
    let env = TestEnv::with_busybox();
    env.build("FROM busybox\nRUN --network=none ls /sys/class/net > /net\n").ok();
    assert_eq!(env.sh("cat /net"), "lo\n");
}

#[test]
fn files_of_other_owners_work_in_run() {
    let env = TestEnv::with_busybox();
    env.build(
        "FROM busybox\n\
         RUN echo app:x:1000:1000::/:/bin/sh >> /etc/passwd && echo app:x:1000: >> /etc/group && touch /f && chown app:app /f && chmod 4755 /f\n\
         RUN su app -s /bin/sh -c 'touch /tmp/by-app' && stat -c %U /f /tmp/by-app > /owners\n",
    )
    .ok();
    assert_eq!(env.sh("cat /owners; stat -c '%U %a' /f"), "app\napp\napp 4755\n");
}
