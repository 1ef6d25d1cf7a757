//! What a fresh Debian or Ubuntu machine lacks: packages, a user with subordinate ids.

use std::fs;

use anyhow::{Result, bail};

use xtask::shell::{command, output, run, say, succeeds, title};

/// The unprivileged user that rootless tests run as.
pub(crate) const USER: &str = "kiln-test";

/// Installs the packages that are missing. `needs`: a file that shows that the package is there, and its name.
pub(crate) fn packages(needs: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = needs.iter().filter(|(file, _)| !installed(file)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    title(&format!("installing {}", missing.join(" ")));
    if !succeeds("apt-get", &["--version"]) {
        bail!("these packages are needed and apt-get is not here to install them: {}", missing.join(" "));
    }
    run(&mut root(&["apt-get", "update", "-qq"]))?;
    let mut install = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq"];
    install.push("--no-install-recommends");
    install.extend(&missing);
    run(root(&install).stdout(std::process::Stdio::null()))
}

fn installed(file: &str) -> bool {
    let directories = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"];
    directories.iter().any(|directory| fs::exists(format!("{directory}/{file}")).unwrap_or(false))
}

/// True if this process is root.
pub(crate) fn is_root() -> bool {
    output(&mut command("id", ["-u"])).is_ok_and(|id| id.trim() == "0")
}

/// A command as root, through sudo where needed.
pub(crate) fn root(words: &[&str]) -> std::process::Command {
    if is_root() { command(words[0], &words[1..]) } else { command("sudo", words) }
}

/// Makes the test user, with subordinate ids. Only root can; who is not root tests as themselves.
pub(crate) fn user() -> Result<()> {
    if !succeeds("id", &[USER]) {
        say(&format!("making the user {USER}"));
        run(&mut command("useradd", ["--create-home", "--shell", "/bin/sh", USER]))?;
    }
    for (file, flag) in [("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")] {
        let ranges = fs::read_to_string(file).unwrap_or_default();
        if !ranges.lines().any(|line| line.split(':').next() == Some(USER)) {
            run(&mut command("usermod", [flag, "400000-465535", USER]))?;
        }
    }
    Ok(())
}
