use super::*;

const SHA: &str = "0123456789012345678901234567890123456789";

#[track_caller]
fn parse(text: &str) -> GitSource {
    match GitSource::parse(text) {
        Some(Ok(source)) => source,
        other => panic!("{text}: {other:?}"),
    }
}

#[track_caller]
fn check_wrong(text: &str, expected: &str) {
    match GitSource::parse(text) {
        Some(Err(InvalidGit(message))) => assert_eq!(message, expected, "{text}"),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn what_is_git() {
    let git = [
        ("git://h/r", "git://h/r"),
        ("ssh://git@h:22/r", "ssh://git@h:22/r"),
        ("git@github.com:o/r", "git@github.com:o/r"),
        ("user_1@host.name:r.git#x", "user_1@host.name:r.git"),
        ("https://h/o/r.git", "https://h/o/r.git"),
        ("HTTP://h:81/r.git?ref=a#:sub", "http://h:81/r.git"),
        ("GIT://h/r#main", "git://h/r"),
    ];
    for (text, url) in git {
        assert_eq!(parse(text).url, url, "{text}");
    }
    let other = [
        "",
        "a",
        "./git@h:r",
        "../git@h:r",
        "a/b@c:d",
        "r.git",
        "C:x",
        "@h:p",
        "a@b",
        "file:///r.git",
        "ftp://h/r.git",
        "httpx://h/r.git",
        "http://h/f",
        "https://h/a.git/f",
        "https://h/f?x=.git",
        "https://h/f#r.git",
        "https://r.git",
        "git.user@h:p",
        "u@h_:p",
        "github.com/o/r",
    ];
    for text in other {
        assert!(GitSource::parse(text).is_none(), "{text}");
    }
    let context = GitSource::parse_context("github.com/o/r#v1:d").unwrap().unwrap();
    assert_eq!((context.url.as_str(), context.subdir.as_str()), ("https://github.com/o/r", "d"));
    assert!(GitSource::parse_context("./github.com/o/r").is_none());
}

#[test]
fn a_fragment_names_ref_and_subdirectory() {
    let check = |fragment: &str, reference: Option<&str>, subdir: &str| {
        let source = parse(&format!("https://h/r.git#{fragment}"));
        assert_eq!((source.reference.as_deref(), source.subdir.as_str()), (reference, subdir), "{fragment}");
    };
    check("", None, "");
    check("main", Some("main"), "");
    check("feature/x:a/b", Some("feature/x"), "a/b");
    check(":a/../b/.//c/", None, "b/c");
    check("v1:../../etc", Some("v1"), "etc");
    check(":/", None, "");
    check("a%2Fb:c%2Fd", Some("a/b"), "c/d");
}

#[test]
fn a_query_says_the_same_and_more() {
    let source =
        parse("https://h/r.git?branch=main&subdir=/a/b/&checksum=0123ABCD&keep-git-dir&submodules=false&mtime=commit");
    assert_eq!(source.reference.as_deref(), Some("refs/heads/main"));
    assert_eq!((source.subdir.as_str(), source.checksum.as_deref()), ("a/b", Some("0123abcd")));
    assert!(source.keep_git_dir == Some(true) && !source.submodules && source.commit_times == Some(true));
    assert!(!source.keeps_git_dir(), "a subdirectory has no .git");
    assert_eq!(parse("git@h:r?tag=v1#:sub").reference.as_deref(), Some("refs/tags/v1"));
    assert_eq!(parse("git://h/r?ref=a&subdir=b#a:b").subdir, "b");
    assert_eq!(parse("git://h/r?ref=a%2Fb").reference.as_deref(), Some("a/b"));
    assert_eq!(parse(&format!("git://h/r?fetch-by-commit&commit={SHA}#x")).pinned(), Some(SHA));
    assert_eq!(parse(&format!("git://h/r#{SHA}")).pinned(), Some(SHA));
    assert_eq!(parse("git://h/r#0123456").pinned(), None, "git asks the server what that is");
}

#[test]
fn what_makes_no_sense_is_refused() {
    check_wrong("git://h/r?depth=1", "unexpected query \"depth\"");
    check_wrong("git://h/r?ref=a#b", "ref conflicts: \"b\" vs \"a\"");
    check_wrong("git://h/r?subdir=a#:b", "subdir conflicts: \"b\" vs \"a\"");
    check_wrong("git://h/r?tag=a&branch=b", "branch conflicts with tag");
    check_wrong("git://h/r?ref=a&ref=a", "query \"ref\" has multiple values");
    check_wrong("git://h/r?ref=", "query \"ref\" has no value");
    check_wrong("git://h/r?submodules=maybe", "invalid submodules value: \"maybe\"");
    check_wrong("git://h/r?mtime=now", "invalid mtime value: \"now\" (must be \"checkout\" or \"commit\")");
    check_wrong("git://h/r?checksum=xyz", "invalid checksum xyz for Git URL, expected hex commit hash");
    check_wrong("git://h/r#--upload-pack=x", "invalid git ref \"--upload-pack=x\"");
    check_wrong("git://h/r?fetch-by-commit", "fetch-by-commit requires a checksum or a commit SHA ref");
    check_wrong(
        "git://h/r?fetch-by-commit&commit=01",
        "fetch-by-commit requires a full commit SHA checksum, got \"01\"",
    );
    check_wrong(&format!("git://h/r?checksum=02#{SHA}"), &format!("expected checksum to match 02, got {SHA}"));
    check_wrong("ssh://-oProxyCommand=x/r", "the address of a git repository has no host");
    check_wrong("git:///r", "the address of a git repository has no host");
    check_wrong("git://h/r#%zz", "invalid escape in the address: expected % and two hexadecimal digits");
    check_wrong("git://h/a b", "the address of a git repository has a blank or a control character");
}

#[test]
fn a_checksum_may_come_from_elsewhere() {
    let mut source = parse("git://h/r#main");
    source.expect("ABCD").unwrap();
    assert_eq!(source.checksum.as_deref(), Some("abcd"));
    assert_eq!(source.expect("12").unwrap_err().0, "checksum mismatch \"12\" != \"abcd\"");
    assert!(parse("git://h/r").expect("sha256:00").is_err());
}

#[test]
fn credentials_are_kept_apart() {
    let source = parse("https://me:to%40ken@h/r.git#main");
    assert_eq!(source.url, "https://h/r.git");
    assert_eq!(source.credentials, Some(Login { user: "me".to_owned(), password: "to@ken".to_owned() }));
    assert!(!format!("{source:?}").contains("ken"));
    check_wrong("ssh://me:secret@h/r", "ssh:// has no use for a password");
}
