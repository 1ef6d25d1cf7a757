//! `cargo xtask demo`: from a fresh checkout to a running image.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use xtask::rootfs;
use xtask::shell::{cargo, command, say, target_dir, title, workspace};

use crate::setup;

pub(crate) fn run_in(work: &Path) -> Result<()> {
    let kiln = target_dir().join("release/kiln");
    let kiln = |arguments: &[&str]| {
        let mut command = command(&kiln, arguments);
        command.env("KILN_ROOT", work.join("store"));
        command
    };
    title("a base image without any registry: Debian's busybox, imported");
    let tar = work.join("busybox.tar");
    rootfs::busybox(&tar)?;
    show(kiln(&["import"]).arg(&tar).arg("busybox:demo"))?;

    let context = work.join("context");
    xtask::shell::run(command("cp", ["-r", "testdata/demo/context"]).arg(&context))?;
    let build = || {
        let mut command = kiln(&["build", "--progress=plain", "-t", "demo:latest"]);
        command.arg(&context);
        command
    };
    title("first build: two stages at once, then the image");
    show(&mut build())?;
    title("the image runs");
    show(&mut kiln(&["run", "--rm", "demo:latest"]))?;
    title("nothing changed: nothing runs");
    show(&mut build())?;
    title("one file of the `web` stage changes: `api` is reused, and so is what stays equal");
    fs::write(context.join("web/page.txt"), "a page that was changed\n")?;
    show(&mut build())?;
    title("why?");
    show(&mut kiln(&["explain"]))?;
    show(&mut kiln(&["run", "--rm", "demo:latest"]))
}

pub(crate) fn run() -> Result<()> {
    setup::packages(&[("busybox", "busybox-static")])?;
    title("building kiln in release");
    xtask::shell::run(&mut cargo(&["build", "--release", "--quiet", "-p", "cli"]))?;
    let work = target_dir().join("demo");
    if work.exists() {
        xtask::shell::run(command("rm", ["-rf"]).arg(&work))?;
    }
    fs::create_dir_all(&work)?;
    run_in(&work)?;
    say(&format!(
        "\nTry it yourself: KILN_ROOT={}/store {}/release/kiln images",
        work.display(),
        target_dir().display()
    ));
    say(&format!("The Dockerfile is {}/testdata/demo/context/Dockerfile", workspace().display()));
    Ok(())
}

/// Prints a command as one would type it, runs it, and says how long it took.
fn show(command: &mut Command) -> Result<()> {
    let words: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    say(&format!("$ kiln {}", words.join(" ")));
    let started = std::time::Instant::now();
    xtask::shell::run(command)?;
    say(&format!("  ({:.0} ms)", started.elapsed().as_secs_f64() * 1000.0));
    Ok(())
}
