//! Files of git repositories, fetched by the program `git`.
//!
//! ```text
//! Remote, Wanted ─► resolve: ls-remote ─► Commit ─► fetch: objects of that commit alone, checkout, submodules ─► directory
//! ```
//!
//! What is in a repository decides about files and nothing else: no hook, filter, helper or configuration of it or of
//! the caller is run, no protocol but HTTP(S), SSH and git's own is spoken, nothing is asked of a terminal. Credentials
//! reach the host they are for alone, through git's environment; no argument, configuration or message has them.

mod command;
mod error;
mod fetch;
mod process;
mod refs;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub use error::GitError;

use command::Commands;

use crate::Authorization;

type Result<T, E = GitError> = std::result::Result<T, E>;

/// What git may know of the caller.
#[derive(Clone, Debug, Default)]
pub struct GitOptions {
    /// Where programs are looked for, as in `PATH`.
    pub path: OsString,
    /// Variables that are handed on: proxies, certificates, `SSH_AUTH_SOCK`, `GIT_SSH_COMMAND`.
    pub variables: Vec<(String, OsString)>,
    /// Whose `.ssh` has keys and known hosts.
    pub home: Option<PathBuf>,
}

/// The program `git`. It is looked for when it is needed.
#[derive(Clone, Debug, Default)]
pub struct Git {
    options: GitOptions,
}

/// Where a repository is.
#[derive(Clone, Copy, Debug)]
pub struct Remote<'a> {
    /// Without credentials.
    pub url: &'a str,
    /// A login is told when the server asks; a header at once, and then no redirect is followed: git would send it there.
    pub authorization: Option<&'a Authorization>,
}

/// A commit, and how the repository calls it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Commit {
    pub commit: String,
    /// The annotated tag that names it.
    pub tag: Option<String>,
    /// The full name of the ref, if it was found by one.
    pub name: Option<String>,
}

impl Commit {
    /// Returns the object that a ref stands for: the tag if there is one.
    pub(crate) fn object(&self) -> &str {
        self.tag.as_deref().unwrap_or(&self.commit)
    }
}

/// Which files of a commit.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// Relative; empty for all.
    pub subdir: &'a str,
    pub submodules: bool,
    /// Leave `.git` in the directory; of no use with a subdirectory.
    pub keep_git_dir: bool,
}

/// What was fetched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fetched {
    /// Where the files are, below the directory that was given.
    pub directory: PathBuf,
    pub commit: String,
    /// Seconds since 1970.
    pub time: i64,
}

/// Where git works, and until when.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// An empty directory, on the file system where the files are wanted.
    pub scratch: &'a Path,
    /// True when nobody waits for it any more. Without it, an interrupt of the terminal reaches git as it does the caller.
    pub stop: Option<&'a dyn Fn() -> bool>,
}

impl fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("scratch", &self.scratch).finish_non_exhaustive()
    }
}

impl Git {
    /// Prepares nothing yet.
    pub fn new(options: GitOptions) -> Self {
        Self { options }
    }

    /// Asks what a ref stands for; the default branch if there is none.
    pub fn resolve(&self, remote: Remote<'_>, reference: Option<&str>, place: Place<'_>) -> Result<Commit> {
        let commands = Commands::new(&self.options, remote, place)?;
        refs::resolve(&commands, remote.url, reference)
    }

    /// Brings the files of a commit here.
    pub fn fetch(&self, remote: Remote<'_>, commit: &Commit, files: Files<'_>, place: Place<'_>) -> Result<Fetched> {
        let commands = Commands::new(&self.options, remote, place)?;
        fetch::fetch(&commands, remote.url, commit, files)
    }
}

#[cfg(test)]
mod tests;
