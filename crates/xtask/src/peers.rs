//! `cargo xtask peers` and `growth`: the scripts of `benches/peers` with kiln built.

use anyhow::Result;

use crate::setup;
use xtask::shell::{cargo, command, run as execute, target_dir};

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    setup::packages(&[
        ("busybox", "busybox-static"),
        ("buildah", "buildah"),
        ("podman", "podman"),
        ("dockerd", "docker.io"),
        ("bwrap", "bubblewrap"),
        ("libdeflate-gzip", "libdeflate-tools"),
        ("mkfs.ext4", "e2fsprogs"),
        ("mmdebstrap", "mmdebstrap"),
        ("python3", "python3"),
    ])?;
    script("run.py", arguments)
}

/// Times more and more files, steps and layers.
pub(crate) fn growth(arguments: &[&str]) -> Result<()> {
    setup::packages(&[("busybox", "busybox-static"), ("mkfs.ext4", "e2fsprogs"), ("python3", "python3")])?;
    script("growth.py", arguments)
}

fn script(name: &str, arguments: &[&str]) -> Result<()> {
    execute(&mut cargo(&["build", "--release", "--quiet", "-p", "cli"]))?;
    let mut script = command("python3", [format!("benches/peers/{name}").as_str()]);
    script.env("KILN_BENCH_DEBIAN", target_dir().join("xtask/debian-make.tar"));
    execute(script.args(arguments).env("KILN", target_dir().join("release/kiln")))
}
