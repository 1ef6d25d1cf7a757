//! The process that starts boxes, from outside.

mod serve;
mod waiting;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use serve::serve;

use crate::child::{Child, Exit, Signaler, Status, receive_terminal};
use crate::error::{Doing, Error, Result};
use crate::io::Io;
use crate::network::Pasta;
use crate::setup::{Class, frame};
use crate::spec::{Network, Spec};
use crate::{channel, sys, wire};

/// The name this program has when it is re-executed to start boxes.
pub(crate) const NAME: &str = "kiln-launcher";

/// Its argument if it will start one box only, so that none need be prepared; others are the command that connects networks.
const ONCE: &str = "once";

/// Starts boxes: a process with one thread, made by executing this program again, since little is safe between `clone`
/// and `execve` in a process with several. Many threads can spawn through one launcher at once.
///
/// It ends when the last handle, and the last [`Child`] it started, is dropped; and when it ends, so does every box.
#[derive(Clone, Debug)]
pub struct Launcher {
    process: Arc<Process>,
}

/// The launcher's process and the socket to it.
#[derive(Debug)]
pub(crate) struct Process {
    /// Gone once the launcher is to end.
    socket: Option<OwnedFd>,
    pid: i32,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its end of file is the launcher's sign to end.
        self.socket = None;
        let _ = sys::wait(self.pid, 0);
    }
}

impl Launcher {
    /// Starts the process. [`init`](crate::init) must be the first thing this program does.
    ///
    /// # Errors
    /// If this program cannot be executed again.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts the process; its boxes can have [`Network::Private`], connected by `pasta` once the first of them is asked for.
    ///
    /// # Errors
    /// As [`Launcher::start`].
    pub fn start_connected(pasta: &Pasta) -> Result<Self> {
        Self::start_with(&pasta.words())
    }

    fn start_with(arguments: &[OsString]) -> Result<Self> {
        let (socket, remote) = channel::packet_pair().doing(|| "making a socket".into())?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).args(arguments).stdin(Stdio::from(remote)).stdout(Stdio::null());
        let child = command.spawn().doing(|| "executing this program again".into())?;
        Ok(Self::of(socket, child.id() as i32))
    }

    /// Starts a launcher of one box, by a plain fork where that will do, and has the box prepared at once: executing this program again would
    /// cost more than all else there is to do before a command runs. A process that has several threads does that all the
    /// same, and so does whoever wants an init in the box ([`Spec::init`]), which would show this process's arguments there.
    ///
    /// # Errors
    /// If the process cannot be made.
    pub fn start_for_one(network: Network, init: bool) -> Result<Self> {
        if init || !sys::has_one_thread() {
            return Self::start_with(&[ONCE.into()]);
        }
        let (socket, remote) = channel::packet_pair().doing(|| "making a socket".into())?;
        match sys::fork().doing(|| "making a process".into())? {
            Some(pid) => Ok(Self::of(socket, pid)),
            None => serve::serve_one(remote, Class { network, insecure: false }),
        }
    }

    fn of(socket: OwnedFd, pid: i32) -> Self {
        Self { process: Arc::new(Process { socket: Some(socket), pid }) }
    }

    /// Starts a box, and returns once its command runs.
    ///
    /// # Errors
    /// Whatever keeps the command from running: see [`Error`].
    pub fn spawn(&self, spec: &Spec, io: Io) -> Result<Child> {
        self.begin(spec, io)?.finish()
    }

    /// Starts a box, and returns before its command runs: where calls cannot be held back, that can take as long as a network
    /// needs to be connected.
    ///
    /// # Errors
    /// If there is no box.
    pub fn begin(&self, spec: &Spec, io: Io) -> Result<Starting> {
        let stdio = io.open().doing(|| "opening standard input and output".into())?;
        let body = wire::write_spec(spec);
        let (channel, remote_channel) = channel::stream_pair().doing(|| "making a socket".into())?;
        let (life, remote_life) = channel::packet_pair().doing(|| "making a socket".into())?;
        let [stdin, stdout, stderr] = &stdio;
        let descriptors = [&remote_life, &remote_channel, stdin, stdout, stderr].map(AsFd::as_fd);
        let socket = self.process.socket.as_ref().ok_or(Error::LauncherGone)?;
        channel::send_packet(socket, &request(Class::of(spec)), &descriptors).map_err(|_| Error::LauncherGone)?;
        drop((remote_channel, remote_life, stdio));

        // If nobody reads it, the launcher says why.
        let _ = channel::send_frame(&channel, &body);
        let (pid, pidfd) = receive_start(&life)?;
        let pidfd = Arc::new(pidfd);
        let _launcher = Arc::clone(&self.process);
        let child = Child { pid, pidfd, life, terminal: None, stubs: Vec::new(), exit: None, _launcher };
        Ok(Starting { child, channel })
    }
}

/// A box that is set up, from outside. Dropping it is like dropping a [`Child`].
#[derive(Debug)]
pub struct Starting {
    child: Child,
    /// Where the box says how far it is.
    channel: OwnedFd,
}

impl Starting {
    /// Returns something that can kill the box while somebody waits for it.
    pub fn signaler(&self) -> Signaler {
        self.child.signaler()
    }

    /// Returns once the command runs.
    ///
    /// # Errors
    /// Whatever keeps it from running: see [`Error`].
    pub fn finish(mut self) -> Result<Child> {
        watch_setup(&mut self.child, &self.channel)?;
        Ok(self.child)
    }
}

/// Starts one box without keeping a launcher.
///
/// # Errors
/// As [`Launcher::start`] and [`Launcher::spawn`].
pub fn spawn(spec: &Spec, io: Io) -> Result<Child> {
    Launcher::start_with(&[ONCE.into()])?.spawn(spec, io)
}

/// Reads what the box says until its command runs.
fn watch_setup(child: &mut Child, channel: &OwnedFd) -> Result<()> {
    let doing = || "listening to the box".to_owned();
    let mut ready = false;
    while let Some(message) = channel::receive_frame(channel).doing(doing)? {
        match message.split_first() {
            Some((&frame::STUB, path)) => child.stubs.push(String::from_utf8_lossy(path).into_owned()),
            Some((&frame::TERMINAL, _)) => child.terminal = Some(receive_terminal(channel).doing(doing)?),
            Some((&frame::READY, _)) => ready = true,
            Some((&frame::ERROR, error)) => {
                let error = wire::read_error(&mut wire::Reader(error));
                return Err(error.unwrap_or_else(|| Error::Invalid("the box failed".into())));
            }
            _ => return Err(Error::Invalid("the box sent nonsense".into())),
        }
    }
    // Closed without an error: by execve, or by the end of the box.
    if ready { Ok(()) } else { Err(Error::Died(child.wait()?.status)) }
}

fn request(class: Class) -> [u8; 2] {
    let network = match class.network {
        Network::Host => 0,
        Network::None => 1,
        Network::Private => 2,
    };
    [network, u8::from(class.insecure)]
}

fn read_request(bytes: &[u8]) -> Option<Class> {
    let [network, insecure] = bytes else { return None };
    let network = match network {
        0 => Network::Host,
        1 => Network::None,
        _ => Network::Private,
    };
    Some(Class { network, insecure: *insecure != 0 })
}

/// First byte of what the launcher sends about a box.
mod life {
    pub(super) const STARTED: u8 = b's';
    pub(super) const FAILED: u8 = b'f';
    pub(super) const EXITED: u8 = b'x';
}

fn receive_life(socket: &OwnedFd) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut buffer = [0; 4096];
    match channel::receive_packet(socket, &mut buffer) {
        Ok((0, _)) => Err(Error::LauncherGone),
        Ok((count, descriptors)) => Ok((buffer[..count].to_vec(), descriptors)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(Error::LauncherGone),
        Err(source) => Err(Error::Setup { doing: "listening to the launcher".into(), source }),
    }
}

fn receive_start(socket: &OwnedFd) -> Result<(i32, OwnedFd)> {
    let (bytes, mut descriptors) = receive_life(socket)?;
    let mut message = wire::Reader(&bytes);
    let started = match message.u8() {
        Some(life::STARTED) => message.i32().zip(descriptors.pop()),
        Some(life::FAILED) => return Err(wire::read_error(&mut message).unwrap_or(Error::LauncherGone)),
        _ => None,
    };
    started.ok_or(Error::LauncherGone)
}

/// Waits for the end of a box.
pub(crate) fn receive_exit(socket: &OwnedFd, stubs: &[String]) -> Result<Exit> {
    let (bytes, _) = receive_life(socket)?;
    let mut message = wire::Reader(&bytes);
    if bytes.first() == Some(&life::FAILED) {
        let _ = message.u8();
        return Err(wire::read_error(&mut message).unwrap_or(Error::LauncherGone));
    }
    let read = || -> Option<Exit> {
        (message.u8()? == life::EXITED).then_some(())?;
        let status = message.i32()?;
        let status = if libc::WIFSIGNALED(status) {
            Status::Signal(libc::WTERMSIG(status))
        } else {
            Status::Code(libc::WEXITSTATUS(status))
        };
        Some(Exit {
            status,
            stubs: stubs.to_vec(),
            max_rss_bytes: message.u64()?.saturating_mul(1024),
            user_time: Duration::from_micros(message.u64()?),
            system_time: Duration::from_micros(message.u64()?),
        })
    };
    let mut read = read;
    read().ok_or(Error::LauncherGone)
}
