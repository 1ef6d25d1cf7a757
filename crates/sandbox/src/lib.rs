//! One process in a box: namespaces, mounts, ids, limits, seccomp.
//!
//! The only crate with `unsafe`. It serves the `RUN` of a build and `kiln run` from one [`Spec`].
//!
//! ```text
//! caller (any thread)            launcher (one thread)              box (process 1 of its namespaces)
//!   Launcher::start ──re-exec──►  init → serve
//!                                   clone3, before anybody asks ──►  prepare:
//!                                   waits for requests                 close all files but one, new session
//!                                                                      mounts private, loopback up
//!                                                                      staging tree: /dev, /proc masked, /sys
//!   spawn: ask ─(descriptors)────►  hand on ─(descriptors)──────────►  waits
//!     send the Spec ────────────────────────────────────────────────►  mount the root, over the host's
//!     ◄──(pid, pidfd)── started                                        look the user up in it
//!                                                                      move the staged trees into it
//!                                                                      mount what the Spec says
//!     ◄───────────────────────────────── mount points it had to make   pivot_root, host name, directory
//!     ◄────────────────────────── controlling end of the terminal      standard input and output
//!                                                                      limits, filter, capabilities, ids
//!     ◄───────────────────────────────────────────────────── ready     execve
//!     ◄─────────────────────── closed by execve; or first an Error
//!   Child::wait ◄──(status)──────  wait4                               ends, and with it all that was mounted
//! ```
//!
//! The launcher always has one more box prepared, of the kind that was asked for last: half the work is done before it is
//! asked for. What a box shares with another is nothing; a prepared one serves once.
//!
//! Nothing outlives its owner: a [`Child`] that is dropped kills its box, a launcher whose handles are dropped ends and
//! kills what it started, and so does one that is killed. Mounts go with the last process of their namespace.
//!
//! Boxes with [`Network::Private`] share one network namespace per launcher, which `pasta` connects; it is made when the first of
//! them is asked for. A command starts before it is connected, and waits when it makes a socket that could lead out.
//!
//! Without root, [`userns::enter`] comes first: it executes this program again as root of a user namespace, where all of
//! the above works the same, except that device nodes and `/sys` are mounted from the host.

mod channel;
mod child;
mod error;
mod io;
mod launcher;
mod network;
mod rlimit;
mod seccomp;
mod setup;
mod spec;
mod sys;
pub mod userns;
mod wire;

pub use child::{Child, Exit, Signaler, Status};
pub use error::{Error, ErrorKind, Result};
pub use io::{Io, Stdio};
pub use launcher::{Launcher, Starting, spawn};
pub use network::Pasta;
pub use spec::{Identity, MOUNT_POINTS, Mount, MountKind, Network, Rlimit, Rootfs, Security, Spec, TerminalSize};

/// Must be the first call of `main`: if this process is the program executed again to start boxes, it does that, and
/// never returns.
pub fn init() {
    if std::env::args_os().next().is_some_and(|name| name == launcher::NAME) {
        launcher::serve();
    }
}
