//! Base images without any registry: Debian's static busybox, and Debian itself.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};

use crate::shell::{command, output, run};

/// Writes a root filesystem with busybox and its applets as a tar.
pub fn busybox(tar: &Path) -> Result<()> {
    let root = tar.with_extension("rootfs");
    // A directory left by a run that was interrupted.
    let _ = fs::remove_dir_all(&root);
    for directory in ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr/bin", "var"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::set_permissions(root.join("root"), fs::Permissions::from_mode(0o700))?;
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|p| Path::new(p).exists());
    let busybox = busybox.context("busybox is not installed")?;
    fs::copy(busybox, root.join("bin/busybox"))?;
    for applet in output(&mut command(busybox, ["--list"]))?.lines().filter(|a| *a != "busybox") {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\nnobody:x:65534:\n")?;
    run(command("tar", ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-cf"])
        .arg(tar)
        .arg("-C")
        .arg(&root)
        .arg("."))?;
    fs::remove_dir_all(&root)?;
    Ok(())
}

/// Writes a minimal Debian with apt as a tar, from the archives that this machine's own apt uses.
pub fn debian(tar: &Path) -> Result<()> {
    let part = tar.with_extension("part.tar");
    run(command("mmdebstrap", ["--quiet", "--variant=apt", "--include=ca-certificates", "bookworm"])
        .arg(&part)
        .args(sources()))?;
    fs::rename(part, tar)?;
    Ok(())
}

/// The machine's own sources when it is a Debian; mmdebstrap's default otherwise.
fn sources() -> Vec<String> {
    let file = "/etc/apt/sources.list.d/debian.sources";
    if Path::new(file).exists() { vec![file.to_owned()] } else { Vec::new() }
}
