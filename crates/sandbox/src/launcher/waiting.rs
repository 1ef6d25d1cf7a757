//! Boxes whose command runs before their network is there.
//!
//! Connecting a network takes longer than many a command, most of which never ask for one. So a command starts at once, under a
//! filter that tells the launcher of each socket that could lead out (seccomp(2), `SECCOMP_RET_USER_NOTIF`); the
//! call goes on when the network is there, and if it cannot be had, the box is killed as if it had not begun.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::{self, Asked};

/// A box that was told of no network yet, and may never ask for it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) pid: i32,
    listener: OwnedFd,
    asked: Vec<Asked>,
}

impl Waiting {
    pub(super) fn new(pid: i32, listener: OwnedFd) -> Self {
        Self { pid, listener, asked: Vec::new() }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Takes a call that waits. Whoever made it may have been killed meanwhile.
    pub(super) fn take(&mut self) {
        self.asked.extend(sys::asked(&self.listener));
    }

    /// True if a call waits.
    pub(super) fn wants_network(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Lets all calls that wait go on.
    pub(super) fn go_on(&mut self) {
        for asked in self.asked.drain(..) {
            // Whoever made it may have been killed.
            let _ = sys::let_go_on(&self.listener, asked);
        }
    }
}
