//! The terminal of a box: one of its own `devpts`, whose controlling end goes to the caller.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, Uid, chownat, openat};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::kernel::Staging;
use super::user::User;
use super::{frame, mounts};
use crate::channel;
use crate::error::{Doing, Result};
use crate::spec::TerminalSize;

/// Both ends.
pub(super) struct Terminal {
    controller: OwnedFd,
    terminal: OwnedFd,
}

/// Opens a terminal in the staging tree, and shows it as /dev/console too.
pub(super) fn open(staging: &Staging, size: TerminalSize) -> Result<Terminal> {
    let doing = || "opening a terminal".to_owned();
    let controller = staging.open("dev/pts/ptmx", OFlags::RDWR | OFlags::NOCTTY).doing(doing)?;
    unlockpt(&controller).doing(doing)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = ioctl_tiocgptpeer(&controller, flags).doing(doing)?;
    // Before the command can ask for it.
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&controller, size).doing(doing)?;
    // It is the first of its instance.
    let console = openat(staging.dir(), "dev/console", OFlags::CREATE | OFlags::CLOEXEC, Mode::from_raw_mode(0o600));
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    console
        .and_then(|console| mounts::attach(open_tree(staging.dir(), "dev/pts/0", clone)?, &console))
        .doing(|| "making /dev/console".into())?;
    Ok(Terminal { controller, terminal })
}

impl Terminal {
    /// Hands the controlling end over and makes the other one standard input, output and error of this session.
    pub(super) fn attach(self, channel: &OwnedFd, user: &User) -> Result<()> {
        channel::send_frame(channel, &[frame::TERMINAL])
            .and_then(|()| channel::send_descriptor(channel, self.controller.as_fd()))
            .doing(|| "handing over the terminal".into())?;
        drop(self.controller);
        let doing = || "setting the terminal up".to_owned();
        if user.uid != 0 {
            chownat(&self.terminal, "", Some(Uid::from_raw(user.uid)), None, AtFlags::EMPTY_PATH).doing(doing)?;
        }
        rustix::process::ioctl_tiocsctty(&self.terminal).doing(doing)?;
        rustix::stdio::dup2_stdin(&self.terminal)
            .and_then(|()| rustix::stdio::dup2_stdout(&self.terminal))
            .and_then(|()| rustix::stdio::dup2_stderr(&self.terminal))
            .doing(doing)
    }
}
