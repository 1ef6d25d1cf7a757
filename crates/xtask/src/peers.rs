//! `cargo xtask peers` and `growth`: the scripts of `benches/peers` with kiln built.

use anyhow::Result;

use crate::setup;
use xtask::shell::{cargo, command, run as execute, target_dir};

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    setup::packages(&[("busybox", "busybox-static"), ("buildah", "buildah"), ("python3", "python3")])?;
    script("run.py", arguments)
}

/// Times a `COPY` of more and more files.
pub(crate) fn growth(arguments: &[&str]) -> Result<()> {
    setup::packages(&[("python3", "python3")])?;
    script("growth.py", arguments)
}

fn script(name: &str, arguments: &[&str]) -> Result<()> {
    execute(&mut cargo(&["build", "--release", "--quiet", "-p", "cli"]))?;
    let mut script = command("python3", [format!("benches/peers/{name}").as_str()]);
    execute(script.args(arguments).env("KILN", target_dir().join("release/kiln")))
}
