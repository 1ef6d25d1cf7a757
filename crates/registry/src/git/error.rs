//! What can go wrong with a repository.

use std::io;

/// Why files of a repository are not here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    #[error("git is needed to fetch {url}, and there is none in PATH")]
    NoGit { url: String },
    #[error("failed to {doing}")]
    Io { doing: &'static str, source: io::Error },
    /// Git said no. Its words are the message.
    #[error("failed to {doing} {url}: {message}")]
    Failed { doing: &'static str, url: String, message: String },
    #[error("repository {url} does not contain ref {reference}")]
    NoRef { url: String, reference: String, abbreviated: bool },
    #[error("repository {url} does not contain commit {commit}")]
    NoCommit { url: String, commit: String },
    #[error("no such directory in repository {url}: {path}")]
    NoSubdir { url: String, path: String },
    #[error("subdirectory {path} of repository {url} is not a directory: {what} is {kind}")]
    Subdir { url: String, path: String, what: String, kind: &'static str },
    /// Nobody waits for it any more.
    #[error("canceled")]
    Stopped,
}

impl GitError {
    /// Returns what would help, for a line under the message.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::NoGit { .. } => "install the package `git`",
            Self::NoRef { abbreviated: true, .. } => {
                "a commit is given by all of its hexadecimal digits, or expected with `checksum=`"
            }
            Self::Failed { message, .. } => return help_with(message).map(str::to_owned),
            _ => return None,
        };
        Some(text.to_owned())
    }

    pub(super) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// What helps is known of some of git's and SSH's messages.
fn help_with(message: &str) -> Option<&'static str> {
    let known = [
        ("Host key verification failed", "make sure of the host's key, and add it to ~/.ssh/known_hosts"),
        ("Permission denied (publickey", "start an agent with the right key: ssh-agent, ssh-add"),
        ("ssh: not found", "install the package `openssh-client`"),
        (
            "could not read Username",
            "it is private, or does not exist: give a user and a token in the address, or --secret id=GIT_AUTH_TOKEN",
        ),
        (
            "returned error: 30",
            "no header with credentials goes where another server leads: use the address that it leads to",
        ),
        ("Authentication failed", "the user or the token is not the right one"),
        ("transport 'file' not allowed", "a repository must not lead to files of this machine"),
        ("certificate", "name its authority with GIT_SSL_CAINFO or SSL_CERT_FILE"),
    ];
    known.into_iter().find(|(part, _)| message.contains(part)).map(|(_, help)| help)
}
