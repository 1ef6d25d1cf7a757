//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, guided by coverage.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::setup;
use xtask::shell::{cargo, command, output, run as execute, target_dir, title, workspace};

/// The targets by name.
const TARGETS: &[&str] = &["parse", "expand", "ignore"];

/// Executions of each target unless `--runs` says otherwise.
const RUNS: &str = "10000000";

/// What makes the compiler tell libFuzzer where a run came by, for the crates of the workspace alone: what regular expressions do is not
/// looked for, and telling of it took most of the time. The sanitizers themselves need another compiler; safe code panics where they
/// would report. Comparisons are not traced, which took a quarter of the time: what they would
/// lead to is in the dictionaries.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Ccodegen-units=1 -Cdebug-assertions=on -Coverflow-checks=on";

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let (targets, runs) = match arguments {
        [] => (TARGETS, RUNS),
        ["--runs", runs] => (TARGETS, *runs),
        [target] if TARGETS.contains(target) => (std::slice::from_ref(target), RUNS),
        [target, "--runs", runs] if TARGETS.contains(target) => (std::slice::from_ref(target), *runs),
        _ => bail!("`cargo xtask fuzz [TARGET] [--runs N]`; the targets are {}", TARGETS.join(", ")),
    };
    runs.parse::<u64>().context("--runs takes a number")?;
    setup::packages(&[("g++", "g++")])?;
    let programs = build()?;
    for target in targets {
        title(&format!("fuzzing {target}, {runs} executions"));
        fuzz(target, runs, &programs)?;
    }
    Ok(())
}

/// Builds the targets; returns where they are.
fn build() -> Result<PathBuf> {
    let version = output(&mut command("rustc", ["-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let directory = target_dir().join("fuzz");
    let mut build = cargo(&["build", "--release", "-p", "fuzz", "--features", "libfuzzer", "--target", host]);
    build.args(TARGETS.iter().map(|target| format!("--bin=fuzz-{target}")));
    let wrapper = directory.join("rustc");
    fs::create_dir_all(&directory)?;
    fs::write(&wrapper, format!("#!/bin/sh\nexec \"$@\" {FLAGS}\n"))?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    execute(build.arg("--target-dir").arg(&directory).env("RUSTC_WORKSPACE_WRAPPER", wrapper))?;
    Ok(directory.join(host).join("release"))
}

/// Runs one target over its seeds. What it learns stays below the target directory; what it finds does, too.
fn fuzz(target: &str, runs: &str, programs: &Path) -> Result<()> {
    let directory = target_dir().join("fuzz").join(target);
    let (corpus, seeds, found) = (directory.join("corpus"), directory.join("seeds"), directory.join("found"));
    for directory in [&corpus, &seeds, &found] {
        fs::create_dir_all(directory)?;
    }
    execute(cargo(&["run", "--quiet", "-p", "fuzz", "--bin", "fuzz-seeds", "--", target]).arg(&seeds))?;
    let dictionary = workspace().join(format!("fuzz/dictionaries/{target}.txt"));
    let mut fuzzer = command(programs.join(format!("fuzz-{target}")), [&corpus, &seeds]);
    fuzzer.arg(format!("-runs={runs}")).arg(format!("-dict={}", dictionary.display()));
    fuzzer.arg(format!("-artifact_prefix={}/", found.display()));
    // Rules meet in few characters: a path and three or four patterns, a word, some instructions.
    let longest = if target == "parse" { 256 } else { 96 };
    fuzzer.arg(format!("-max_len={longest}"));
    // Weighing inputs by how rare what they reach is costs more than most of them.
    fuzzer.args(["-entropic=0", "-print_final_stats=1", "-verbosity=0"]);
    execute(fuzzer.current_dir(workspace()))
}
