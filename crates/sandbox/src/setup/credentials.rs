//! Limits, capabilities, the system call filter, and the change to the user.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::Shared;
use super::user::User;
use crate::error::{Doing, Result};
use crate::spec::{Rlimit, Security, Spec};
use crate::{Identity, channel, network, sys};

/// What root in a box may do, as Docker's default.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// What is taken from the process and what it becomes.
pub(super) struct Credentials<'a> {
    pub(super) shared: &'a Shared,
    pub(super) spec: &'a Spec,
    pub(super) user: &'a User,
    /// What tells when the network of the box is there, if it has one that has to be connected.
    pub(super) network: Option<&'a OwnedFd>,
    /// Who is told of calls that wait for it.
    pub(super) launcher: &'a OwnedFd,
}

impl Credentials<'_> {
    /// From here on the process is as little as the command will be.
    pub(super) fn apply(&self) -> Result<()> {
        self.spec.rlimits.iter().for_each(limit);
        let keep = match self.spec.security {
            Security::Default { no_new_privs } => {
                if no_new_privs {
                    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).doing(|| "setting no_new_privs".into())?;
                }
                // While there is CAP_SYS_ADMIN: later it would take no_new_privs. All that follows is allowed.
                self.install_filter()?;
                bound(KEPT)?;
                KEPT
            }
            Security::Insecure => {
                self.network.map_or(Ok(()), network::wait_for)?;
                CapabilitySet::all()
            }
        };
        self.change_user()?;
        self.reduce(keep)
    }

    /// A command does not wait for its network: sockets do.
    fn install_filter(&self) -> Result<()> {
        let doing = || "installing the system call filter".to_owned();
        if let Some(network) = self.network
            && !network::is_connected(network)?
        {
            let asking = self.shared.asking_filter.as_ref().map(|filter| filter.instructions());
            match asking.map(sys::install_filter_with_listener) {
                Some(Ok(listener)) => {
                    return channel::send_packet(self.launcher, &[0], &[listener.as_fd()]).doing(doing);
                }
                // Before Linux 5.5, or below somebody else who listens.
                _ => network::wait_for(network)?,
            }
        }
        sys::install_filter(self.shared.filter.instructions()).doing(doing)
    }

    fn change_user(&self) -> Result<()> {
        let User { uid, gid, groups, .. } = self.user;
        if self.shared.ids.identity != Identity::SingleId {
            let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
            set_thread_groups(&groups).doing(|| format!("setting the groups of user {uid}"))?;
        }
        let (user, group) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
        set_thread_res_gid(group, group, group).doing(|| format!("changing to group {gid}"))?;
        set_thread_res_uid(user, user, user).doing(|| format!("changing to user {uid}"))
    }

    /// Sets what is permitted and effective; nothing is inheritable or ambient. A user other than root has lost it all with
    /// the change of ids.
    fn reduce(&self, keep: CapabilitySet) -> Result<()> {
        let doing = || "dropping capabilities".to_owned();
        let _ = clear_ambient_capability_set();
        let held = rustix::thread::capabilities(None).doing(doing)?;
        let keep = if self.user.uid == 0 { held.permitted.intersection(keep) } else { CapabilitySet::empty() };
        let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
        set_capabilities(None, sets).doing(doing)
    }
}

/// A limit that the kernel refuses stays as it was inherited: raising one takes rights that a user may not have.
fn limit(limit: &Rlimit) {
    let limits = libc::rlimit64 { rlim_cur: limit.soft, rlim_max: limit.hard };
    let _ = sys::set_limit(limit.resource, &limits);
}

/// Drops all but `keep` from what any program in the box, set-uid or not, can ever have.
fn bound(keep: CapabilitySet) -> Result<()> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if keep.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Past the last one that this kernel has.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error).doing(|| format!("dropping capability {bit}")),
        }
    }
    Ok(())
}
