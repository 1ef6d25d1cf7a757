//! Standard input, output and error of a box.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// One of the three.
#[derive(Debug, Default)]
pub enum Stdio {
    /// `/dev/null`.
    #[default]
    Null,
    /// That of this process.
    Inherit,
    Descriptor(OwnedFd),
}

impl From<OwnedFd> for Stdio {
    fn from(descriptor: OwnedFd) -> Self {
        Self::Descriptor(descriptor)
    }
}

/// Standard input, output and error. With a terminal they are not used: all three are the terminal.
#[derive(Debug, Default)]
pub struct Io {
    pub stdin: Stdio,
    pub stdout: Stdio,
    pub stderr: Stdio,
}

impl Io {
    /// Nothing to read, and nobody who reads.
    pub fn null() -> Self {
        Self::default()
    }

    /// Those of this process.
    pub fn inherit() -> Self {
        Self { stdin: Stdio::Inherit, stdout: Stdio::Inherit, stderr: Stdio::Inherit }
    }

    pub(crate) fn open(self) -> io::Result<[OwnedFd; 3]> {
        let own = |stdio, descriptor: &dyn AsFd| match stdio {
            Stdio::Null => File::options().read(true).write(true).open("/dev/null").map(Into::into),
            Stdio::Inherit => descriptor.as_fd().try_clone_to_owned(),
            Stdio::Descriptor(descriptor) => Ok(descriptor),
        };
        Ok([own(self.stdin, &io::stdin())?, own(self.stdout, &io::stdout())?, own(self.stderr, &io::stderr())?])
    }
}
