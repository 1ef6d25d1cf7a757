//! `COPY` and `ADD`: what is taken, and where it goes.

use std::os::unix::fs::symlink;

use crate::environment::TestEnv;

/// Lists paths below `/o` in order.
const LIST: &str = "cd /o && find . | sort | tr '\\n' ' '";

#[test]
fn excluded_paths_are_left_out() {
    let env = TestEnv::with_busybox();
    for name in ["d/a.txt", "d/b.log", "d/s/c.log", "d/s/keep.log", "x.log"] {
        env.file(name, name);
    }
    env.build("FROM busybox\nCOPY --exclude=**/*.log --exclude=!**/keep.log d x.log /o/\n").ok();
    assert_eq!(env.sh(LIST), ". ./a.txt ./s ./s/keep.log ./x.log ", "a file named as a source is not filtered");
    // What is excluded does not count.
    env.file("d/b.log", "changed");
    let (ran, _) =
        env.build("FROM busybox\nCOPY --exclude=**/*.log --exclude=!**/keep.log d x.log /o/\n").ok().counts();
    assert_eq!(ran, 0);
    // Excluded for good, a directory is not there at all.
    env.build("FROM busybox\nADD --exclude=s d /o/\n").ok();
    assert_eq!(env.sh(LIST), ". ./a.txt ./b.log ");
}

#[test]
fn a_hard_link_whose_first_name_is_excluded_is_a_file() {
    let env = TestEnv::with_busybox();
    let first = env.file("d/a", "same");
    std::fs::hard_link(&first, env.path("context/d/b")).unwrap();
    std::fs::hard_link(&first, env.path("context/d/c")).unwrap();
    env.build("FROM busybox\nCOPY --exclude=a d /o/\n").ok();
    assert_eq!(env.sh("cat /o/b /o/c; stat -c %h /o/b"), "samesame2\n");
}

#[test]
fn parents_are_kept() {
    let env = TestEnv::with_busybox();
    for name in ["x/a/1.txt", "x/a/2.md", "x/b/c/3.txt", "y/4.txt"] {
        env.file(name, name);
    }
    env.build("FROM busybox\nCOPY --parents x/a/1.txt ./y /o/\n").ok();
    assert_eq!(env.sh(LIST), ". ./x ./x/a ./x/a/1.txt ./y ./y/4.txt ");
    env.build("FROM busybox\nCOPY --parents **/*.txt /o/\n").ok();
    assert_eq!(env.sh(LIST), ". ./x ./x/a ./x/a/1.txt ./x/b ./x/b/c ./x/b/c/3.txt ./y ./y/4.txt ");
    env.build("FROM busybox\nCOPY --parents x/./b/*/3.txt x/./a /o/\n").ok();
    assert_eq!(env.sh(LIST), ". ./a ./a/1.txt ./a/2.md ./b ./b/c ./b/c/3.txt ");
    env.build("FROM busybox\nCOPY --parents --exclude=**/*.md x/./a nothing/*.txt /o/\n").ok();
    assert_eq!(env.sh(LIST), ". ./a ./a/1.txt ");
}

/// What an existing directory is like below the destination decides the layer, so it is in the key.
#[test]
fn directories_on_the_way_keep_their_owner() {
    let env = TestEnv::with_busybox();
    env.file("a/f", "f");
    let build = |owner: u32, flags: &str| {
        let text = format!("FROM busybox\nRUN mkdir -p /o/a && chown {owner} /o/a\nCOPY {flags} /o/\n");
        let (ran, _) = env.build(&text).ok().counts();
        (ran, env.sh("stat -c %u /o/a; cat /o/a/f"))
    };
    let seen = |owner: u32| format!("{owner}\nf");
    assert_eq!(build(7, "--parents --chown=5 a/f").1, seen(7));
    assert_eq!(build(9, "--parents --chown=5 a/f"), (2, seen(9)));
    assert_eq!(build(9, "--parents --chown=5 a/f"), (0, seen(9)));
    assert_eq!(build(7, "--exclude=a --exclude=!a/f --chown=5 .").1, seen(7));
    assert_eq!(build(9, "--exclude=a --exclude=!a/f --chown=5 ."), (1, seen(9)));
    assert_eq!(build(9, "--parents --chown=5 a").1, seen(5), "a directory that is meant itself");
}

#[test]
fn a_missing_path_with_parents_is_an_error() {
    let env = TestEnv::with_busybox();
    env.file("x/a/1.txt", "1");
    env.build("FROM busybox\nCOPY --parents x/./a/2.txt /o/\n").fails(1, &["Dockerfile:2:16", "^^^^^^^^^^^"]);
    env.build("FROM busybox\nCOPY --parents z/./a /o/\n").fails(1, &["Dockerfile:2:16"]);
}

#[test]
fn a_linked_copy_does_not_look_at_its_parent() {
    let env = TestEnv::with_busybox();
    env.file("f", "new");
    env.file("d/g", "in");
    let base = "FROM busybox AS base\nRUN mkdir -p /real /at/f /was && ln -s /real /link && echo old > /real/f && touch /file\n";
    env.build(&format!(
        "{base}FROM base\n\
         COPY --link --chmod=600 f /link/\n\
         COPY --link f /at/f\n\
         COPY --link d /file\n",
    ))
    .ok();
    let seen = env.sh("cat /link/f /real/f /at/f /file/g; test -L /link || echo directory; stat -c %a /link/f");
    assert_eq!(seen, "newold\nnewindirectory\n600\n");
    // Without it, the link is followed, and neither replaces the other.
    env.build(&format!("{base}FROM base\nCOPY f /link/\n")).ok();
    assert_eq!(env.sh("cat /real/f; readlink /link"), "new/real\n");
    env.build(&format!("{base}FROM base\nCOPY d /file\n")).fails(1, &["cannot copy to non-directory: /file"]);
}

#[test]
fn a_linked_copy_is_reused_on_another_parent() {
    let env = TestEnv::with_busybox();
    env.file("f", "1");
    let of = |text: &str| {
        format!("FROM busybox\nRUN mkdir /srv && echo {text} > /srv/x && chmod {text} /srv\nCOPY --link f /srv/\n")
    };
    env.build(&of("700")).ok();
    let (ran, cached) = env.build(&of("711")).ok().counts();
    assert_eq!((ran, cached), (1, 1), "the copy is cached");
}

#[test]
fn names_of_owners_come_from_the_stage_even_when_linked() {
    let env = TestEnv::with_busybox();
    env.file("f", "1");
    env.build("FROM busybox\nRUN echo 'app:x:0:0::/:/bin/sh' >> /etc/passwd\nCOPY --link --chown=app f /o/\n").ok();
    assert_eq!(env.sh("stat -c %u:%g /o/f"), "0:0\n");
}

#[test]
fn a_linked_archive_is_extracted() {
    let env = TestEnv::with_busybox();
    env.file("t/a", "a");
    let context = env.path("context");
    let mut tar = std::process::Command::new("tar");
    crate::environment::tool(tar.arg("-C").arg(&context).arg("-cf").arg(context.join("t.tar")).arg("t"));
    env.build("FROM busybox\nRUN ln -s /nowhere /o\nADD --link t.tar /o/\n").ok();
    assert_eq!(env.sh(LIST), ". ./t ./t/a ");
}

#[test]
fn symbolic_links_are_followed_when_named_and_kept_below() {
    let env = TestEnv::with_busybox();
    env.file("real/f", "f");
    symlink("real", env.path("context/named")).unwrap();
    symlink("/etc/passwd", env.path("context/real/out")).unwrap();
    env.build("FROM busybox\nCOPY named /o/\n").ok();
    assert_eq!(env.sh("ls /o | tr '\\n' ' '; readlink /o/out"), "f out /etc/passwd\n");
}
