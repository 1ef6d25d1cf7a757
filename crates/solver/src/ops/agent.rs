//! SSH agents in a box: a socket of the build's own, behind which bytes go to the agent and back.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use image::Metadata;
use store::Scratch;

use crate::error::{Result, SolveErrorKind};
use crate::local::PATIENCE;
use crate::write::{Disk, dress_root};

const NAME: &str = "agent.sock";

/// Connections of one socket at a time; further ones are closed.
const MOST_CONNECTIONS: usize = 64;

/// The command in the box needs no access to the path of the agent, and the agent sees who builds. Ends with its value.
#[derive(Debug)]
pub(super) struct Forward {
    scratch: Scratch,
    listener: OwnedFd,
    open: Open,
}

/// Both ends of each connection, by its number.
type Open = Arc<Mutex<Connections>>;

#[derive(Debug, Default)]
struct Connections {
    closed: bool,
    next: u64,
    streams: Vec<(u64, UnixStream, UnixStream)>,
}

impl Forward {
    /// Makes a socket with these attributes in `scratch`.
    pub(super) fn start(scratch: Scratch, agent: &Path, attributes: &Metadata, disk: Disk) -> Result<Self> {
        let path = scratch.path().join(NAME);
        let fail = |source| SolveErrorKind::Write { action: "make the socket", path: path.clone(), source };
        let listener = by_short_name(&path, UnixListener::bind).map_err(fail)?;
        dress_root(&path, attributes, disk)?;
        let (end, agent) = (listener.try_clone().map_err(fail)?, agent.to_owned());
        let open = Open::default();
        let connections = Arc::clone(&open);
        worker().spawn(move || serve(&listener, &agent, &connections)).map_err(fail)?;
        Ok(Self { scratch, listener: end.into(), open })
    }

    /// Returns the path of the socket.
    pub(super) fn path(&self) -> PathBuf {
        self.scratch.path().join(NAME)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        open.closed = true;
        open.streams.iter().for_each(close);
        drop(open);
        // The kernel knows one kind of stream socket: the listener stops, and who waits for it wakes up.
        if let Ok(listener) = self.listener.try_clone() {
            let _ = UnixStream::from(listener).shutdown(Shutdown::Both);
        }
    }
}

fn lock(open: &Open) -> MutexGuard<'_, Connections> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One that is closed already is what is wanted.
fn close((_, client, agent): &(u64, UnixStream, UnixStream)) {
    let _ = client.shutdown(Shutdown::Both);
    let _ = agent.shutdown(Shutdown::Both);
}

fn serve(listener: &UnixListener, agent: &Path, open: &Open) {
    loop {
        let accepted = listener.accept();
        if lock(open).closed {
            return;
        }
        match accepted {
            // An agent that is gone, or too many connections: the command sees its own closed.
            Ok((client, _)) => drop(connect(client, agent, open)),
            // Out of descriptors, which others give back.
            Err(_) => thread::sleep(PATIENCE),
        }
    }
}

/// Joins a command and the agent until both have nothing more to say.
fn connect(client: UnixStream, agent: &Path, open: &Open) -> io::Result<()> {
    let agent = by_short_name(agent, UnixStream::connect)?;
    let Some(number) = remember(open, &client, &agent)? else { return Ok(()) };
    let done = Arc::clone(open);
    let joined = worker().spawn(move || {
        thread::scope(|scope| {
            if worker().spawn_scoped(scope, || copy(&agent, &client)).is_ok() {
                copy(&client, &agent);
            }
        });
        forget(&done, number);
    });
    joined.map(drop).inspect_err(|_| forget(open, number))
}

fn worker() -> thread::Builder {
    thread::Builder::new().name("ssh".to_owned())
}

/// Returns the number of a new connection; `None` if there may be none.
fn remember(open: &Open, client: &UnixStream, agent: &UnixStream) -> io::Result<Option<u64>> {
    let mut open = lock(open);
    if open.closed || open.streams.len() >= MOST_CONNECTIONS {
        return Ok(None);
    }
    open.next += 1;
    let number = open.next;
    open.streams.push((number, client.try_clone()?, agent.try_clone()?));
    Ok(Some(number))
}

fn forget(open: &Open, number: u64) {
    let mut open = lock(open);
    open.streams.iter().filter(|(known, ..)| *known == number).for_each(close);
    open.streams.retain(|(known, ..)| *known != number);
}

/// Hands on what comes until there is no more, and says so.
fn copy(mut from: &UnixStream, mut to: &UnixStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Read);
    let _ = to.shutdown(Shutdown::Write);
}

/// Names a socket through its directory: the kernel takes no more than 107 bytes, and stores may be anywhere.
fn by_short_name<T>(path: &Path, with: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return with(path.to_owned());
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let directory = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(directory)?;
    with(Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name))
}
