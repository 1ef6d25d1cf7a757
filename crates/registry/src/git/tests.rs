use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use testkit::{GitHttpServer, GitServer, Repository};

use super::*;

const ALL: Files<'_> = Files { subdir: "", submodules: true, keep_git_dir: false };

fn git() -> Git {
    Git::new(GitOptions { path: std::env::var_os("PATH").unwrap_or_default(), ..GitOptions::default() })
}

fn remote(url: &str) -> Remote<'_> {
    Remote { url, authorization: None }
}

fn resolve(url: &str, reference: Option<&str>) -> Result<Commit> {
    let scratch = TempDir::new().unwrap();
    git().resolve(remote(url), reference, Place { scratch: scratch.path(), stop: None })
}

/// What was fetched, and where.
struct Got {
    _scratch: TempDir,
    fetched: Fetched,
}

impl Got {
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.fetched.directory.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn has(&self, path: &str) -> bool {
        self.fetched.directory.join(path).symlink_metadata().is_ok()
    }
}

fn fetch(url: &str, commit: &Commit, files: Files<'_>) -> Result<Got> {
    let scratch = TempDir::new().unwrap();
    let fetched = git().fetch(remote(url), commit, files, Place { scratch: scratch.path(), stop: None })?;
    Ok(Got { _scratch: scratch, fetched })
}

fn by_sha(sha: &str) -> Commit {
    Commit { commit: sha.to_owned(), tag: None, name: None }
}

/// Two commits: `v1` and `light` name the first, `main` the second.
fn sample(server: &GitServer) -> (Repository, [String; 2]) {
    let repository = server.repository("sample");
    repository.file("a", "one").file("dir/run.sh", "#!/bin/sh\n");
    fs::set_permissions(repository.path().join("dir/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("../a", repository.path().join("dir/link")).unwrap();
    std::os::unix::fs::symlink("dir", repository.path().join("way")).unwrap();
    let first = repository.commit("first");
    repository.git(&["tag", "--annotate", "--message=x", "v1"]);
    repository.git(&["tag", "light"]);
    let second = repository.file("a", "two").commit("second");
    (repository, [first, second])
}

#[test]
fn refs_of_every_kind() {
    let server = GitServer::new();
    let (repository, [first, second]) = sample(&server);
    let url = server.url("sample");
    let commit = |reference: Option<&str>| resolve(&url, reference).unwrap();
    assert_eq!((commit(None).commit, commit(None).name.as_deref()), (second.clone(), Some("refs/heads/main")));
    assert_eq!(commit(Some("main")).commit, second);
    assert_eq!(commit(Some("light")).commit, first);
    let tag = commit(Some("v1"));
    assert_eq!((tag.commit.as_str(), tag.tag), (first.as_str(), Some(repository.git(&["rev-parse", "v1"]))));
    let error = resolve(&url, Some(&first[..8])).unwrap_err();
    assert!(error.to_string().contains("does not contain ref"), "{error}");
    assert!(error.help().unwrap().contains("all of its hexadecimal digits"));
    assert!(resolve(&url, Some("gone")).unwrap_err().help().is_none());
    assert!(matches!(resolve(&server.url("none"), None), Err(GitError::Failed { .. })));
}

#[test]
fn files_are_those_of_the_commit() {
    let server = GitServer::new();
    let (_repository, [first, second]) = sample(&server);
    let url = server.url("sample");
    for reference in [None, Some("main"), Some("v1"), Some("light")] {
        let commit = resolve(&url, reference).unwrap();
        let got = fetch(&url, &commit, ALL).unwrap();
        assert_eq!(got.fetched.commit, commit.commit);
        assert_eq!(got.read("a"), if commit.commit == first { "one" } else { "two" });
        assert!(!got.has(".git"));
        assert_eq!(got.fetched.time, 1_700_000_000);
        let mode = |path: &str| got.fetched.directory.join(path).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("a"), mode("dir/run.sh"), mode("dir")), (0o644, 0o755, 0o755));
    }
    assert_eq!(fetch(&url, &by_sha(&first), ALL).unwrap().read("a"), "one", "not the tip of anything");
    assert_eq!(fetch(&url, &by_sha(&second), ALL).unwrap().read("a"), "two");
    let error = fetch(&url, &by_sha(&"0".repeat(40)), ALL).map(|_| ()).unwrap_err();
    assert!(matches!(error, GitError::NoCommit { .. }), "{error}");
}

#[test]
fn a_server_that_gives_no_single_commits_gives_all() {
    let server = GitServer::new();
    let (repository, [first, _]) = sample(&server);
    let third = repository.file("a", "three").commit("third");
    let url = server.url("sample");
    // Protocol 0 knows of no other commits than those advertised.
    let old = [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "protocol.version"), ("GIT_CONFIG_VALUE_0", "0")];
    let mut git = git();
    git.options.variables.extend(old.map(|(name, value)| (name.to_owned(), value.into())));
    for (commit, content) in [(first, "one"), (third, "three")] {
        let scratch = TempDir::new().unwrap();
        let place = Place { scratch: scratch.path(), stop: None };
        let fetched = git.fetch(remote(&url), &by_sha(&commit), ALL, place).unwrap();
        assert_eq!(fs::read_to_string(fetched.directory.join("a")).unwrap(), content);
    }
}

#[test]
fn a_subdirectory_alone_and_no_way_out_of_it() {
    let server = GitServer::new();
    let (_repository, [_, second]) = sample(&server);
    let url = server.url("sample");
    let at = |subdir| fetch(&url, &by_sha(&second), Files { subdir, keep_git_dir: true, ..ALL });
    let got = at("dir").unwrap();
    assert!(got.has("run.sh") && got.has("link") && !got.has("a") && !got.has(".git"));
    let error = |subdir| at(subdir).map(|_| ()).unwrap_err().to_string();
    assert!(error("none").contains("no such directory in repository"), "{}", error("none"));
    assert!(error("way").contains("way is a symbolic link"), "{}", error("way"));
    assert!(error("dir/run.sh/x").contains("dir/run.sh is a file"));
    assert!(error(".git").contains("no such directory"));
}

#[test]
fn submodules_come_with_their_own() {
    let server = GitServer::new();
    let inner = server.repository("inner");
    let pinned = inner.file("deep", "1").commit("one");
    inner.file("deep", "2").commit("two");
    let middle = server.repository("middle");
    let add = |repository: &Repository, url: &str, path: &str| {
        repository.git(&["-c", "protocol.git.allow=always", "submodule", "--quiet", "add", "--", url, path]);
    };
    add(&middle, &server.url("inner"), "inner");
    middle.git(&["-C", "inner", "checkout", "--quiet", &pinned]);
    middle.file("m", "m").commit("one");
    let outer = server.repository("outer");
    add(&outer, &server.url("middle"), "sub/middle");
    outer.git(&["config", "--file=.gitmodules", "submodule.sub/middle.url", "../middle"]);
    let commit = by_sha(&outer.commit("one"));
    let url = server.url("outer");
    let got = fetch(&url, &commit, ALL).unwrap();
    assert_eq!((got.read("sub/middle/m"), got.read("sub/middle/inner/deep")), ("m".to_owned(), "1".to_owned()));
    assert!(!got.has("sub/middle/.git") && !got.has("sub/middle/inner/.git"));
    let without = fetch(&url, &commit, Files { submodules: false, ..ALL }).unwrap();
    assert!(without.has("sub/middle") && !without.has("sub/middle/m"));
    let kept = fetch(&url, &commit, Files { keep_git_dir: true, ..ALL }).unwrap();
    assert!(kept.has(".git/modules/sub/middle") && kept.has("sub/middle/.git"));
}

#[test]
fn a_submodule_does_not_lead_to_files_of_this_machine() {
    let server = GitServer::new();
    let secret = server.repository("secret");
    let pinned = secret.file("s", "s").commit("one");
    let trap = server.repository("trap");
    let text = format!("[submodule \"x\"]\n\tpath = x\n\turl = {}\n", secret.path().display());
    trap.file(".gitmodules", &text);
    trap.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{pinned},x")]);
    trap.git(&["add", ".gitmodules"]);
    trap.git(&["commit", "--quiet", "--message=one"]);
    let commit = by_sha(&trap.git(&["rev-parse", "HEAD"]));
    let error = fetch(&server.url("trap"), &commit, ALL).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("transport 'file' not allowed"), "{error}");
}

#[test]
fn a_kept_git_dir_is_a_repository_at_that_commit() {
    let server = GitServer::new();
    let (_repository, [first, _]) = sample(&server);
    let url = server.url("sample");
    let commit = resolve(&url, Some("v1")).unwrap();
    let got = fetch(&url, &commit, Files { keep_git_dir: true, ..ALL }).unwrap();
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").arg("-C").arg(&got.fetched.directory).args(arguments).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    };
    assert_eq!(git(&["rev-parse", "HEAD"]), first);
    assert_eq!(git(&["describe", "--tags"]), "v1");
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert_eq!(git(&["config", "remote.origin.url"]), url);
}

#[test]
fn hooks_and_filters_are_not_run() {
    let server = GitServer::new();
    let repository = server.repository("r");
    repository.file(".gitattributes", "* filter=lfs\n").file("big", "version https://git-lfs.github.com/spec/v1\n");
    let commit = by_sha(&repository.commit("one"));
    let got = fetch(&server.url("r"), &commit, ALL).unwrap();
    assert!(got.read("big").starts_with("version https://git-lfs"));
}

#[test]
fn without_git_it_says_what_to_install() {
    let scratch = TempDir::new().unwrap();
    let place = Place { scratch: scratch.path(), stop: None };
    let error = Git::default().resolve(remote("git://127.0.0.1/r"), None, place).unwrap_err();
    assert_eq!(error.help().as_deref(), Some("install the package `git`"));
}

#[test]
fn a_canceled_fetch_ends() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/r", listener.local_addr().unwrap());
    let started = std::time::Instant::now();
    let scratch = TempDir::new().unwrap();
    let place = Place { scratch: scratch.path(), stop: Some(&|| started.elapsed().as_millis() > 200) };
    assert!(matches!(git().resolve(remote(&url), None, place), Err(GitError::Stopped)));
}

#[test]
fn credentials_go_to_their_host_when_it_asks() {
    let server = GitHttpServer::new("bWU6c2VjcmV0");
    let commit = server.repository("r.git").file("a", "a").commit("one");
    let url = format!("http://{}/r.git", server.address());
    let ask = |url: &str, password: Option<&str>| {
        let scratch = TempDir::new().unwrap();
        let login = password.map(|password| Authorization::login("me", password));
        let remote = Remote { url, authorization: login.as_ref() };
        let place = Place { scratch: scratch.path(), stop: None };
        let commit = git().resolve(remote, None, place)?;
        let other = TempDir::new().unwrap();
        let place = Place { scratch: other.path(), stop: None };
        let fetched = git().fetch(remote, &commit, Files { keep_git_dir: true, ..ALL }, place)?;
        let config = fs::read_to_string(fetched.directory.join(".git/config")).unwrap();
        assert!(!config.contains("secret") && !config.contains("KILN"), "{config}");
        Ok::<_, GitError>(fetched.commit)
    };
    assert_eq!(ask(&url, Some("secret")).unwrap(), commit);
    let error = ask(&url, Some("wrong")).unwrap_err();
    assert!(error.to_string().contains("Authentication failed") && !error.to_string().contains("wrong"), "{error}");
    let error = ask(&url, None).unwrap_err();
    assert!(error.help().unwrap().contains("it is private"), "{error}");
    // The same server by another name is another host.
    let elsewhere = url.replace("127.0.0.1", "localhost");
    let scratch = TempDir::new().unwrap();
    let login = Authorization::login("me", "secret");
    let place = Place { scratch: scratch.path(), stop: None };
    let commands = command::Commands::new(&git().options, Remote { url: &url, authorization: Some(&login) }, place)
        .map(|commands| commands.attempt(None, &["ls-remote", "--", &elsewhere]).unwrap().status.success());
    assert!(!commands.unwrap());
}
