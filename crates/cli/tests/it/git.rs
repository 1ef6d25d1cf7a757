//! Git repositories as build contexts and as sources of `ADD`, from a server of the test's own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use testkit::{FileServer, GitHttpServer, GitServer, Page, Repository};

use crate::environment::{Ran, TestEnv};

const DOCKERFILE: &str = "FROM scratch\nCOPY . /\n";

/// A repository with a context at its root and another one below `sub`.
fn sample(server: &GitServer) -> (Repository, String) {
    let repository = server.repository("app.git");
    repository.file("Dockerfile", DOCKERFILE).file(".dockerignore", "hidden\n").file("hidden", "h").file("a", "one");
    repository.file("sub/Dockerfile", DOCKERFILE).file("sub/run.sh", "#!/bin/sh\n").file("other/Other.df", DOCKERFILE);
    fs::set_permissions(repository.path().join("sub/run.sh"), fs::Permissions::from_mode(0o755)).expect("a mode");
    symlink("/etc", repository.path().join("way")).expect("a link");
    let commit = repository.commit("first");
    repository.git(&["tag", "--annotate", "--message=v1", "v1"]);
    (repository, commit)
}

fn build(env: &TestEnv, context: &str, flags: &[&str]) -> Ran {
    env.kiln(["build", "--progress=plain", "-t", "test"].into_iter().chain(flags.iter().copied()).chain([context]))
}

/// What is in the image: `path mode`, sorted.
fn files(env: &TestEnv) -> Vec<String> {
    let out = env.path("out.tar");
    env.kiln(["save", "test", "-o", out.to_str().expect("UTF-8")]).ok();
    let _ = fs::remove_dir_all(env.path("tree"));
    env.file("Export", "FROM test\n");
    let tree = env.path("tree");
    env.kiln(["build", "-q", "-f", "Export", "-o", tree.to_str().expect("UTF-8"), "."]).ok();
    let mut found = Vec::new();
    walk(&tree, &tree, &mut found);
    found.sort();
    found
}

fn walk(root: &std::path::Path, at: &std::path::Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(at).expect("a directory") {
        let path = entry.expect("an entry").path();
        let metadata = path.symlink_metadata().expect("metadata");
        let shown = path.strip_prefix(root).expect("below").display().to_string();
        found.push(format!("{shown} {:o}", metadata.permissions().mode() & 0o7777));
        if metadata.is_dir() {
            walk(root, &path, found);
        }
    }
}

fn read(env: &TestEnv, path: &str) -> String {
    fs::read_to_string(env.path("tree").join(path)).expect("a file")
}

#[test]
fn a_repository_is_a_context() {
    let server = GitServer::new();
    let (repository, first) = sample(&server);
    let env = TestEnv::new();
    let url = server.url("app.git");
    build(&env, &url, &[]).ok();
    let found = files(&env);
    assert!(found.contains(&"a 644".to_owned()) && found.contains(&"sub/run.sh 755".to_owned()), "{found:?}");
    assert!(!found.iter().any(|f| f.starts_with("hidden") || f.starts_with(".git ")), "{found:?}");
    assert_eq!(build(&env, &url, &[]).ok().counts().0, 0, "nothing is new");

    repository.file("a", "two").commit("second");
    build(&env, &url, &[]).ok();
    files(&env);
    assert_eq!(read(&env, "a"), "two", "the branch moved");
    for reference in [format!("#{first}"), "#v1".to_owned(), "?tag=v1".to_owned(), format!("?ref=v1&checksum={first}")]
    {
        assert_eq!(build(&env, &format!("{url}{reference}"), &[]).ok().counts().0, 0, "{reference}");
        files(&env);
        assert_eq!(read(&env, "a"), "one", "{reference}");
    }
}

#[test]
fn a_commit_that_is_here_needs_no_server() {
    let env = TestEnv::new();
    let (url, first) = {
        let server = GitServer::new();
        let (_repository, first) = sample(&server);
        let url = format!("{}#{first}", server.url("app.git"));
        build(&env, &url, &[]).ok();
        (url, first)
    };
    assert_eq!(build(&env, &url, &[]).ok().counts().0, 0);
    assert!(url.ends_with(&first));
}

#[test]
fn the_dockerfile_is_a_path_within() {
    let server = GitServer::new();
    let (_repository, _) = sample(&server);
    let env = TestEnv::new();
    let url = server.url("app.git");
    build(&env, &format!("{url}#main:sub"), &[]).ok();
    assert_eq!(files(&env), ["Dockerfile 644", "run.sh 755"]);
    build(&env, &format!("{url}?subdir=sub"), &[]).ok();
    build(&env, &url, &["-f", "other/Other.df"]).ok();
    build(&env, &url, &["-f", "way/passwd"]).fails(1, &["failed to read way/passwd of git://"]);
    build(&env, &format!("{url}#:way"), &[]).fails(1, &["way is a symbolic link"]);
    build(&env, &format!("{url}#:none"), &[]).fails(1, &["no such directory in repository git://"]);
}

#[test]
fn what_is_not_there_is_said() {
    let server = GitServer::new();
    let (_repository, first) = sample(&server);
    let env = TestEnv::new();
    let url = server.url("app.git");
    build(&env, &format!("{url}#gone"), &[]).fails(1, &["does not contain ref gone"]);
    build(&env, &format!("{url}#{}", &first[..10]), &[]).fails(1, &["does not contain ref", "all of its hexadecimal"]);
    let wrong = format!("{url}?checksum=0123&ref=main");
    build(&env, &wrong, &[]).fails(1, &["expected checksum to match 0123, got", &first]);
    build(&env, &format!("{url}?depth=1"), &[]).fails(1, &["unexpected query \"depth\""]);
    build(&env, &server.url("none.git"), &[]).fails(1, &["failed to fetch git://"]);
    let mut command = env.command(["build", &url]);
    let output = command.env("PATH", env.path("home")).output().expect("kiln starts");
    crate::environment::ran(output).fails(1, &["git is needed to fetch", "install the package `git`"]);
}

#[test]
fn git_dir_and_times_are_kept_on_demand() {
    let server = GitServer::new();
    let (repository, first) = sample(&server);
    repository.file(".dockerignore", "").commit("second");
    let env = TestEnv::new();
    let url = server.url("app.git");
    build(&env, &url, &["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"]).ok();
    assert!(files(&env).contains(&".git 755".to_owned()));
    assert!(read(&env, ".git/config").contains(&url));
    build(&env, &format!("{url}?keep-git-dir=1&ref=v1"), &[]).ok();
    files(&env);
    assert_eq!(read(&env, ".git/HEAD").trim(), first);

    build(&env, &url, &["--build-arg", "SOURCE_DATE_EPOCH=context"]).ok();
    assert_eq!(env.inspect("test")["Created"].as_str(), Some("2023-11-14T22:13:20Z"));
}

#[test]
fn a_repository_is_a_named_context() {
    let server = GitServer::new();
    let (_repository, _) = sample(&server);
    let env = TestEnv::new();
    env.file("Dockerfile", "FROM scratch\nCOPY --from=app /a /a\n");
    let flag = format!("app={}#v1", server.url("app.git"));
    build(&env, ".", &["--build-context", &flag]).ok();
    assert_eq!(files(&env), ["a 644"]);
    // Nobody reads it, so nobody asks for it.
    env.file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    build(&env, ".", &["--build-context", "app=git://127.0.0.1:1/none"]).ok();
    build(&env, ".", &["--build-context", "app=git://h/r?x=1"]).fails(2, &["unexpected query \"x\""]);
}

#[test]
fn add_of_a_repository_is_a_directory() {
    let server = GitServer::new();
    let (repository, first) = sample(&server);
    let env = TestEnv::new();
    let url = server.url("app.git");
    env.build(&format!("FROM scratch\nADD {url}#v1 /app\nADD --chmod=700 {url}#v1:sub /sub/\n")).ok();
    let found = files(&env);
    for path in ["app 755", "app/a 644", "app/sub/run.sh 755", "app/way 777", "sub/run.sh 700"] {
        assert!(found.contains(&path.to_owned()), "{path}: {found:?}");
    }
    assert!(found.contains(&"app/hidden 644".to_owned()), "an ignore file of the repository is just a file: {found:?}");
    assert!(!found.iter().any(|path| path.contains(".git ")), "{found:?}");

    let dockerfile = format!("FROM scratch\nADD {url} /app\n");
    env.build(&dockerfile).ok();
    assert_eq!(env.build(&dockerfile).ok().counts().0, 0, "the branch has not moved");
    let second = repository.file("a", "two").commit("second");
    env.build(&dockerfile).ok();
    files(&env);
    assert_eq!(read(&env, "app/a"), "two");
    let explained = env.kiln(["explain"]).ok().stdout;
    let told = format!("is at commit {}", &second[..8]);
    assert!(explained.contains(&told) && explained.contains(&first[..8]), "{explained}");
    env.build(&format!("FROM scratch\nADD --keep-git-dir=true --checksum={first} {url}#v1 /app\n")).ok();
    assert!(files(&env).contains(&"app/.git 755".to_owned()));
}

#[test]
fn add_says_at_the_word_what_is_wrong() {
    let server = GitServer::new();
    let (_repository, first) = sample(&server);
    let env = TestEnv::new();
    let url = server.url("app.git");
    let check = |line: &str, parts: &[&str]| {
        env.build(&format!("FROM scratch\n{line}\n")).fails(1, parts);
    };
    check(&format!("ADD {url}#gone /"), &["Dockerfile:2:5", "does not contain ref gone"]);
    check(
        &format!("ADD --checksum=0123 {url} /"),
        &["Dockerfile:2:21", "expected checksum to match 0123, got", &first],
    );
    check(&format!("ADD {url}?x=1 /"), &["Dockerfile:2:5", "unexpected query \"x\""]);
    check(&format!("ADD --checksum=zz {url} /"), &["Dockerfile:2:16", "expected hex commit hash"]);
    check(&format!("ADD --keep-git-dir=true {url}?keep-git-dir=0 /"), &["inconsistent keep-git-dir configuration"]);
    check(&format!("ADD {url}#:way /"), &["Dockerfile:2:5", "way is a symbolic link"]);
    check(&format!("COPY {url} /"), &["source can't be a git ref for COPY"]);
    env.file("Dockerfile", format!("FROM scratch\nADD {url} /\n"));
    let output = env.command(["build", "."]).env("PATH", env.path("home")).output().expect("kiln starts");
    crate::environment::ran(output).fails(1, &["Dockerfile:2:5", "install the package `git`"]);
}

#[test]
fn an_epoch_may_be_that_of_a_repository() {
    let server = GitServer::new();
    let (_repository, _) = sample(&server);
    let env = TestEnv::new();
    let time = format!("ARG SOURCE_DATE_EPOCH=time\nFROM scratch AS time\nADD {}#v1:sub /\n", server.url("app.git"));
    env.build(&format!("{time}FROM scratch\nCOPY --from=time /run.sh /\n")).ok();
    assert_eq!(env.inspect("test")["Created"].as_str(), Some("2023-11-14T22:13:20Z"));
    env.build(&time.replace("#v1", "#gone"))
        .fails(1, &["failed to find out SOURCE_DATE_EPOCH", "not contain ref gone"]);
}

#[test]
fn secrets_let_into_repositories() {
    const CANARY: &str = "canary-90210";
    // x-access-token:canary-90210
    let login = "eC1hY2Nlc3MtdG9rZW46Y2FuYXJ5LTkwMjEw";
    let server = GitHttpServer::new(login);
    let module = format!("http://{}/module.git", server.address());
    server.repository("module.git").file("m", "m").commit("one");
    let repository = server.repository("app.git");
    repository.file("Dockerfile", DOCKERFILE).file("a", "one");
    let modules = format!("[submodule \"m\"]\n\tpath = m\n\turl = {module}\n");
    repository.file(".gitmodules", &modules);
    let commit = repository.git(&["-C", "../module.git", "rev-parse", "HEAD"]);
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},m")]);
    repository.git(&["add", "--all", "--", ".gitmodules", "Dockerfile", "a"]);
    repository.git(&["commit", "--quiet", "--message=one"]);
    let url = format!("http://{}/app.git", server.address());
    let mut said = String::new();
    for (id, value) in [
        ("GIT_AUTH_TOKEN".to_owned(), CANARY.to_owned()),
        (format!("GIT_AUTH_TOKEN.{}", server.address()), CANARY.to_owned()),
        ("GIT_AUTH_HEADER".to_owned(), format!("Basic {login}")),
        (format!("GIT_AUTH_HEADER.{}", server.address()), format!("Basic {login}")),
    ] {
        let env = TestEnv::new();
        let mut run = |context: &str, more: &[&str], id: &str| {
            let secret = format!("id={id},env=VALUE");
            let arguments = ["build", "--progress=plain", "-t", "test", "--secret", &secret];
            let mut command = env.command(arguments.into_iter().chain(more.iter().copied()).chain([context]));
            let output = command.env("VALUE", &value).stdin(std::process::Stdio::null()).output().expect("kiln starts");
            let ran = crate::environment::ran(output);
            said.push_str(&format!("{}{}", ran.stdout, ran.stderr));
            ran
        };
        run(&url, &[], &id).ok();
        assert!(files(&env).contains(&"m/m 644".to_owned()), "{id}: {:?}", files(&env));
        env.file("Dockerfile", format!("FROM scratch\nADD {url}?submodules=0 /app\nCOPY --from=x /a /b\n"));
        run(".", &["--build-context", &format!("x={url}?subdir=.")], &id).ok();
        files(&env);
        assert_eq!(read(&env, "app/a") + &read(&env, "b"), "oneone", "{id}");
        run(&format!("{url}#v9"), &[], &format!("{id}x")).fails(1, &["failed to fetch http://"]);
        for command in [&["explain"][..], &["history", "test"], &["inspect", "test"], &["builds"]] {
            said.push_str(&env.kiln(command.iter().copied()).ok().stdout);
        }
        crate::mounts::assert_no_trace_of(CANARY, &env.path(""));
        crate::mounts::assert_no_trace_of(login, &env.path(""));
    }
    assert!(!said.contains(CANARY) && !said.contains(login), "{said}");
}

#[test]
fn secrets_do_not_follow_a_redirect() {
    let (server, other) = (FileServer::new(), FileServer::new());
    let path = "/app.git/info/refs?service=git-upload-pack";
    server.put(path, Page::redirect(302, other.url(path)));
    let asks = ("WWW-Authenticate", "Basic realm=\"x\"".to_owned());
    other.put(path, Page { status: 401, headers: vec![asks], ..Page::default() });
    let env = TestEnv::new();
    let build = |secret: &str, parts: &[&str]| {
        let mut command =
            env.command(["build", "--secret", &format!("id={secret},env=VALUE"), &server.url("/app.git")]);
        let output = command.env("VALUE", "Bearer x").stdin(std::process::Stdio::null()).output().expect("kiln starts");
        crate::environment::ran(output).fails(1, parts);
        let authorized = |asked: Vec<testkit::Asked>| {
            asked.iter().map(|a| a.headers.iter().any(|h| h.starts_with("authorization:"))).collect::<Vec<_>>()
        };
        (authorized(server.take_asked()), authorized(other.take_asked()))
    };
    let (told, told_other) = build("GIT_AUTH_HEADER", &["302", "use the address that it leads to"]);
    assert_eq!((told, told_other), (vec![true], vec![]), "git would send the header there, too");
    let (told, told_other) = build("GIT_AUTH_TOKEN", &["could not read Username"]);
    assert_eq!(
        (told, told_other),
        (vec![false], vec![false]),
        "nobody who is asked by another server tells it the token"
    );
}

#[test]
fn a_password_is_shown_and_kept_nowhere() {
    let server = GitHttpServer::new("bWU6Y2FuYXJ5LTQ3MTE=");
    server.repository("app.git").file("Dockerfile", DOCKERFILE).file("a", "one").commit("one");
    let env = TestEnv::new();
    let url = format!("http://me:canary-4711@{}/app.git", server.address());
    let mut said = String::new();
    let mut note = |ran: Ran| said.push_str(&(ran.stdout + &ran.stderr));
    env.file("Dockerfile", format!("FROM scratch\nADD {url} /app\n"));
    note(build(&env, ".", &[]).ok());
    files(&env);
    assert_eq!(read(&env, "app/a"), "one");
    note(build(&env, &url, &[]).ok());
    note(env.kiln(["history", "test"]));
    note(env.kiln(["explain"]));
    env.file("Dockerfile", "FROM scratch\nARG URL\nADD $URL /app\n");
    note(build(&env, ".", &["--build-arg", &format!("URL={url}#gone")]).fails(1, &["does not contain ref gone"]));
    let wrong = url.replace("canary-4711", "canary-4711x");
    note(build(&env, ".", &["--build-arg", &format!("URL={wrong}#v9")]).fails(1, &["Authentication failed"]));
    assert!(!said.contains("canary-4711"), "{said}");
    let found =
        std::process::Command::new("grep").args(["-rla", "canary-4711"]).arg(env.store()).output().expect("grep");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}
