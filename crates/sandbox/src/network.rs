//! The private network of boxes: a namespace that `pasta` connects from user mode.
//!
//! ```text
//! launcher ── holder: process 1 of a pid namespace, root of a user namespace with one id
//!              ├─ keeper: in a user namespace below and the network namespace, which it shows under /proc
//!              └─ pasta, outside that namespace, joined to it by a tap device
//! ```
//!
//! pasta gives up what rights it has before it opens the namespace it is to connect, and gets them back only in a user
//! namespace below its own: hence two. It goes into the background when the connection stands. The pid namespace takes all of
//! them along when the launcher ends, however it does.

use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};

use crate::channel;
use crate::error::{Doing, Error, Result};
use crate::sys::{self, Forked};

/// The longest reason that is passed on.
const REASON: usize = 4096;

/// A `pasta` that can connect boxes.
#[derive(Clone, Debug)]
pub struct Pasta {
    program: PathBuf,
    forwards_dns: bool,
}

impl Pasta {
    /// Where a box asks for names if [`Pasta::forward_dns`] was called.
    pub const RESOLVER: &'static str = "169.254.1.1";

    /// Looks for the program in `PATH`, and for what it needs.
    ///
    /// # Errors
    /// What is missing, for people.
    pub fn find() -> Result<Self, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path).map(|dir| dir.join("pasta")).find(|program| {
            program.is_absolute()
                && rustix::fs::access(program, rustix::fs::Access::EXEC_OK).is_ok()
                && program.is_file()
        });
        let program = program.ok_or("pasta is not installed (package passt)")?;
        match OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
            Ok(_) => Ok(Self { program, forwards_dns: false }),
            Err(error) => Err(format!("pasta needs /dev/net/tun: {error}")),
        }
    }

    /// Answers at [`Pasta::RESOLVER`] with what this machine's own resolver says.
    #[must_use]
    pub fn forward_dns(self) -> Self {
        Self { forwards_dns: true, ..self }
    }

    /// The command, but for the namespace. Nothing of the host is to be reached but through its network: no port is forwarded
    /// in either direction, and the gateway's address is not that of the host's loopback interface.
    pub(crate) fn words(&self) -> Vec<std::ffi::OsString> {
        let mut words = vec![self.program.clone().into_os_string()];
        let options =
            ["--config-net", "--quiet", "--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none"];
        words.extend(options.map(Into::into));
        if self.forwards_dns {
            words.extend(["--dns-forward", Self::RESOLVER].map(Into::into));
        }
        words
    }
}

/// A network namespace, and what connects it for as long as the launcher lives.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) namespace: OwnedFd,
    /// Holds one message once the namespace is connected, or cannot be; it is left there for all who ask.
    pub(crate) outcome: OwnedFd,
    pub(crate) holder: Forked,
}

impl Connection {
    /// Makes the namespace, and begins to connect it with the command `pasta`. The calling process has one thread.
    pub(crate) fn begin(pasta: &[std::ffi::OsString]) -> Result<Self> {
        let (outcome, remote) = channel::packet_pair().doing(|| "making a socket".into())?;
        let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWPID;
        let holder =
            sys::fork_into(namespaces, || hold(&remote, pasta)).doing(|| "making a user namespace for pasta".into())?;
        drop(remote);
        let begun = map_root(holder.pid).and_then(|()| {
            channel::send_packet(&outcome, b"g", &[]).doing(|| "waking the holder".into())?;
            let (_, mut descriptors) =
                channel::receive_packet(&outcome, &mut [0]).doing(|| "waiting for a network namespace".into())?;
            descriptors.pop().ok_or_else(|| Error::Network("the network namespace could not be made".into()))
        });
        match begun {
            Ok(namespace) => Ok(Self { namespace, outcome, holder }),
            Err(error) => {
                let _ = sys::signal_pidfd(&holder.pidfd, libc::SIGKILL);
                Err(error)
            }
        }
    }
}

/// Waits until the namespace is connected.
pub(crate) fn wait_for(outcome: &OwnedFd) -> Result<()> {
    look(outcome, None).map(drop)
}

/// Whether the namespace is connected by now.
pub(crate) fn is_connected(outcome: &OwnedFd) -> Result<bool> {
    look(outcome, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
}

/// True once the namespace is connected, false if that takes longer than `patience`.
fn look(outcome: &OwnedFd, patience: Option<&Timespec>) -> Result<bool> {
    let mut message = [0; REASON];
    // Of several that wait in recv(2), a message wakes one; of those in poll(2), all.
    let received = rustix::io::retry_on_intr(|| {
        if poll(&mut [PollFd::new(outcome, PollFlags::IN)], patience)? == 0 {
            return Ok(None);
        }
        recv(outcome, &mut message, RecvFlags::PEEK).map(|(_, count)| Some(count))
    });
    let Some(count) = received.map_err(|source| Error::Network(format!("waiting for it: {source}")))? else {
        return Ok(false);
    };
    match message[..count].split_first() {
        Some((b'k', _)) => Ok(true),
        Some((_, why)) => Err(Error::Network(String::from_utf8_lossy(why).into_owned())),
        None => Err(Error::Network("pasta was ended".into())),
    }
}

/// Says why there is no network, without that there is none.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::Network(why) => why.clone(),
        Error::Setup { doing, source } => format!("{doing}: {source}"),
        other => other.to_string(),
    }
}

/// Maps root of this user namespace, and nobody else, to root of the namespace of process `pid`.
fn map_root(pid: i32) -> Result<()> {
    for map in ["uid_map", "gid_map"] {
        let path = format!("/proc/{pid}/{map}");
        fs::write(&path, "0 0 1").doing(|| format!("writing {path}"))?;
    }
    Ok(())
}

fn hold(launcher: &OwnedFd, pasta: &[std::ffi::OsString]) -> Infallible {
    let connected = connect(launcher, pasta);
    let message = match &connected {
        Ok(()) => b"k".to_vec(),
        Err(error) => [b"e", reason(error).as_bytes()].concat(),
    };
    let _ = channel::send_packet(launcher, &message[..message.len().min(REASON)], &[]);
    if connected.is_ok() {
        while sys::wait(-1, 0).is_some() {}
    }
    sys::exit(0)
}

fn connect(launcher: &OwnedFd, pasta: &[std::ffi::OsString]) -> Result<()> {
    // The launcher's descriptors: nothing here owns them, and nothing here will run their owners' destructors.
    let keep = launcher.as_raw_fd().cast_unsigned();
    sys::close_range(3, keep - 1)
        .and_then(|()| sys::close_range(keep + 1, u32::MAX))
        .doing(|| "closing files".into())?;
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as _).doing(|| "tying pasta to the launcher".into())?;
    let _ = sys::SignalSet::empty().block();
    channel::receive_packet(launcher, &mut [0]).doing(|| "waiting for the launcher".into())?;

    let (here, there) = channel::packet_pair().doing(|| "making a socket".into())?;
    let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNET;
    let _keeper = sys::fork_into(namespaces, || keep_namespace(&there, launcher))
        .doing(|| "making a network namespace".into())?;
    // Now that the keeper alone has that end, nobody waits for one that was killed.
    drop(there);
    let mut pid = [0; 4];
    let (count, _) = channel::receive_packet(&here, &mut pid).doing(|| "waiting for the network namespace".into())?;
    if count < pid.len() {
        return Err(Error::Network("the network namespace could not be made".into()));
    }
    let pid = i32::from_le_bytes(pid);
    map_root(pid)?;
    let mut command = Command::new(&pasta[0]);
    command.args(&pasta[1..]).arg("--userns").arg(format!("/proc/{pid}/ns/user"));
    command.arg("--netns").arg(format!("/proc/{pid}/ns/net"));
    let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).output().doing(|| "running pasta".into())?;
    // Stays open for as long as the keeper is to wait.
    std::mem::forget(here);
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.lines().filter(|line| !line.contains("syslog")).collect::<Vec<_>>().join("; ");
    Err(Error::Network(format!("pasta failed: {said}")))
}

/// Shows the namespace under a process id, and waits to be killed.
fn keep_namespace(holder: &OwnedFd, launcher: &OwnedFd) -> Infallible {
    let show = || -> std::io::Result<()> {
        // As whoever reads this /proc sees it, which is from outside of this pid namespace.
        let pid = fs::read_link("/proc/self")?.to_string_lossy().parse::<i32>().map_err(std::io::Error::other)?;
        sys::raise_loopback()?;
        let namespace = OwnedFd::from(File::open("/proc/self/ns/net")?);
        channel::send_packet(launcher, b"n", &[std::os::fd::AsFd::as_fd(&namespace)])?;
        channel::send_packet(holder, &pid.to_le_bytes(), &[])
    };
    if show().is_ok() {
        let _ = channel::receive_packet(holder, &mut [0]);
    }
    sys::exit(0)
}
