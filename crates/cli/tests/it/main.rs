//! The real binary, end to end. Each module is a command or a way people use it.
//!
//! `KILN_BIN` and `KILN_TEST_DEBIAN` say where things are when these tests run as another user.

#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

mod bad_input;
mod build;
mod cache;
mod cases;
mod collect;
mod context;
mod copy;
mod crash;
mod debian;
mod drafts;
mod environment;
mod fetch;
mod git;
mod images;
mod lint;
mod mounts;
mod network;
mod outputs;
mod platforms;
mod progress;
mod readers;
mod registry;
mod reuse;
mod run;
mod scale;
mod ssh;
