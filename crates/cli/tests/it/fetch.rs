//! `ADD` of what is behind an address.

use testkit::{FileServer, Page};

use crate::environment::TestEnv;

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
