//! Whole builds with a real store and real boxes, from a root file system that holds busybox alone.
//!
//! Boxes are started by this program executed again, so `main` begins with `sandbox::init` and there is no test harness.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the harness")]

mod cache;
mod copy;
mod env;
mod model;
mod run;

use std::panic::catch_unwind;
use std::process::ExitCode;

type Case = (&'static str, fn());

fn main() -> ExitCode {
    sandbox::init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let cases: Vec<Case> = [run::CASES, copy::CASES, cache::CASES, model::CASES].concat();
    if arguments.iter().any(|argument| argument == "--list") {
        cases.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if let Some(reason) = env::missing() {
        println!("skipped: {reason}");
        return if std::env::var_os("REQUIRE_USERNS").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let mut failed = 0;
    for (name, case) in cases {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        let passed = catch_unwind(case).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    if failed > 0 {
        eprintln!("{failed} failed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
