//! The command: its directory, its environment, and where it is found.

use std::ffi::CString;
use std::io;

use rustix::fs::{CWD, Gid, Mode, Uid, mkdir};
use rustix::io::Errno;

use super::user::User;
use crate::error::{Doing, Error, Result};
use crate::spec::Spec;
use crate::sys::{self, Strings};

/// Where commands are looked up when there is no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything `execve` needs, made while that is still allowed to fail with a good message.
pub(super) struct Command {
    name: String,
    in_path: bool,
    /// Where it may be, in order.
    candidates: Vec<CString>,
    argv: Strings,
    env: Strings,
}

impl Command {
    pub(super) fn new(spec: &Spec, user: &User) -> Result<Self> {
        let name = spec.argv.first().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Error::Invalid("no command was given".into()))?;
        let argv = spec.argv.iter().map(|word| text(word, "an argument")).collect::<Result<_>>()?;
        let mut env = Vec::with_capacity(spec.env.len() + 1);
        for (name, value) in &spec.env {
            env.push(text(&format!("{name}={value}"), "an environment variable")?);
        }
        if !spec.env.iter().any(|(name, _)| name == "HOME") {
            env.push(text(&format!("HOME={}", user.home), "HOME")?);
        }
        let path = spec.env.iter().rev().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, path)| path);
        let in_path = !name.contains('/');
        let candidates = if in_path {
            let in_directory = |dir: &str| format!("{}/{name}", if dir.is_empty() { "." } else { dir });
            path.split(':').map(|dir| text(&in_directory(dir), "PATH")).collect::<Result<_>>()?
        } else {
            vec![text(name, "the command")?]
        };
        let (argv, env) = (Strings::new(argv), Strings::new(env));
        Ok(Self { name: name.clone(), in_path, candidates, argv, env })
    }

    /// Becomes the command. Returns why not.
    pub(super) fn execute(&self) -> Error {
        let mut refused = None;
        for candidate in &self.candidates {
            // execve(2) does much before it finds that there is no such file.
            if self.in_path && !exists(candidate) {
                continue;
            }
            let error = sys::execve(candidate, &self.argv, &self.env);
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) if !exists(candidate) => {}
                Some(libc::ENOENT) => return self.not_found(true),
                // There may be another one further on; if there is not, this is the reason.
                Some(libc::EACCES) if self.in_path => refused = Some(error),
                _ => return Error::NotExecutable { command: self.name.clone(), source: error },
            }
        }
        match refused {
            Some(source) => Error::NotExecutable { command: self.name.clone(), source },
            None => self.not_found(false),
        }
    }

    fn not_found(&self, interpreter: bool) -> Error {
        Error::CommandNotFound { command: self.name.clone(), in_path: self.in_path, interpreter }
    }
}

/// True if something has the name, or may have: a directory on the way there can be closed to the user.
fn exists(path: &CString) -> bool {
    !matches!(rustix::fs::stat(path.as_c_str()), Err(Errno::NOENT | Errno::NOTDIR))
}

fn text(text: &str, what: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::Invalid(format!("{what} contains a null byte")))
}

/// Goes to the working directory, which is made with its parents, for the user, where it is missing.
///
/// Still as root: a directory that only root can enter may be the working directory of another user.
pub(super) fn enter_directory(path: &str, user: &User) -> Result<()> {
    let path = if path.is_empty() { "/" } else { path };
    if !path.starts_with('/') {
        return Err(Error::Invalid(format!("the working directory `{path}` is not absolute")));
    }
    match rustix::process::chdir(path) {
        Err(Errno::NOENT) => make_directories(path, user).and_then(|()| Ok(rustix::process::chdir(path)?)),
        other => other.map_err(Into::into),
    }
    .doing(|| format!("entering the working directory {path}"))
}

/// The root has been changed, so links resolve inside.
fn make_directories(path: &str, user: &User) -> io::Result<()> {
    let path = std::path::Path::new(path);
    let mut prefix = std::path::PathBuf::new();
    for component in path.components() {
        prefix.push(component);
        match mkdir(&prefix, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
                rustix::fs::chownat(CWD, &prefix, Some(uid), Some(gid), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
