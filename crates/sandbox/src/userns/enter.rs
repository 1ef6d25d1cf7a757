//! Entering a user namespace by executing this program again.
//!
//! ```text
//! caller                                        child (clone3: new user and mount namespace)
//!   │ write the id maps, or have newuidmap do it   │ waits
//!   │ "go" ──────────────────────────────────────► │ becomes uid 0, gid 0
//!   │                                              │ makes the mounts a slave copy (the test whether it may mount)
//!   │ ◄───────────────────────────────── "well"    │ executes this program with the same arguments
//!   │ passes signals on, ends as the child ends    │ …
//! ```

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{getegid, geteuid};

use super::maps::IdMap;
use super::{Ids, probe};
use crate::error::{Doing, Error, Result};
use crate::sys::{self, Forked, SignalSet};
use crate::{Identity, channel};

/// Set in the environment of the program once it has been re-executed, so that it cannot happen again and again.
const MARKER: &str = "KILN_USER_NAMESPACE";

/// Which ids the new namespace gets.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) identity: Identity,
    uids: IdMap,
    gids: IdMap,
}

/// Executes this program again, with the same arguments, inside a new user and mount namespace: with all ids of this
/// namespace if the caller is root here, else with subordinate ids, else with the caller's own id alone; or just as
/// `want` says. The caller then passes on signals, and ends as the child ends: this returns only if it fails.
///
/// The calling process must have one thread.
///
/// # Errors
/// [`Error::NoUserNamespace`] says what forbids it here and what would help.
pub fn enter(want: Option<Identity>) -> Result<Infallible> {
    if std::env::var_os(MARKER).is_some() {
        return Err(probe::obstacle("this user namespace gives no right to mount"));
    }
    if fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return Err(Error::Invalid("a user namespace has to be entered before the first thread starts".into()));
    }
    let mut failure = None;
    for mapping in mappings(want) {
        let attempt = mapping.and_then(|mapping| attempt(&mapping));
        match attempt {
            Ok(child) => attend(&child),
            Err(error) => {
                if want.is_none() {
                    tracing::debug!(%error, "cannot enter this kind of user namespace");
                }
                // The last rung is the easiest to climb: what forbids it is what has to change.
                failure = Some(error);
            }
        }
    }
    Err(failure.unwrap_or_else(|| Error::Invalid("no user namespace was asked for".into())))
}

/// The maps to try, best first.
pub(super) fn mappings(want: Option<Identity>) -> Vec<Result<Mapping>> {
    let mut mappings = Vec::new();
    let wants = |identity| want.is_none_or(|want| want == identity);
    if wants(Identity::Root) {
        if geteuid().is_root() {
            let Ids { uids, gids, .. } = Ids::current();
            let (uids, gids) = (uids.identical(), gids.identical());
            mappings.push(Ok(Mapping { identity: Identity::Root, uids, gids }));
        } else if want.is_some() {
            mappings.push(Err(Error::NoUserNamespace {
                what: "only root can have all ids".into(),
                help: "run as root, or with another kind of isolation".into(),
            }));
        }
    }
    if wants(Identity::SubordinateIds) {
        mappings.push(subordinate());
    }
    if wants(Identity::SingleId) {
        let (uids, gids) = (IdMap::single(geteuid().as_raw()), IdMap::single(getegid().as_raw()));
        mappings.push(Ok(Mapping { identity: Identity::SingleId, uids, gids }));
    }
    mappings
}

fn subordinate() -> Result<Mapping> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let names = names_of(uid);
    let map = |own, file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        IdMap::subordinate(own, &text, &names).ok_or_else(|| {
            let user = names.first().map_or("USER", String::as_str);
            Error::NoUserNamespace {
                what: format!("{file} gives no ids to {user}"),
                help: format!("`usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}` as root"),
            }
        })
    };
    let (uids, gids) = (map(uid, "/etc/subuid")?, map(gid, "/etc/subgid")?);
    Ok(Mapping { identity: Identity::SubordinateIds, uids, gids })
}

/// What `/etc/subuid` may call the user: by name or by number.
fn names_of(uid: u32) -> Vec<String> {
    let number = uid.to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    // Users of a directory service are not in the file; newuidmap checks the name for itself.
    named.or_else(|| std::env::var("USER").ok()).into_iter().chain([number]).collect()
}

/// Makes the namespace and the child in it. On success the child is about to execute this program.
fn attempt(mapping: &Mapping) -> Result<Forked> {
    let (here, there) = channel::packet_pair().doing(|| "making a socket".into())?;
    let program = program().doing(|| "reading the arguments of this program".into())?;
    let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;
    let other_end = here.as_raw_fd();
    let child = sys::fork_into(namespaces, || become_root(&there, other_end, &program))
        .map_err(|error| probe::obstacle(&format!("cannot make a user namespace: {error}")))?;
    drop(there);
    let outcome = map_ids(mapping, child.pid).and_then(|()| {
        channel::send_packet(&here, b"g", &[]).doing(|| "waking the child".into())?;
        let mut report = [0; 5];
        match channel::receive_packet(&here, &mut report) {
            Ok((1, _)) => Ok(()),
            Ok((5, _)) => {
                let errno = i32::from_le_bytes([report[1], report[2], report[3], report[4]]);
                let error = io::Error::from_raw_os_error(errno);
                Err(probe::obstacle(&format!("cannot mount in a user namespace: {error}")))
            }
            _ => Err(probe::obstacle("the child in the user namespace ended")),
        }
    });
    if let Err(error) = outcome {
        let _ = sys::signal_pidfd(&child.pidfd, libc::SIGKILL);
        sys::wait(child.pid, 0);
        return Err(error);
    }
    Ok(child)
}

/// This program with its arguments and environment, and the marker.
fn program() -> io::Result<(sys::Strings, sys::Strings)> {
    let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL));
    let argv = std::env::args_os().map(|word| text(word.into_vec())).collect::<io::Result<_>>()?;
    let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let mut variable = name.into_vec();
        variable.push(b'=');
        variable.extend(value.into_vec());
        text(variable)
    };
    let marker = (MARKER.into(), "1".into());
    let env = std::env::vars_os().chain([marker]).map(variable).collect::<io::Result<_>>()?;
    Ok((sys::Strings::new(argv), sys::Strings::new(env)))
}

/// What the child does: system calls only.
fn become_root(parent: &OwnedFd, other_end: RawFd, (argv, env): &(sys::Strings, sys::Strings)) -> Infallible {
    let outcome = (|| {
        close_other_end(other_end)?;
        if channel::receive_packet(parent, &mut [0])?.0 == 0 {
            sys::exit(1);
        }
        take_root_ids()?;
        // Ids have changed, which forgets this setting; so it comes after.
        sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as _)?;
        // What the host mounts later shows up here; what is mounted here stays here.
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        channel::send_packet(parent, b"w", &[])?;
        Err(sys::execve(c"/proc/self/exe", argv, env))
    })();
    let error: io::Result<()> = outcome;
    if let Err(error) = error {
        let mut report = vec![b'e'];
        report.extend(error.raw_os_error().unwrap_or(libc::EIO).to_le_bytes());
        let _ = channel::send_packet(parent, &report, &[]);
    }
    sys::exit(125)
}

/// A parent that dies is seen as the end of the socket, but only if no copy of its end is left open here.
fn close_other_end(descriptor: RawFd) -> io::Result<()> {
    let number = descriptor.cast_unsigned();
    sys::close_range(number, number)
}

fn take_root_ids() -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    Ok(())
}

/// Writes the id maps of process `pid`.
fn map_ids(mapping: &Mapping, pid: i32) -> Result<()> {
    match mapping.identity {
        Identity::SubordinateIds => {
            run_tool("newuidmap", pid, &mapping.uids)?;
            run_tool("newgidmap", pid, &mapping.gids)
        }
        Identity::Root => {
            write_map(pid, "uid_map", &mapping.uids.to_text())?;
            write_map(pid, "gid_map", &mapping.gids.to_text())
        }
        Identity::SingleId => {
            write_map(pid, "uid_map", &mapping.uids.to_text())?;
            // user_namespaces(7): an unprivileged process may map its group only once nobody can drop groups.
            write_map(pid, "setgroups", "deny")?;
            write_map(pid, "gid_map", &mapping.gids.to_text())
        }
    }
}

fn write_map(pid: i32, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    fs::write(&path, text).doing(|| format!("writing `{}` to {path}", text.trim_end()))
}

fn run_tool(tool: &str, pid: i32, map: &IdMap) -> Result<()> {
    let output = Command::new(tool).arg(pid.to_string()).args(map.to_words()).output().map_err(|error| {
        Error::NoUserNamespace {
            what: format!("cannot run {tool}: {error}"),
            help: "install it (package uidmap or shadow-utils)".into(),
        }
    })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(Error::NoUserNamespace {
        what: format!("{tool} failed: {}", message.trim_end()),
        help: format!("{tool} has to be set-uid root, and its ranges in /etc/subuid or /etc/subgid"),
    })
}

/// Passes signals on to the child and ends as it ends.
fn attend(child: &Forked) -> ! {
    let signals = SignalSet::all();
    let _ = signals.block();
    loop {
        reap(child);
        let Ok((signal, origin)) = signals.take() else { continue };
        // What the terminal sends, it sends to the whole process group: the child has it already.
        if signal != libc::SIGCHLD && origin <= 0 {
            let _ = sys::signal_pidfd(&child.pidfd, signal);
        }
    }
}

/// Ends, or stops, as the child has.
fn reap(child: &Forked) {
    let Some(reaped) = sys::wait(child.pid, libc::WNOHANG | libc::WUNTRACED) else { return };
    let status = reaped.status;
    if libc::WIFEXITED(status) {
        sys::exit(libc::WEXITSTATUS(status));
    }
    if libc::WIFSTOPPED(status) {
        let _ = sys::kill(std::process::id().cast_signed(), libc::SIGSTOP);
        let _ = sys::signal_pidfd(&child.pidfd, libc::SIGCONT);
    } else if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        sys::reset_signals();
        let _ = SignalSet::empty().block();
        let _ = sys::kill(std::process::id().cast_signed(), signal);
        sys::exit(128 + signal);
    }
}

/// Returns whether a namespace with this mapping can be made and mounted in.
pub(super) fn try_out(mapping: &Mapping) -> Result<()> {
    let (here, there) = channel::packet_pair().doing(|| "making a socket".into())?;
    let other_end = here.as_raw_fd();
    let child = sys::fork_into(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, || {
        let outcome = (|| {
            close_other_end(other_end)?;
            if channel::receive_packet(&there, &mut [0])?.0 == 0 {
                sys::exit(1);
            }
            take_root_ids()?;
            mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
            io::Result::Ok(())
        })();
        sys::exit(if outcome.is_ok() { 0 } else { 1 })
    })
    .map_err(|error| probe::obstacle(&format!("cannot make a user namespace: {error}")))?;
    drop(there);
    let mapped = map_ids(mapping, child.pid);
    if mapped.is_ok() {
        let _ = channel::send_packet(&here, b"g", &[]);
    }
    drop(here);
    let status = sys::wait(child.pid, 0).map(|reaped| reaped.status);
    mapped?;
    if status == Some(0) { Ok(()) } else { Err(probe::obstacle("cannot mount in a user namespace")) }
}
