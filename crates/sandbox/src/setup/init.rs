//! The minimal init of a box (`--init`): reaps what is left to it and passes signals on.

use std::os::fd::OwnedFd;

use crate::error::{Doing, Result};
use crate::sys::{self, SignalSet};

/// Forks. The child returns, to become the command; this process stays as the first one of the box until the command has
/// ended, and ends with its code (128 and the signal if it was killed).
pub(super) fn fork_command(channel: &OwnedFd) -> Result<()> {
    // Before the command exists, lest it end before anybody waits.
    let signals = SignalSet::all();
    signals.block().doing(|| "blocking signals".into())?;
    let Some(child) = sys::fork().doing(|| "starting the command below the init".into())? else {
        return SignalSet::empty().block().doing(|| "unblocking signals".into());
    };
    // Standard input too: the command alone reads it. Errors are the child's to report.
    let _ = channel;
    let _ = sys::close_range(0, u32::MAX);
    loop {
        while let Some(reaped) = sys::wait(-1, libc::WNOHANG) {
            if reaped.pid == child {
                let status = reaped.status;
                let code =
                    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
                sys::exit(code);
            }
        }
        if let Ok((signal, _)) = signals.take()
            && signal != libc::SIGCHLD
        {
            let _ = sys::kill(child, signal);
        }
    }
}
