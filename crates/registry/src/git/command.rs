//! The commands: each with the same small environment and configuration.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{self, Finished};
use super::{GitError, GitOptions, Place, Remote, Result};
use crate::authorization::Kind;

/// Modes are those of git, whatever the caller's umask.
const WITH_UMASK: &str = "umask 022 && exec \"$0\" \"$@\"";

/// Variables with the credentials, which only the helper of [`configuration`] reads.
const USER: &str = "KILN_GIT_USER";
const PASSWORD: &str = "KILN_GIT_PASSWORD";

/// What all commands for one repository have in common.
#[derive(Debug)]
pub(super) struct Commands<'a> {
    git: PathBuf,
    options: &'a GitOptions,
    remote: Remote<'a>,
    pub(super) place: Place<'a>,
    /// The only configuration beside the repository's own.
    config: PathBuf,
}

/// A repository here, and where its files go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here<'a> {
    pub(super) git_dir: &'a Path,
    pub(super) work_tree: &'a Path,
}

impl<'a> Commands<'a> {
    pub(super) fn new(options: &'a GitOptions, remote: Remote<'a>, place: Place<'a>) -> Result<Self> {
        let git = program(&options.path).ok_or_else(|| GitError::NoGit { url: remote.url.to_owned() })?;
        let config = place.scratch.join("config");
        fs::write(&config, configuration(&remote)).map_err(GitError::io("write a configuration for git"))?;
        Ok(Self { git, options, remote, place, config })
    }

    /// Runs a command, and returns what it printed. `doing` reads like "fetch".
    pub(super) fn run(&self, doing: &'static str, here: Option<Here<'_>>, arguments: &[&str]) -> Result<String> {
        let finished = self.attempt(here, arguments)?;
        if !finished.status.success() {
            return Err(self.failed(doing, &finished));
        }
        String::from_utf8(finished.stdout).map_err(|_| GitError::Failed {
            doing,
            url: self.remote.url.to_owned(),
            message: "git prints something that is no text".to_owned(),
        })
    }

    pub(super) fn failed(&self, doing: &'static str, finished: &Finished) -> GitError {
        GitError::Failed { doing, url: self.remote.url.to_owned(), message: message(&finished.stderr) }
    }

    /// Runs a command that may fail.
    pub(super) fn attempt(&self, here: Option<Here<'_>>, arguments: &[&str]) -> Result<Finished> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(WITH_UMASK).arg(&self.git);
        if let Some(here) = here {
            command.arg("--git-dir").arg(here.git_dir).arg("--work-tree").arg(here.work_tree);
            command.current_dir(here.work_tree);
        }
        command.args(arguments);
        self.surround(&mut command);
        let finished = process::run(&mut command, self.place.stop).map_err(GitError::io("run git"))?;
        finished.ok_or(GitError::Stopped)
    }

    fn surround(&self, command: &mut Command) {
        command.env_clear().envs(self.options.variables.iter().map(|(name, value)| (name, value)));
        command.env("PATH", &self.options.path).env("LC_ALL", "C");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", &self.config).env("HOME", "/dev/null");
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", "http:https:git:ssh");
        command.env("GIT_ATTR_NOSYSTEM", "1");
        match self.remote.authorization.map(|authorization| &authorization.0) {
            Some(Kind::Login { user, password }) => {
                command.env(USER, user.expose()).env(PASSWORD, password.expose());
            }
            Some(Kind::Header(value)) => {
                command.env("GIT_CONFIG_COUNT", "1");
                command.env("GIT_CONFIG_KEY_0", format!("http.{}.extraHeader", host(&self.remote)));
                command.env("GIT_CONFIG_VALUE_0", format!("Authorization: {}", value.expose()));
            }
            None => {}
        }
        if !self.options.variables.iter().any(|(name, _)| name == "GIT_SSH_COMMAND") {
            command.env("GIT_SSH_COMMAND", ssh(self.options.home.as_deref()));
        }
    }
}

/// Finds git where programs are looked for.
fn program(path: &OsStr) -> Option<PathBuf> {
    let directories = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join("git")).find(|git| git.is_file())
}

/// Returns the address of the server, without a path.
fn host(remote: &Remote<'_>) -> String {
    remote.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

/// No hooks, nothing in the background, no server that keeps a connection without using it; credentials for their host
/// alone, when it asks.
fn configuration(remote: &Remote<'_>) -> String {
    let mut text =
        "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n\
         [http]\n\tlowSpeedLimit = 1\n\tlowSpeedTime = 300\n[init]\n\tdefaultBranch = master\n\
         [advice]\n\tdetachedHead = false\n"
            .to_owned();
    let host = host(remote).replace('\\', "\\\\").replace('"', "\\\"");
    let kind = remote.authorization.map(|authorization| &authorization.0);
    if let Some(Kind::Login { .. }) = kind {
        let helper = format!(
            "!f() {{ test \\\"$1\\\" = get && printf 'username=%s\\\\npassword=%s\\\\n' \\\"${USER}\\\" \\\"${PASSWORD}\\\"; }}; f"
        );
        let _ = writeln!(text, "[credential \"{host}\"]\n\thelper = \"{helper}\"");
    }
    if let Some(Kind::Header(_)) = kind {
        let _ = writeln!(text, "[http \"{host}\"]\n\tfollowRedirects = false");
    }
    text
}

/// SSH by the caller's keys and known hosts. They are named, since in a user namespace SSH would look for root's.
fn ssh(home: Option<&Path>) -> OsString {
    let mut command = OsString::from("ssh -F /dev/null -o BatchMode=yes");
    let Some(directory) = home.map(|home| home.join(".ssh")) else { return command };
    command.push(" -o UserKnownHostsFile=");
    command.push(quoted(&directory.join("known_hosts")));
    for key in ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| directory.join(name)).iter().filter(|key| key.is_file())
    {
        command.push(" -i ");
        command.push(quoted(key));
    }
    command
}

/// Quotes a path for the shell.
fn quoted(path: &Path) -> OsString {
    let bytes: Vec<u8> = path
        .as_os_str()
        .as_bytes()
        .iter()
        .flat_map(|&b| match b {
            b'\'' => b"'\\''".to_vec(),
            b => vec![b],
        })
        .collect();
    let mut quoted = OsString::from("'");
    quoted.push(OsStr::from_bytes(&bytes));
    quoted.push("'");
    quoted
}

/// Returns what git said was wrong, in one line.
fn message(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let telling = lines.iter().copied().filter(|line| {
        ["fatal:", "error:", "remote:", "ssh:", "Host key", "Permission denied"]
            .iter()
            .any(|start| line.starts_with(start))
            || line.contains("Permission denied (")
    });
    let mut telling: Vec<&str> = telling.collect();
    if telling.is_empty() {
        telling = lines.last().copied().into_iter().collect();
    }
    let plain = telling.iter().map(|line| line.trim_start_matches("fatal: ").trim_start_matches("error: "));
    let message = plain.collect::<Vec<_>>().join("; ");
    let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(2000).collect();
    if message.is_empty() { "git failed without a word".to_owned() } else { message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authorization;

    #[test]
    fn what_git_says_is_one_line() {
        let stderr = b"hint: x\nremote: Repository not found.\nfatal: repository 'https://h/r.git/' not found\n";
        assert_eq!(message(stderr), "remote: Repository not found.; repository 'https://h/r.git/' not found");
        assert_eq!(message(b"something \x1b[31m odd\n"), "something  [31m odd");
        assert_eq!(message(b""), "git failed without a word");
    }

    #[test]
    fn ssh_gets_the_callers_files() {
        let text = ssh(Some(Path::new("/home/o'b"))).into_string().unwrap();
        assert!(text.ends_with("UserKnownHostsFile='/home/o'\\''b/.ssh/known_hosts'"), "{text}");
        assert_eq!(ssh(None), "ssh -F /dev/null -o BatchMode=yes");
    }

    #[test]
    fn credentials_are_for_one_host_and_in_no_configuration() {
        let login = Authorization::login("me", "secret");
        let text = configuration(&Remote { url: "https://h:81/o/r.git", authorization: Some(&login) });
        assert!(text.contains("[credential \"https://h:81\"]") && !text.contains("secret"), "{text}");
        let header = Authorization::header("Bearer secret");
        let text = configuration(&Remote { url: "https://h:81/o/r.git", authorization: Some(&header) });
        assert!(text.ends_with("[http \"https://h:81\"]\n\tfollowRedirects = false\n"), "{text}");
        assert!(!configuration(&Remote { url: "https://h/r.git", authorization: None }).contains("https://h"));
    }
}
