//! The release binary as a process, in a store of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub(crate) struct Place {
    directory: TempDir,
    kiln: PathBuf,
}

impl Place {
    /// Builds kiln in release and imports busybox into a fresh store. `KILN_BENCH_DIR` says on which file system.
    pub(crate) fn new() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo).args(["build", "--release", "--quiet", "-p", "cli"]).status();
        assert!(built.expect("cargo runs").success());
        let kiln = xtask::shell::target_dir().join("release/kiln");
        let root = std::env::var_os("KILN_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let place = Self { directory: TempDir::new_in(root).expect("a directory"), kiln };
        let tar = place.path().join("busybox.tar");
        xtask::rootfs::busybox(&tar).expect("busybox-static is installed");
        place.run(&["import", tar.to_str().expect("UTF-8"), "busybox"]);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn run(&self, arguments: &[&str]) {
        let mut command = Command::new(&self.kiln);
        command.args(arguments).env("KILN_ROOT", self.path().join("store")).stdin(Stdio::null());
        let output = command.output().expect("kiln starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
