//! What isolation is possible here, and what stands in the way of the better one.

use std::fmt;
use std::fs;

use super::{Ids, enter, needs_entering};
use crate::{Error, Identity};

/// One rung of the ladder of isolation.
#[derive(Debug)]
pub struct Rung {
    pub identity: Identity,
    /// Why it cannot be had here; `None` if it can.
    pub obstacle: Option<Error>,
}

/// What is possible on this machine for this user.
#[derive(Debug)]
pub struct Report {
    /// What this process has already, if it needs nothing more.
    pub current: Option<Identity>,
    /// Best first.
    pub rungs: Vec<Rung>,
}

impl Report {
    /// Returns the best rung that can be had.
    pub fn best(&self) -> Option<Identity> {
        self.current.or_else(|| self.rungs.iter().find(|rung| rung.obstacle.is_none()).map(|rung| rung.identity))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.best() {
            Some(best) => write!(f, "{}", name(best))?,
            None => write!(f, "none")?,
        }
        for rung in &self.rungs {
            if let Some(obstacle) = &rung.obstacle {
                write!(f, "\nnot {}: {obstacle}", name(rung.identity))?;
            }
        }
        Ok(())
    }
}

fn name(identity: Identity) -> &'static str {
    match identity {
        Identity::Root => "root",
        Identity::SubordinateIds => "user namespace with subordinate ids",
        Identity::SingleId => "user namespace with a single id",
    }
}

/// Tries out which kinds of isolation are possible. Makes short-lived processes; the caller stays as it is.
pub fn probe() -> Report {
    if !needs_entering() {
        return Report { current: Some(Ids::current().identity), rungs: Vec::new() };
    }
    let rung = |identity| {
        let attempt = || {
            let mapping = enter::mappings(Some(identity)).pop().unwrap_or_else(|| Err(obstacle("nothing to try")))?;
            enter::try_out(&mapping)
        };
        Rung { identity, obstacle: attempt().err() }
    };
    let rungs = [Identity::Root, Identity::SubordinateIds, Identity::SingleId].map(rung).into();
    Report { current: None, rungs }
}

/// Settings that forbid user namespaces: file, value that forbids, what would help.
const KNOBS: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor forbids it: `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, a profile for this program \
         with the rule `userns,`, or run as root",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "this kernel forbids it: `sysctl kernel.unprivileged_userns_clone=1`, or run as root",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "the limit on user namespaces is 0: `sysctl user.max_user_namespaces=15000`, or run as root",
    ),
];

/// Returns an error that says what forbids user namespaces here, as far as it can be seen.
pub(super) fn obstacle(what: &str) -> Error {
    let help = explain(|path| fs::read_to_string(path).ok());
    Error::NoUserNamespace { what: what.to_owned(), help }
}

fn explain(read: impl Fn(&str) -> Option<String>) -> String {
    for (path, forbidding, help) in KNOBS {
        if read(path).is_some_and(|value| value.trim() == forbidding) {
            return help.to_owned();
        }
    }
    let status = read("/proc/self/status").unwrap_or_default();
    let filtered = status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"]));
    if filtered {
        "a seccomp filter is in force, probably that of a container: start the container with \
         `--security-opt seccomp=unconfined`, or with `--privileged`"
            .to_owned()
    } else {
        "run as root, or ask whoever runs this machine to allow user namespaces".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &str) {
        let help = explain(|path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()));
        assert!(help.contains(expected), "{help}");
    }

    #[test]
    fn the_setting_that_forbids_is_named() {
        check(&[("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")], "AppArmor");
        check(&[("/proc/sys/kernel/unprivileged_userns_clone", "0\n")], "unprivileged_userns_clone=1");
        check(&[("/proc/sys/user/max_user_namespaces", "0\n")], "max_user_namespaces=15000");
        check(&[("/proc/self/status", "Name:\tx\nSeccomp:\t2\n")], "seccomp=unconfined");
        check(&[("/proc/sys/kernel/unprivileged_userns_clone", "1\n")], "run as root");
    }
}
