//! A box from outside.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::termios::{Winsize, tcsetwinsize};

use crate::error::{Doing, Error, Result};
use crate::launcher::Process;
use crate::{channel, launcher, sys};

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    Code(i32),
    Signal(i32),
}

impl Status {
    /// Returns the exit code a shell would show: that of the process, or 128 and the signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// Returns whether the process ended with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What is left of a box.
#[derive(Clone, Debug)]
pub struct Exit {
    pub status: Status,
    /// Mount points (and parents they lacked) that were made inside the root for this box: absolute, without symbolic links,
    /// parents first. The working directory is none.
    pub stubs: Vec<String>,
    /// The most memory that one process of the box had resident.
    pub max_rss_bytes: u64,
    /// Time on a processor, of the command and the children it waited for.
    pub user_time: Duration,
    pub system_time: Duration,
}

/// A running box. Dropping it kills every process in it and waits until they are gone; their mounts are, before the launcher
/// starts another box.
#[derive(Debug)]
pub struct Child {
    pub(crate) pid: i32,
    pub(crate) pidfd: Arc<OwnedFd>,
    /// Where the launcher says how the box has ended.
    pub(crate) life: OwnedFd,
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) stubs: Vec<String>,
    pub(crate) exit: Option<Exit>,
    /// Kept running.
    pub(crate) _launcher: Arc<Process>,
}

impl Child {
    /// Waits until the box has ended: its command, and with it every process that was left and every mount.
    ///
    /// # Errors
    /// [`Error::LauncherGone`] if the launcher was killed, which kills the box too.
    pub fn wait(&mut self) -> Result<Exit> {
        if let Some(exit) = &self.exit {
            return Ok(exit.clone());
        }
        let exit = launcher::receive_exit(&self.life, &self.stubs)?;
        self.exit = Some(exit.clone());
        Ok(exit)
    }

    /// Sends a signal to the command. As the first process of its namespace it can be killed, but other signals reach it
    /// only if it handles them (`pid_namespaces(7)`), unless it runs below an init.
    ///
    /// # Errors
    /// If the box has ended, or there is no such signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.signaler().signal(signal)
    }

    /// Returns something that signals the box while somebody else waits for it.
    pub fn signaler(&self) -> Signaler {
        Signaler { pidfd: Arc::clone(&self.pidfd) }
    }

    /// Returns the process id of the command, as this process sees it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Returns a descriptor that becomes readable when the command has ended (`pidfd_open(2)`).
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Returns the controlling end of the terminal, if the box has one.
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().map(AsFd::as_fd)
    }

    /// Gives the terminal its size; without one this does nothing.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let Some(terminal) = &self.terminal else { return Ok(()) };
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(terminal, size).doing(|| "resizing the terminal".into())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none() {
            let _ = sys::signal_pidfd(&*self.pidfd, libc::SIGKILL);
            let _ = launcher::receive_exit(&self.life, &[]);
        }
    }
}

/// Signals a box from any thread. It refers to that box alone, however long it is kept.
#[derive(Clone, Debug)]
pub struct Signaler {
    pidfd: Arc<OwnedFd>,
}

impl Signaler {
    /// See [`Child::signal`].
    ///
    /// # Errors
    /// If the box has ended, or there is no such signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        sys::signal_pidfd(&*self.pidfd, signal).doing(|| format!("sending signal {signal}"))
    }

    /// Kills every process in the box. One that has ended already is no error.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn kill(&self) -> Result<()> {
        match self.signal(libc::SIGKILL) {
            Err(Error::Setup { source, .. }) if source.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other,
        }
    }
}

/// Where a box hands over what it made, before there is a [`Child`].
pub(crate) fn receive_terminal(channel: &OwnedFd) -> io::Result<OwnedFd> {
    channel::receive_descriptor(channel)
}
