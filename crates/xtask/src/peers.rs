//! `cargo xtask peers`: `benches/peers/run` with kiln built.

use anyhow::Result;

use crate::setup;
use xtask::shell::{cargo, command, run as execute, target_dir};

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    setup::packages(&[("busybox", "busybox-static"), ("buildah", "buildah"), ("python3", "python3")])?;
    execute(&mut cargo(&["build", "--release", "--quiet", "-p", "cli"]))?;
    let mut script = command("python3", ["benches/peers/run.py"]);
    execute(script.args(arguments).env("KILN", target_dir().join("release/kiln")))
}
