//! A home, a store and a build context of its own for each test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// Where a test lives. Dropped, all of it is gone.
pub(crate) struct TestEnv {
    directory: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that it failed with `code` and said each of `parts` on stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "not said: {part:?}\nstderr:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// Numbers of steps that ran and that were cached, from the last line.
    #[track_caller]
    pub(crate) fn counts(&self) -> (usize, usize) {
        let line = self.stderr.lines().rev().find(|l| l.starts_with("done in")).expect("a last line");
        let numbers: Vec<usize> = line
            .split(": ")
            .nth(1)
            .expect("counts")
            .split(", ")
            .map(|part| part.split(' ').next().and_then(|n| n.parse().ok()).expect("a number"))
            .collect();
        (numbers[0], numbers[1])
    }
}

/// The program under test.
pub(crate) fn kiln_binary() -> PathBuf {
    std::env::var_os("KILN_BIN").map_or_else(|| env!("CARGO_BIN_EXE_kiln").into(), PathBuf::from)
}

/// True if a program is installed. `REQUIRE_TOOLS=1` turns its lack into a failure.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.extend(["/usr/sbin".into(), "/sbin".into()]);
    let found = directories.iter().any(|d| d.join(program).exists());
    assert!(found || std::env::var_os("REQUIRE_TOOLS").is_none(), "{program} is not installed");
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The busybox root filesystem, made once for all tests of the process.
pub(crate) fn busybox_tar() -> &'static Path {
    static TAR: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &TAR.get_or_init(|| {
        let directory = TempDir::new().expect("a directory");
        let tar = directory.path().join("busybox.tar");
        xtask::rootfs::busybox(&tar).expect("busybox-static is installed");
        (directory, tar)
    })
    .1
}

impl TestEnv {
    /// An empty store.
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        for part in ["home", "context"] {
            fs::create_dir(directory.path().join(part)).expect("a directory");
        }
        Self { directory }
    }

    /// A store that holds `busybox:latest`.
    pub(crate) fn with_busybox() -> Self {
        let env = Self::new();
        env.kiln(["import", busybox_tar().to_str().expect("UTF-8"), "busybox"]).ok();
        env
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Writes a file of the build context.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path("context").join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, content).expect("a file");
        path
    }

    /// Prepares the binary: nothing of the caller's environment but the search path.
    pub(crate) fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(kiln_binary());
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("KILN_ROOT", self.store()).current_dir(self.path("context"));
        command
    }

    pub(crate) fn kiln<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        ran(self.command(arguments).stdin(Stdio::null()).output().expect("kiln starts"))
    }

    /// Writes the Dockerfile and builds it as `test:latest`, with further flags.
    pub(crate) fn build_with(&self, dockerfile: &str, flags: &[&str]) -> Ran {
        self.file("Dockerfile", dockerfile);
        self.kiln(["build", "--progress=plain", "-t", "test"].into_iter().chain(flags.iter().copied()).chain(["."]))
    }

    pub(crate) fn build(&self, dockerfile: &str) -> Ran {
        self.build_with(dockerfile, &[])
    }

    /// Runs a shell command in the image `test` and returns what it printed.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        self.kiln(["run", "--rm", "--entrypoint", "/bin/sh", "test", "-c", script]).ok().stdout
    }

    /// The id (digest of the configuration) of `test`.
    #[track_caller]
    pub(crate) fn image_id(&self) -> String {
        self.inspect("test")["Id"].as_str().expect("an id").to_owned()
    }

    #[track_caller]
    pub(crate) fn inspect(&self, name: &str) -> serde_json::Value {
        let shown: serde_json::Value = serde_json::from_str(&self.kiln(["inspect", name]).ok().stdout).expect("JSON");
        shown[0].clone()
    }
}

pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or_else(|| {
            use std::os::unix::process::ExitStatusExt;
            128 + output.status.signal().unwrap_or_default()
        }),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs another program and returns its stdout; fails the test when it fails.
#[track_caller]
pub(crate) fn tool(command: &mut Command) -> String {
    let ran = ran(command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}")));
    assert_eq!(ran.code, 0, "{command:?}\nstdout:\n{}\nstderr:\n{}", ran.stdout, ran.stderr);
    ran.stdout
}
