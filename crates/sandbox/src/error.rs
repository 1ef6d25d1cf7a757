//! What can go wrong around a box.

use std::io;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says what was being done to what; the source says why it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One step of setting a box up, for example `mounting proc at /proc`.
    #[error("{doing}")]
    Setup {
        doing: String,
        #[source]
        source: io::Error,
    },
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoSuchUser(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    NoSuchGroup(String),
    #[error("uids and gids must be in range 0-2147483647, not {0}")]
    IdOutOfRange(String),
    /// The user namespace this process lives in has no such id.
    #[error("{what} {id} is not available in this user namespace{}", help_with_id(*.single))]
    UnmappedId {
        /// `user` or `group`.
        what: String,
        id: u32,
        /// The namespace holds one id only.
        single: bool,
    },
    /// The command exists nowhere in `PATH`, or not at the path given (or the interpreter it names does not).
    #[error("{}", command_not_found(.command, *.in_path, *.interpreter))]
    CommandNotFound {
        command: String,
        /// Whether it was looked up in `PATH`.
        in_path: bool,
        /// Whether the file is there, but what its first line or its ELF header names is not.
        interpreter: bool,
    },
    /// The command is there, but the kernel refuses to execute it.
    #[error("exec: \"{command}\"")]
    NotExecutable {
        command: String,
        #[source]
        source: io::Error,
    },
    /// Something in the specification that no box can be made of.
    #[error("{0}")]
    Invalid(String),
    /// The box ended before its command had started.
    #[error("the box ended while it was set up ({0})")]
    Died(crate::Status),
    /// The private network of boxes could not be connected.
    #[error("no private network for the box: {0}")]
    Network(String),
    /// The process that starts boxes has ended.
    #[error("the process that starts boxes has ended")]
    LauncherGone,
    /// No user namespace can be entered here.
    #[error("{what} ({help})")]
    NoUserNamespace {
        /// What stands in the way.
        what: String,
        /// What would help.
        help: String,
    },
}

/// What kind of failure an [`Error`] is, as far as exit codes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorKind {
    /// The command was not found: exit code 127.
    NotFound,
    /// The command was found and cannot be executed: exit code 126.
    NotExecutable,
    /// The user or group does not exist, or has no id here.
    User,
    /// The box cannot be made like that.
    Invalid,
    /// Everything else: the machine refused.
    Setup,
}

impl Error {
    /// Returns what kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::CommandNotFound { .. } => ErrorKind::NotFound,
            Self::NotExecutable { .. } => ErrorKind::NotExecutable,
            Self::NoSuchUser(_) | Self::NoSuchGroup(_) | Self::IdOutOfRange(_) | Self::UnmappedId { .. } => {
                ErrorKind::User
            }
            Self::Invalid(_) => ErrorKind::Invalid,
            _ => ErrorKind::Setup,
        }
    }

    /// Returns the exit code that `docker run` would have for this: 127, 126 or 125.
    pub fn exit_code(&self) -> u8 {
        match self.kind() {
            ErrorKind::NotFound => 127,
            ErrorKind::NotExecutable => 126,
            _ => 125,
        }
    }
}

fn help_with_id(single: bool) -> &'static str {
    if single {
        ", which holds a single id (needs subordinate ids in /etc/subuid and /etc/subgid: \
         `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`, and newuidmap)"
    } else {
        " (needs a longer range in /etc/subuid and /etc/subgid)"
    }
}

fn command_not_found(command: &str, in_path: bool, interpreter: bool) -> String {
    if interpreter {
        format!("exec: \"{command}\": the file exists, but the interpreter it names does not")
    } else if in_path {
        format!("exec: \"{command}\": executable file not found in $PATH")
    } else {
        format!("exec: \"{command}\": no such file or directory")
    }
}

/// Says what was being done when something failed.
pub(crate) trait Doing<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Setup { doing: doing(), source: source.into() })
    }
}
