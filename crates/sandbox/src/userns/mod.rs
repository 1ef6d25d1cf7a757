//! User namespaces: which ids this process has, and how it gets more.

mod enter;
mod maps;
mod probe;

use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use rustix::thread::CapabilitySet;

pub use enter::enter;
pub(crate) use maps::IdMap;
pub use probe::{Report, Rung, probe};

use crate::Identity;

/// Inode of the initial user namespace (`PROC_USER_INIT_INO`).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// What is known of the user namespace this process lives in.
#[derive(Debug)]
pub(crate) struct Ids {
    /// Mounts made here carry `trusted.*` attributes, and device nodes can be made.
    pub(crate) initial: bool,
    pub(crate) identity: Identity,
    pub(crate) uids: IdMap,
    pub(crate) gids: IdMap,
}

impl Ids {
    /// Returns what this process has; read once.
    pub(crate) fn current() -> &'static Self {
        static IDS: OnceLock<Ids> = OnceLock::new();
        IDS.get_or_init(|| {
            let uids = IdMap::read("/proc/self/uid_map");
            let gids = IdMap::read("/proc/self/gid_map");
            let initial = match std::fs::metadata("/proc/self/ns/user") {
                Ok(metadata) => metadata.ino() == INITIAL_USER_NAMESPACE,
                // A kernel without user namespaces has the initial one only.
                Err(_) => true,
            };
            Self { initial, identity: classify(initial, &uids), uids, gids }
        })
    }
}

/// A namespace with a full range is as good as the initial one; ours start with the caller's own id alone.
fn classify(initial: bool, uids: &IdMap) -> Identity {
    if initial {
        Identity::Root
    } else if uids.count() <= 1 {
        Identity::SingleId
    } else if uids.first_extent() >= 65_536 {
        Identity::Root
    } else {
        Identity::SubordinateIds
    }
}

/// Returns which ids this process has now; of use once it is root there, see [`needs_entering`].
pub fn identity() -> Identity {
    Ids::current().identity
}

/// Returns whether this process has to [`enter`] a user namespace before it can start boxes: it is not root in a
/// namespace where it can mount.
pub fn needs_entering() -> bool {
    !(rustix::process::geteuid().is_root() && can_administer())
}

fn can_administer() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(initial: bool, map: &str, expected: Identity) {
        assert_eq!(classify(initial, &IdMap::parse(map)), expected);
    }

    #[test]
    fn identities_follow_from_the_map() {
        check(true, "0 0 4294967295", Identity::Root);
        check(false, "0 100000 65536", Identity::Root);
        check(false, "0 0 4294967295", Identity::Root);
        check(false, "0 1000 1\n1 100000 65536", Identity::SubordinateIds);
        check(false, "0 1000 1", Identity::SingleId);
        check(false, "", Identity::SingleId);
    }
}
