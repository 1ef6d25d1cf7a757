//! What is and what is not in an op digest.

use plan::{Options, Plan};

use crate::case::{default_images, default_options, lower, lower_text, read_options};

/// Returns the digests of what was made on top of the bases.
fn digests(plan: &Plan) -> Vec<String> {
    let made = plan.vertices.iter().filter(|vertex| !matches!(vertex.op, plan::Op::Base(_)));
    made.map(|vertex| vertex.digest.to_string()).collect()
}

fn of(instructions: &str) -> Vec<String> {
    digests(&lower_text(&format!("FROM debian:12\n{instructions}\n")))
}

fn with(instructions: &str, options: &Options) -> Vec<String> {
    let outcome = lower(&format!("FROM debian:12\n{instructions}\n"), options, &default_images());
    digests(&outcome.plan.unwrap())
}

#[track_caller]
fn check_same_digest(a: &str, b: &str) {
    assert_eq!(of(a), of(b), "{a}\n{b}");
}

#[track_caller]
fn check_different_digest(a: &str, b: &str) {
    let (digest_a, digest_b) = (of(a), of(b));
    assert!(!digest_a.is_empty() && !digest_b.is_empty());
    assert_ne!(digest_a.last(), digest_b.last(), "{a}\n{b}");
}

#[test]
fn how_an_instruction_is_written_does_not_count() {
    check_same_digest("RUN make", "# build\nRUN make");
    check_same_digest("RUN make", "\n\n\nrun   make");
    check_same_digest("COPY a b", "COPY ./a ./b");
    check_same_digest("COPY a b", "COPY [\"a\", \"b\"]");
    check_same_digest("COPY a b", "COPY ../a /x/../b");
    check_same_digest("WORKDIR /a/b", "WORKDIR /a//./b/");
    check_same_digest("RUN make", "RUN [\"/bin/sh\", \"-c\", \"make\"]");
    check_same_digest("COPY --chmod=755 a b", "COPY --chmod=0755 a b");
}

#[test]
fn what_only_the_image_shows_does_not_count() {
    check_same_digest("RUN make", "LABEL a=b\nEXPOSE 80\nRUN make\nCMD x");
    check_same_digest("RUN make", "ARG UNSET\nRUN make");
}

#[test]
fn what_a_command_sees_counts() {
    check_different_digest("RUN make", "RUN make all");
    check_different_digest("RUN make", "ENV A=1\nRUN make");
    check_different_digest("RUN make", "ARG A=1\nRUN make");
    check_different_digest("ENV A=1\nRUN make", "ENV A=2\nRUN make");
    check_different_digest("RUN make", "USER nobody\nRUN make");
    check_different_digest("RUN make", "SHELL [\"/bin/bash\", \"-c\"]\nRUN make");
    check_different_digest("RUN make", "RUN --network=none make");
    check_different_digest("RUN make", "RUN --mount=target=/src make");
    check_different_digest("RUN --mount=target=/src make", "RUN --mount=target=/src,rw make");
    check_different_digest("RUN --mount=target=/src make", "RUN --mount=target=/src,source=a make");
    check_different_digest("RUN make", "WORKDIR /src\nRUN make");
    check_different_digest("RUN <<E\n#!/bin/a\nE", "RUN <<E\n#!/bin/b\nE");
}

#[test]
fn what_a_copy_does_counts() {
    check_different_digest("COPY a b", "COPY a b/");
    check_different_digest("COPY a b", "COPY a c");
    check_different_digest("COPY a b", "ADD a b");
    check_different_digest("ADD a b", "ADD --unpack=false a b");
    check_different_digest("COPY a b", "COPY --chown=1 a b");
    check_different_digest("COPY a b", "COPY --chmod=u+x a b");
    check_different_digest("COPY a b /c/", "COPY b a /c/");
    check_different_digest("COPY <<a /b\n1\na", "COPY <<a /b\n2\na");
    check_different_digest("WORKDIR /a", "USER 1\nWORKDIR /a");
}

#[test]
fn where_files_come_from_is_not_part_of_the_op() {
    check_same_digest("COPY a b", "COPY --from=busybox a b");
}

#[test]
fn limits_and_proxies_do_not_count() {
    let plain = with("RUN make", &default_options());
    let mut options = read_options("build-arg HTTP_PROXY=http://p\nbuild-arg UNKNOWN=1\nno-cache\nlabel a=b");
    options.limits.shm_size = Some(1);
    options.limits.add_hosts.push(("h".to_owned(), "1.2.3.4".to_owned()));
    assert_eq!(with("RUN make", &options), plain);
    assert_ne!(with("ARG HTTP_PROXY\nRUN make", &options), plain);
    assert_ne!(with("RUN make", &read_options("build-arg BUILDKIT_SANDBOX_HOSTNAME=h")), plain);
}

#[test]
fn a_base_is_its_layers() {
    let base = |text: &str| lower_text(text).vertices[0].digest;
    assert_eq!(base("FROM debian:12\nRUN a"), base("FROM debian:12 AS x\nRUN b"));
    assert_ne!(base("FROM debian:12\nRUN a"), base("FROM busybox\nRUN a"));
}
