//! `cargo xtask test`: everything, set-up included.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::{self, USER};
use xtask::rootfs;
use xtask::shell::{cargo, command, output, say, target_dir, title, workspace};

/// A file of each package that a test uses, and the package.
const PACKAGES: &[(&str, &str)] = &[
    ("busybox", "busybox-static"),
    ("newuidmap", "uidmap"),
    ("pasta", "passt"),
    ("ssh-agent", "openssh-client"),
    ("mmdebstrap", "mmdebstrap"),
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
    ("podman", "podman"),
    ("runc", "runc"),
    ("strace", "strace"),
    ("git", "git"),
    ("ssh-agent", "openssh-client"),
    ("setfattr", "attr"),
    ("setcap", "libcap2-bin"),
    ("script", "bsdutils"),
];

pub(crate) fn run_all(long: bool) -> Result<()> {
    setup::packages(PACKAGES)?;
    title("format and lints");
    xtask::shell::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    xtask::shell::run(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    title(if setup::is_root() { "all tests, as root" } else { "all tests, without root" });
    let debian = target_dir().join("xtask/debian.tar");
    if !debian.exists() {
        title("a Debian root filesystem");
        fs::create_dir_all(debian.parent().context("a directory")?)?;
        rootfs::debian(&debian)?;
    }
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests.env("KILN_TEST_DEBIAN", &debian);
    environment(&mut tests, long);
    xtask::shell::run(&mut tests)?;
    if setup::is_root() {
        setup::user()?;
        for binary in test_binaries(&["sandbox", "cli"])? {
            rootless(&binary, &debian, long)?;
        }
    }
    say("\nall tests passed");
    Ok(())
}

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        [] => run_all(false),
        ["--long"] => run_all(true),
        _ => bail!("unknown argument; `cargo xtask test [--long]`"),
    }
}

/// `cargo xtask crash`: every point of `it::crash`, of which [`run_all`] tries a few.
pub(crate) fn crash(arguments: &[&str]) -> Result<()> {
    let points = match arguments {
        [] => "all",
        [points] => points,
        _ => bail!("unknown argument; `cargo xtask crash [POINTS]`"),
    };
    setup::packages(PACKAGES)?;
    let mut tests = cargo(&["test", "-p", "cli", "--test", "it", "crash", "--", "--nocapture"]);
    environment(&mut tests, false);
    xtask::shell::run(tests.env("KILN_CRASH_POINTS", points))
}

/// `cargo xtask model`: the model of the cache in its long form.
pub(crate) fn model(arguments: &[&str]) -> Result<()> {
    let (sequences, seed) = match arguments {
        [] => ("100000", "1"),
        [sequences] => (*sequences, "1"),
        [sequences, seed] => (*sequences, *seed),
        _ => bail!("unknown argument; `cargo xtask model [SEQUENCES [SEED]]`"),
    };
    setup::packages(PACKAGES)?;
    let mut tests = cargo(&["test", "-p", "solver", "--test", "build", "--", "model"]);
    environment(&mut tests, false);
    xtask::shell::run(tests.env("KILN_MODEL_SEQUENCES", sequences).env("KILN_MODEL_SEED", seed))
}

fn environment(command: &mut Command, long: bool) {
    // A namespace test that cannot run is a failure here, not a skip.
    command.env("REQUIRE_USERNS", "1").env("REQUIRE_TOOLS", "1");
    command.env("KILN_MODEL_SEQUENCES", if long { "100000" } else { "1000" });
    if long {
        command.env("PROPTEST_CASES", "10000").env("KILN_CRASH_POINTS", "all");
    }
}

/// Returns the compiled test programs of some packages.
fn test_binaries(packages: &[&str]) -> Result<Vec<PathBuf>> {
    let mut command = cargo(&["test", "--no-run", "--message-format=json", "--quiet"]);
    for package in packages {
        command.args(["-p", package]);
    }
    let mut binaries = Vec::new();
    for line in output(&mut command)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line).context("cargo's messages")?;
        let is_test = message["profile"]["test"].as_bool() == Some(true);
        let integration = message["target"]["kind"].as_array().is_some_and(|k| k.iter().any(|k| k == "test"));
        if let (true, true, Some(path)) = (is_test, integration, message["executable"].as_str()) {
            binaries.push(PathBuf::from(path));
        }
    }
    Ok(binaries)
}

/// Runs a test program as the unprivileged user, from a place that user can read.
fn rootless(binary: &Path, debian: &Path, long: bool) -> Result<()> {
    let name = binary.file_name().context("a file name")?;
    title(&format!("{} as {USER}", name.to_string_lossy()));
    let place = std::env::temp_dir().join(format!("kiln-rootless-{}", std::process::id()));
    fs::create_dir_all(&place)?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
    let outcome = (|| {
        fs::copy(binary, place.join("tests"))?;
        fs::copy(debian, place.join("debian.tar"))?;
        for program in ["kiln", "box-probe"] {
            let built = target_dir().join("debug").join(program);
            if built.exists() {
                fs::copy(built, place.join(program))?;
            }
        }
        xtask::shell::run(command("cp", ["-r"]).arg(workspace().join("testdata")).arg(place.join("testdata")))?;
        xtask::shell::run(command("chmod", ["-R", "a+rX"]).arg(&place))?;
        let mut command = command("runuser", ["-u", USER, "--"]);
        command.arg(place.join("tests")).current_dir(&place);
        command.env("KILN_BIN", place.join("kiln")).env("KILN_TESTDATA", place.join("testdata"));
        command.env("KILN_TEST_DEBIAN", place.join("debian.tar"));
        command.env("BOX_PROBE", place.join("box-probe")).env("HOME", format!("/home/{USER}"));
        command.env_remove("XDG_RUNTIME_DIR").env_remove("XDG_DATA_HOME");
        environment(&mut command, long);
        xtask::shell::run(&mut command)
    })();
    fs::remove_dir_all(&place)?;
    outcome
}
