//! The builders to compare with: BuildKit as Debian's Docker has it, and buildah.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Outcome, saved};
use xtask::case::Case;
use xtask::shell::{command, run};

/// Another builder.
pub(crate) trait Oracle {
    fn name(&self) -> &'static str;

    /// True if it writes the history as BuildKit does.
    fn tells_history(&self) -> bool;

    /// Builds a case from its prepared copy.
    fn build(&self, case: &Case, copy: &Path) -> Result<Outcome>;
}

/// A daemon of our own: private socket, state and containerd.
pub(crate) struct Docker {
    daemon: Child,
    socket: String,
}

impl Docker {
    pub(crate) fn new(place: &Path, base: &Path) -> Result<Self> {
        // A socket's path is short.
        let run_directory = std::env::temp_dir().join(format!("kiln-conf-{}", std::process::id()));
        std::fs::create_dir_all(&run_directory)?;
        let socket = format!("unix://{}", run_directory.join("d.sock").display());
        let mut start = command("dockerd", ["--bridge=none", "--iptables=false", "--host", &socket]);
        start.arg("--data-root").arg(place.join("docker")).arg("--exec-root").arg(run_directory.join("exec"));
        start.arg("--pidfile").arg(run_directory.join("pid"));
        start.stdout(Stdio::null()).stderr(File::create(place.join("dockerd.log"))?);
        let docker = Self { daemon: start.spawn()?, socket };
        for _ in 0..600 {
            if docker.client(&["version"]).output()?.status.success() {
                run(docker.client(&["import"]).arg(base).arg("busybox").stdout(Stdio::null()))?;
                return Ok(docker);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("dockerd does not answer; see {}", place.join("dockerd.log").display())
    }

    fn client(&self, arguments: &[&str]) -> Command {
        // The client of the distribution, of the daemon's own version.
        let client = if Path::new("/usr/bin/docker").exists() { "/usr/bin/docker" } else { "docker" };
        let mut client = command(client, ["--host", &self.socket]);
        client.args(arguments).env("DOCKER_BUILDKIT", "1");
        client
    }
}

impl Oracle for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn tells_history(&self) -> bool {
        true
    }

    fn build(&self, case: &Case, copy: &Path) -> Result<Outcome> {
        let image = format!("case-{}", case.name);
        let mut build = self.client(&["build", "--progress=plain", "--network=host", "-f", "Dockerfile", "-t", &image]);
        let output = build.args(case.flags()).arg("context").current_dir(copy).output()?;
        if !output.status.success() {
            return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let archive = copy.join("docker.tar");
        run(self.client(&["save", &image, "-o"]).arg(&archive))?;
        Ok(Ok(saved::read(&archive)?))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // It stops its containerd when asked to; killed it would leave it.
        let asked = Command::new("kill").arg(self.daemon.id().to_string()).status();
        if asked.is_ok() {
            // Nothing is left to do about a daemon that cannot be waited for.
            let _ = self.daemon.wait();
        }
    }
}

pub(crate) struct Buildah {
    root: PathBuf,
    /// Where it has its cache mounts, which must be new as kiln's are.
    temporary: PathBuf,
}

impl Buildah {
    pub(crate) fn new(place: &Path, base: &Path) -> Result<Self> {
        let buildah = Self { root: place.join("buildah"), temporary: place.join("buildah-tmp") };
        std::fs::create_dir_all(&buildah.temporary)?;
        let context = place.join("buildah-base");
        std::fs::create_dir_all(&context)?;
        std::fs::copy(base, context.join("busybox.tar"))?;
        std::fs::write(context.join("Dockerfile"), "FROM scratch\nADD busybox.tar /\n")?;
        run(buildah
            .command(&["build", "--quiet", "--tag", "docker.io/library/busybox:latest"])
            .arg(&context)
            .stdout(Stdio::null()))?;
        Ok(buildah)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut buildah = command("buildah", ["--storage-driver=vfs"]);
        buildah.arg("--root").arg(&self.root).arg("--runroot").arg(self.root.with_extension("run")).args(arguments);
        buildah.env("TMPDIR", &self.temporary);
        buildah
    }
}

impl Oracle for Buildah {
    fn name(&self) -> &'static str {
        "buildah"
    }

    fn tells_history(&self) -> bool {
        false
    }

    fn build(&self, case: &Case, copy: &Path) -> Result<Outcome> {
        let image = format!("localhost/case-{}", case.name);
        let mut build = self.command(&["build", "--isolation=chroot", "--network=host", "--layers=false"]);
        build.args(["--pull-never", "--format=docker", "--file", "Dockerfile", "--tag", &image]).args(case.flags());
        let output = build.arg("context").current_dir(copy).output()?;
        if !output.status.success() {
            return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let archive = copy.join("buildah.tar");
        run(self.command(&["push", "--quiet", &image]).arg(format!("docker-archive:{}", archive.display())))?;
        Ok(Ok(saved::read(&archive)?))
    }
}
