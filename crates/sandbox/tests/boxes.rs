//! Boxes as they are: every test runs as root, in a user namespace with subordinate ids, and in one with a single id.
#![expect(clippy::print_stdout, clippy::exit, reason = "this is a test runner")]

mod boxes {
    pub(super) mod basics;
    pub(super) mod entering;
    pub(super) mod fixture;
    pub(super) mod isolation;
    pub(super) mod mounts;
    pub(super) mod processes;
    pub(super) mod users;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use boxes::fixture::{self, Fixture, Mode};

/// A test and its name.
type Case = (&'static str, fn(&Fixture));

fn main() -> ExitCode {
    sandbox::init();
    boxes::entering::act();
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let result = match fixture::mode_of_this_process() {
        Some(mode) => run(mode, filter.as_deref()),
        None => fixture::run_in_every_mode(),
    };
    if result { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(mode: Mode, filter: Option<&str>) -> bool {
    let cases: Vec<Case> = [
        boxes::basics::CASES,
        boxes::entering::CASES,
        boxes::isolation::CASES,
        boxes::mounts::CASES,
        boxes::processes::CASES,
        boxes::users::CASES,
    ]
    .concat();
    let fixture = Fixture::new(mode);
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, case) in cases {
        if filter.is_some_and(|filter| !name.contains(filter)) {
            continue;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| case(&fixture)));
        println!("test {mode}::{name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        match outcome {
            Ok(()) => passed += 1,
            Err(_) => failed.push(name),
        }
    }
    println!("\ntest result ({mode}): {passed} passed; {} failed {failed:?}\n", failed.len());
    failed.is_empty()
}
