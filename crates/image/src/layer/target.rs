//! Setting the attributes of one file.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Gid, Mode, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::fs;

/// What a file may be named by to set its attributes.
pub(super) enum Target<'a> {
    Open(BorrowedFd<'a>),
    At(BorrowedFd<'a>, &'a [u8]),
}

impl Target<'_> {
    pub(super) fn chown(&self, owner: Option<Uid>, group: Option<Gid>) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fchown(fd, owner, group),
            Self::At(parent, name) => rustix::fs::chownat(parent, *name, owner, group, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    /// Not for symbolic links, which have no mode.
    pub(super) fn chmod(&self, mode: Mode) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fchmod(fd, mode),
            Self::At(parent, name) => rustix::fs::chmodat(parent, *name, mode, AtFlags::empty()),
        }
    }

    pub(super) fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::At(parent, file) => {
                rustix::fs::lsetxattr(fs::proc_path(parent, file), name, value, XattrFlags::empty())
            }
        }
    }

    pub(super) fn utimens(&self, times: &Timestamps) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::futimens(fd, times),
            Self::At(parent, name) => rustix::fs::utimensat(parent, *name, times, AtFlags::SYMLINK_NOFOLLOW),
        }
    }
}
