//! What is behind an address: sources of `ADD`, build contexts and Dockerfiles.

use std::process::Command;

use testkit::{FileServer, Page};

use crate::environment::{Ran, TestEnv, tool};

fn with_etag(body: &str, etag: &str) -> Page {
    Page { etag: Some(format!("\"{etag}\"")), ..Page::new(body) }
}

fn statuses(server: &FileServer) -> Vec<u16> {
    server.take_asked().iter().map(|asked| asked.status).collect()
}

#[test]
fn a_server_is_asked_whether_a_file_is_still_the_same() {
    let (env, server) = (TestEnv::with_busybox(), FileServer::new());
    let modified = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
    server.put("/f", Page { headers: vec![modified], ..with_etag("one", "1") });
    let text = format!("FROM busybox\nADD {} /o/\n", server.url("/f"));
    assert_eq!(env.build(&text).ok().counts(), (2, 0));
    assert_eq!(env.sh("cat /o/f; stat -c ' %a %u:%g %Y' /o/f"), "one 600 0:0 784111777\n");
    assert_eq!(statuses(&server), [200]);

    assert_eq!(env.build(&text).ok().counts(), (0, 2), "nothing is transferred");
    assert_eq!(statuses(&server), [304]);

    server.put("/f", with_etag("one", "2"));
    assert_eq!(env.build(&text).ok().counts(), (1, 1), "the same content hits below");
    assert_eq!(statuses(&server), [200]);

    server.put("/f", with_etag("two", "3"));
    assert_eq!(env.build(&text).ok().counts(), (2, 0));
    assert_eq!(env.sh("cat /o/f"), "two");
    let why = env.kiln(["explain"]).ok().stdout;
    assert!(why.contains(&format!("what is at {} changed", server.url("/f"))), "{why}");

    server.take_asked();
    env.build_with(&text, &["--require-cache"])
        .fails(1, &["Dockerfile:2:5", "only its server can tell whether it is still the same"]);
    assert!(statuses(&server).is_empty());
    env.build_with(&text, &["--no-cache"]).ok();
    assert_eq!(statuses(&server), [200], "--no-cache asks for the whole");
}

#[test]
fn with_a_checksum_nobody_is_asked_again() {
    let (env, server) = (TestEnv::new(), FileServer::new());
    server.put("/f", Page::new("one"));
    let digest = image::Digest::of(b"one");
    let text = |digest| format!("FROM scratch\nADD --checksum={digest} {} /o/\n", server.url("/f"));
    env.build(&text(digest)).ok();
    assert_eq!(statuses(&server), [200]);
    assert_eq!(env.build(&text(digest)).ok().counts(), (0, 2));
    env.build_with(&text(digest), &["--require-cache"]).ok();
    assert!(statuses(&server).is_empty());
    let other = image::Digest::of(b"two");
    env.build(&text(other))
        .fails(1, &["this is not what the checksum says", "Dockerfile:2:88", &digest.to_string(), &other.to_string()]);
}

#[test]
fn archives_are_extracted_only_when_asked_for() {
    let (env, server) = (TestEnv::with_busybox(), FileServer::new());
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o640);
    tar.append_data(&mut header, "in/side", &b"one"[..]).unwrap();
    server.put("/a.tar", Page::new(tar.into_inner().unwrap()));
    let url = server.url("/a.tar");
    env.file("local.txt", "local");
    env.build(&format!("FROM busybox\nADD {url} local.txt /o/\nADD --unpack=true --chown=5:6 {url} /p/\n")).ok();
    assert_eq!(env.sh("ls /o; cat /p/in/side; stat -c ' %a %u:%g' /p/in/side"), "a.tar\nlocal.txt\none 640 5:6\n");
}

#[test]
fn redirects_are_followed_and_logins_stay() {
    let (env, server, other) = (TestEnv::new(), FileServer::new(), FileServer::new());
    server.put("/a", Page::redirect(302, "/b"));
    server.put("/b", Page::redirect(307, other.url("/c")));
    other.put("/c", Page::new("there"));
    let ran = env.build(&format!("FROM scratch\nADD http://me:hunter2@{}/a /o/\n", server.host())).ok();
    let authorized = |server: &FileServer| {
        let asked = server.take_asked();
        asked
            .iter()
            .map(|asked| asked.headers.iter().any(|header| header.starts_with("authorization:")))
            .collect::<Vec<_>>()
    };
    assert_eq!(authorized(&server), [true, true]);
    assert_eq!(authorized(&other), [false], "a login goes to no other server");
    assert!(ran.stderr.contains("http://xxxxx:xxxxx@") && !ran.stderr.contains("hunter2"), "{}", ran.stderr);

    server.put("/loop", Page::redirect(301, "/loop"));
    env.build(&format!("FROM scratch\nADD {} /o/\n", server.url("/loop"))).fails(1, &["redirects more than 10 times"]);
}

#[test]
fn what_goes_wrong_is_told_at_the_address() {
    let (env, server) = (TestEnv::new(), FileServer::new());
    let build = |path: &str| env.build(&format!("FROM scratch\nADD {} /o/\n", server.url(path)));
    build("/nothing").fails(1, &["Dockerfile:2:5", "this cannot be fetched", "HTTP 404 Not Found"]);
    server.put("/huge", Page { length: Some(1 << 60), ..Page::new("x") });
    build("/huge").fails(1, &["bytes allowed"]);
    server.put("/packed", Page { headers: vec![("Content-Encoding", "br".to_owned())], ..Page::new("x") });
    build("/packed").fails(1, &["content encoding `br`"]);
    // What breaks once is tried again.
    server.put("/flaky", Page { broken: 1, ..Page::new("0123456789") });
    build("/flaky").ok();
    server.put("/", Page::new("unnamed"));
    build("").ok();
}

/// A tar of files, each a second later than the one before.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (second, (path, content)) in (1_000_000_000..).zip(files) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(second);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn build(env: &TestEnv, context: &str, flags: &[&str]) -> Ran {
    env.kiln(["build", "--progress=plain", "-t", "test"].into_iter().chain(flags.iter().copied()).chain([context]))
}

const ALL: &str = "FROM busybox\nCOPY . /o\n";

#[test]
fn an_archive_behind_an_address_is_the_context() {
    let (env, server) = (TestEnv::with_busybox(), FileServer::new());
    let files = [("Dockerfile", ALL), ("sub/Other", ALL), (".dockerignore", "hidden"), ("hidden", ""), ("a", "one")];
    let tar = archive(&files);
    tool(Command::new("gzip").arg(env.file("c.tar", &tar)));
    let gzip = std::fs::read(env.path("context/c.tar.gz")).unwrap();
    server.put("/c", Page::new(tar));
    server.put("/c.tar.gz", Page::new(gzip));
    for path in ["/c", "/c.tar.gz"] {
        build(&env, &server.url(path), &[]).ok();
        assert_eq!(env.sh("cd /o; echo *; cat a"), "Dockerfile a sub\none");
    }
    assert_eq!(build(&env, &server.url("/c"), &["-f", "sub/Other"]).ok().counts().0, 0, "the same files are cached");
    build(&env, &server.url("/c"), &["-f", "sub/None"]).fails(1, &["failed to read sub/None of http://"]);

    server.put("/away", Page::redirect(302, "/c"));
    let ran = build(&env, &format!("http://me:hunter2@{}/away", server.host()), &[]).ok();
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);

    build(&env, &server.url("/c"), &["--build-arg", "SOURCE_DATE_EPOCH=context"]).ok();
    assert_eq!(env.inspect("test")["Created"].as_str(), Some("2001-09-09T01:46:44Z"), "that of the newest file");
    let modified = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
    server.put("/dated", Page { headers: vec![modified], ..Page::new(archive(&files)) });
    build(&env, &server.url("/dated"), &["--build-arg", "SOURCE_DATE_EPOCH=context"]).ok();
    assert_eq!(env.inspect("test")["Created"].as_str(), Some("1994-11-06T08:49:37Z"));
}

#[test]
fn a_context_is_transferred_when_its_server_says_that_it_is_another() {
    let (env, server) = (TestEnv::with_busybox(), FileServer::new());
    let context = |content: &str, etag: &str| Page {
        etag: Some(format!("\"{etag}\"")),
        ..Page::new(archive(&[("Dockerfile", ALL), ("a", content)]))
    };
    server.put("/c", context("one", "1"));
    let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=context"];
    build(&env, &server.url("/c"), &epoch).ok();
    assert_eq!((env.sh("cat /o/a"), statuses(&server)), ("one".to_owned(), vec![200]));
    assert_eq!(build(&env, &server.url("/c"), &epoch).ok().counts().0, 0);
    assert_eq!(statuses(&server), [304]);
    assert_eq!(env.inspect("test")["Created"].as_str(), Some("2001-09-09T01:46:41Z"), "that of the newest file, still");
    server.put("/c", context("two", "2"));
    build(&env, &server.url("/c"), &epoch).ok();
    assert_eq!((env.sh("cat /o/a"), statuses(&server)), ("two".to_owned(), vec![200]));

    env.file("a", "local");
    server.put("/Dockerfile", with_etag("FROM busybox\nCOPY --from=x / /o\n", "3"));
    let flags = ["-f", &server.url("/Dockerfile"), "--build-context", &format!("x={}", server.url("/c"))];
    build(&env, ".", &flags).ok();
    assert_eq!(statuses(&server), [200, 200], "as a named context it is another file");
    build(&env, ".", &flags).ok();
    assert_eq!((env.sh("cd /o; tar xOf context a"), statuses(&server)), ("two".to_owned(), vec![304, 304]));
}

#[test]
fn an_epoch_may_be_that_of_a_stage() {
    let (env, server) = (TestEnv::with_busybox(), FileServer::new());
    let modified = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
    server.put("/dated", Page { headers: vec![modified], ..with_etag("x", "1") });
    server.put("/archive", Page::new(archive(&[("a", ""), ("b", ""), ("c", "")])));
    server.put("/neither", Page::new("x"));
    let host = format!("HOST={}", server.host());
    let created = |path: &str| {
        let text = "ARG HOST\nARG SOURCE_DATE_EPOCH=Time\nFROM scratch AS time\nARG HOST\nARG FILE\nADD http://$HOST/$FILE /f\n\
                    FROM busybox\nARG SOURCE_DATE_EPOCH\nENV E=${SOURCE_DATE_EPOCH-unset}\nCOPY --from=time /f /f\n";
        env.build_with(text, &["--build-arg", &host, "--build-arg", &format!("FILE={path}")]).ok();
        let image = env.inspect("test");
        let mut found =
            image["Config"]["Env"].as_array().expect("a list").iter().filter_map(|e| e.as_str()?.strip_prefix("E="));
        (image["Created"].as_str().expect("a time").to_owned(), found.next_back().expect("a value").to_owned())
    };
    assert_eq!(created("dated"), ("1994-11-06T08:49:37Z".to_owned(), "784111777".to_owned()));
    assert_eq!(statuses(&server), [200, 304], "what the time was taken of is what is added");
    assert_eq!(created("archive"), ("2001-09-09T01:46:42Z".to_owned(), "1000000002".to_owned()));
    assert_eq!(created("neither").1, "unset");
    let text = format!("ARG SOURCE_DATE_EPOCH=t\nFROM scratch AS t\nADD {} /\n", server.url("/nothing"));
    env.build(&text).fails(1, &["failed to find out SOURCE_DATE_EPOCH", "/nothing", "HTTP 404 Not Found"]);
}

/// What a server was told of who asks, request by request.
fn told(server: &FileServer) -> Vec<Option<String>> {
    let of = |headers: &[String]| headers.iter().find_map(|h| h.strip_prefix("authorization: ").map(str::to_owned));
    server.take_asked().iter().map(|asked| of(&asked.headers)).collect()
}

#[test]
fn secrets_for_a_host_are_told_to_it_alone() {
    const CANARY: &str = "canary-55aa7";
    let (env, server, other) = (TestEnv::with_busybox(), FileServer::new(), FileServer::new());
    server.put("/f", Page::new("one"));
    server.put("/away", Page::redirect(302, other.url("/f")));
    server.put("/c", Page::new(archive(&[("Dockerfile", ALL), ("a", "one")])));
    other.put("/f", Page::new("two"));
    let mut said = String::new();
    let mut run = |context: &str, flags: &[&str], value: &str| {
        let arguments = ["build", "--progress=plain", "-t", "test"].into_iter().chain(flags.iter().copied());
        let mut command = env.command(arguments.chain([context]));
        let output = command.env("VALUE", value).stdin(std::process::Stdio::null()).output().expect("kiln starts");
        let ran = crate::environment::ran(output);
        said.push_str(&format!("{}{}", ran.stdout, ran.stderr));
        ran
    };
    let token = ["--secret", "id=HTTP_AUTH_TOKEN_127.0.0.1,env=VALUE", "-o", "type=oci,dest=out.tar"];
    let bearer = Some(format!("bearer {CANARY}"));
    env.file("Dockerfile", format!("FROM busybox\nADD {} {} /o/\n", server.url("/f"), server.url("/away")));
    run(".", &token, CANARY).ok();
    assert_eq!(told(&server), [bearer.clone(), bearer.clone()]);
    assert_eq!(told(&other), [None], "the other port is another server");
    run(&server.url("/c"), &token, CANARY).ok();
    assert_eq!(told(&server), [bearer]);
    let header = ["--secret", "id=HTTP_AUTH_HEADER_127.0.0.1,env=VALUE"];
    run(&server.url("/c"), &header, &format!("Basic {CANARY}")).ok();
    assert_eq!(told(&server), [Some(format!("basic {CANARY}"))]);
    run(&server.url("/c"), &["--secret", "id=HTTP_AUTH_TOKEN_localhost,env=VALUE"], CANARY).ok();
    assert_eq!(told(&server), [None]);
    run(&server.url("/c"), &header, &format!("{CANARY}\n{CANARY}"))
        .fails(1, &["secret HTTP_AUTH_HEADER_127.0.0.1 cannot be sent to a server", "several lines"]);
    for command in [&["explain"][..], &["history", "test"], &["inspect", "test"], &["builds"]] {
        let ran = env.kiln(command.iter().copied()).ok();
        said.push_str(&ran.stdout);
    }
    assert!(!said.to_lowercase().contains(CANARY), "{said}");
    crate::mounts::assert_no_trace_of(CANARY, &env.path(""));
}

#[test]
fn a_dockerfile_may_be_behind_an_address() {
    let (env, server) = (TestEnv::with_busybox(), FileServer::new());
    server.put("/Dockerfile", Page::new("FROM busybox\nLABEL of=server\n"));
    build(&env, &server.url("/Dockerfile"), &[]).ok();
    assert_eq!(env.inspect("test")["Config"]["Labels"]["of"], "server");
    let not = "is not an archive";
    build(&env, &server.url("/Dockerfile"), &["-f", "x"]).fails(1, &["/Dockerfile is not an archive", "--file"]);
    build(&env, &server.url("/Dockerfile"), &["-f", &server.url("/Dockerfile")]).fails(1, &[not]);
    server.put("/copies", Page::new("FROM busybox\nCOPY a .dockerignor[e] hidde[n] /o/\n"));
    build(&env, &server.url("/copies"), &[]).fails(1, &["/copies:2:6", "no such path"]);

    env.file("a", "local");
    env.file(".dockerignore", "hidden");
    env.file("hidden", "");
    let address = format!("http://me:hunter2@{}/copies", server.host());
    let ran = build(&env, ".", &["-f", &address]).ok();
    assert_eq!(env.sh("cd /o; ls -A; cat a"), ".dockerignore\na\nlocal");
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    server.put("/c", Page::new(archive(&[("a", "archived")])));
    build(&env, &server.url("/c"), &["-f", &address]).ok();
    assert_eq!(env.sh("cat /o/a"), "archived");
}

#[test]
fn a_named_context_is_fetched_if_something_reads_it() {
    let (env, server) = (TestEnv::with_busybox(), FileServer::new());
    let modified = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
    server.put("/d/x.tar", Page { headers: vec![modified], ..Page::new(archive(&[("in/side", "one")])) });
    let flag = format!("x=http://me:hunter2@{}/d/x.tar", server.host());
    env.file("Dockerfile", "FROM busybox\nCOPY --from=x / /o/\n");
    let ran = build(&env, ".", &["--build-context", &flag]).ok();
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    assert_eq!(env.sh("cd /o; tar xOf context; stat -c ' %n %a %Y' *"), "one context 600 784111777\n");
    assert_eq!(statuses(&server), [200]);
    build(&env, ".", &["--build-context", &flag, "--build-arg", "SOURCE_DATE_EPOCH=x"]).ok();
    assert_eq!(env.inspect("test")["Created"].as_str(), Some("1994-11-06T08:49:37Z"));
    assert_eq!(statuses(&server), [200], "one transfer, though its time is asked for first");

    env.file("Dockerfile", "FROM busybox\nCOPY Dockerfile /\n");
    build(&env, ".", &["--build-context", &flag]).ok();
    assert!(statuses(&server).is_empty(), "nobody reads it");
}

#[test]
fn contexts_that_cannot_be_fetched() {
    let (env, server) = (TestEnv::new(), FileServer::new());
    let (address, shown) = (format!("http://me:hunter2@{}/none", server.host()), server.url("/none"));
    let check = |ran: Ran, parts: &[&str]| {
        let ran = ran.fails(1, parts);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    };
    check(build(&env, &address, &[]), &[&shown, "HTTP 404 Not Found"]);
    check(build(&env, ".", &["-f", &address]), &[&shown, "HTTP 404 Not Found"]);
    env.file("Dockerfile", "FROM scratch\nCOPY --from=x / /\n");
    let flag = format!("x={address}");
    check(build(&env, ".", &["--build-context", &flag]), &["build context `x`", &shown, "HTTP 404 Not Found"]);
    build(&env, "http://:80/f", &[]).fails(1, &["build context `http://:80/f`", "names no host"]);
    build(&env, ".", &["--build-context", "x=https://"]).fails(2, &["--build-context x", "names no host"]);
    build(&env, "ftp://me:hunter2@h/f", &[]).fails(1, &["ftp://xxxxx", "an address begins with"]);
    server.put("/huge", Page { length: Some(1 << 60), ..Page::new("x") });
    build(&env, &server.url("/huge"), &[]).fails(1, &["bytes allowed"]);
    let mut cut = archive(&[("Dockerfile", ALL)]);
    cut.truncate(700);
    server.put("/cut", Page::new(cut));
    build(&env, &server.url("/cut"), &[]).fails(1, &["failed to unpack http://"]);
}
