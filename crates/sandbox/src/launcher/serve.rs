//! The process that starts boxes, from inside.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{ONCE, life, read_request};
use crate::error::{Doing, Error, Result};
use crate::network::Connection;
use crate::seccomp::Filter;
use crate::setup::{self, Class, Shared};
use crate::spec::Network;
use crate::sys::{self, Forked, Reaped, SignalSet};
use crate::userns::Ids;
use crate::{Identity, channel, network, wire};

/// A box that has been prepared and waits to be told what to be.
struct Spare {
    class: Class,
    process: Forked,
    handoff: OwnedFd,
    mounts: Option<File>,
}

/// A box that was asked for.
struct Running {
    /// Where to say how it has ended.
    life: OwnedFd,
    /// Its mount namespace. Taking that down takes as long as all else that a process does to end, and is done here once its owner has
    /// been told; without, by the process itself. Before another request is answered it is gone.
    _mounts: Option<File>,
}

/// How long the box that was asked for last is left alone at most: its setup takes less, unless it waits for a network.
const PATIENCE: Duration = Duration::from_millis(3);

struct Server {
    shared: Shared,
    /// Requests; at its end of file this process ends.
    socket: OwnedFd,
    /// Readable when a child has ended.
    signals: OwnedFd,
    /// By process id.
    running: HashMap<i32, Running>,
    spare: Option<Spare>,
    /// Of each box that is being set up: hung up once its command runs.
    starting: Vec<OwnedFd>,
    /// What the next box will probably be like: as the last one. `None` if there will be none.
    expected: Option<Class>,
    once: bool,
    /// The command that connects networks.
    pasta: Vec<OsString>,
    connection: Option<Connection>,
}

/// Starts boxes until nobody wants any more.
pub(crate) fn serve() -> ! {
    let mut pasta: Vec<OsString> = std::env::args_os().skip(1).collect();
    let once = pasta.pop_if(|argument| argument == ONCE).is_some();
    // Who can have a private network probably wants it, but it is not made before somebody does.
    let expected = (!once && pasta.is_empty()).then_some(Class { network: Network::Host, insecure: false });
    serve_with(expected, once, pasta)
}

/// Starts one box of this class, from a process that was forked.
pub(super) fn serve_one(socket: OwnedFd, class: Class) -> ! {
    // Where it comes as well when this program is executed.
    if rustix::stdio::dup2_stdin(socket).is_err() {
        sys::exit(1);
    }
    serve_with(Some(class), true, Vec::new())
}

fn serve_with(expected: Option<Class>, once: bool, pasta: Vec<OsString>) -> ! {
    let code = match Server::new(expected, once, pasta) {
        Ok(mut server) => {
            server.run();
            server.end();
            0
        }
        Err(_) => 1,
    };
    sys::exit(code)
}

impl Server {
    fn new(expected: Option<Class>, once: bool, pasta: Vec<OsString>) -> Result<Self> {
        // What this program had open that was not marked close-on-exec is nobody's here.
        sys::close_range(3, u32::MAX).doing(|| "closing files".into())?;
        // The socket has come as standard input, which is the one way to pass it that needs no code between fork and
        // exec.
        let socket = std::io::stdin().as_fd().try_clone_to_owned().doing(|| "taking the socket".into())?;
        let null = File::options().read(true).write(true).open("/dev/null").doing(|| "opening /dev/null".into())?;
        rustix::stdio::dup2_stdin(&null).doing(|| "closing standard input".into())?;
        rustix::stdio::dup2_stdout(null).doing(|| "closing standard output".into())?;
        // A signal for the terminal's foreground is not for boxes: whoever started them decides.
        let _ = rustix::process::setsid();
        sys::reset_signals();
        let interesting = SignalSet::empty().with(libc::SIGCHLD);
        interesting.block().doing(|| "blocking signals".into())?;
        let signals = interesting.descriptor().doing(|| "watching for signals".into())?;
        let ids = Ids::current();
        let filter = Filter::new(ids.identity == Identity::SingleId);
        let shared = Shared { ids, filter };
        let running = HashMap::new();
        Ok(Self {
            shared,
            socket,
            signals,
            running,
            spare: None,
            starting: Vec::new(),
            expected,
            once,
            pasta,
            connection: None,
        })
    }

    fn run(&mut self) {
        loop {
            // With nothing else to do, make ready for the next request. Two boxes that mount at the same time hinder each other, so
            // the one that somebody waits for goes first.
            let wants_spare = self.spare.is_none() && self.expected.is_some();
            let patience = if self.starting.is_empty() { Duration::ZERO } else { PATIENCE };
            let timeout = Timespec { tv_sec: 0, tv_nsec: patience.as_nanos() as _ };
            let mut watched = vec![PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            watched.extend(self.starting.iter().map(|handoff| PollFd::new(handoff, PollFlags::empty())));
            let Ok(ready) = poll(&mut watched, wants_spare.then_some(&timeout)) else { continue };
            let mut happened = watched.iter().map(|watched| !watched.revents().is_empty());
            let (request, ended) = (happened.next() == Some(true), happened.next() == Some(true));
            let started: Vec<bool> = happened.collect();
            let mut started = started.into_iter();
            self.starting.retain(|_| started.next() == Some(false));
            if request && !self.answer() {
                return;
            }
            if ended {
                self.reap();
            }
            if ready == 0 && wants_spare {
                self.spare = self.expected.and_then(|class| self.make(class).ok());
                if self.spare.is_none() {
                    self.expected = None;
                }
            }
        }
    }

    /// Takes one request; false if there will be none any more.
    fn answer(&mut self) -> bool {
        let mut buffer = [0; 8];
        let Ok((count, descriptors)) = channel::receive_packet(&self.socket, &mut buffer) else { return false };
        if count == 0 {
            return false;
        }
        let mut descriptors = descriptors.into_iter();
        let (Some(class), Some(life)) = (read_request(&buffer[..count]), descriptors.next()) else { return true };
        let handed: Vec<OwnedFd> = descriptors.collect();
        match self.start(class, &handed) {
            Ok((process, mounts)) => {
                let mut message = vec![life::STARTED];
                message.extend(process.pid.to_le_bytes());
                let _ = channel::send_packet(&life, &message, &[process.pidfd.as_fd()]);
                self.running.insert(process.pid, Running { life, _mounts: mounts });
                self.expected = (!self.once).then_some(class);
            }
            Err(error) => {
                let mut message = wire::Writer(vec![life::FAILED]);
                wire::write_error(&mut message, &error);
                let _ = channel::send_packet(&life, &message.0, &[]);
            }
        }
        true
    }

    /// Hands `handed` to a box of this class: the one that waits, or a new one.
    fn start(&mut self, class: Class, handed: &[OwnedFd]) -> Result<(Forked, Option<File>)> {
        let mut handed: Vec<_> = handed.iter().map(AsFd::as_fd).collect();
        if class.network == Network::Private && self.connection.is_none() {
            self.connection = Some(self.connect()?);
        }
        if let Some(connection) = self.connection.as_ref().filter(|_| class.network == Network::Private) {
            handed.push(connection.outcome.as_fd());
        }
        if let Some(spare) = self.spare.take_if(|spare| spare.class == class)
            && channel::send_packet(&spare.handoff, &[0], &handed).is_ok()
        {
            self.starting.push(spare.handoff);
            return Ok((spare.process, spare.mounts));
        }
        let spare = self.make(class)?;
        channel::send_packet(&spare.handoff, &[0], &handed).doing(|| "handing over to the box".into())?;
        self.starting.push(spare.handoff);
        Ok((spare.process, spare.mounts))
    }

    fn make(&self, class: Class) -> Result<Spare> {
        let (handoff, remote) = channel::packet_pair().doing(|| "making a socket".into())?;
        let connection = self.connection.as_ref().filter(|_| class.network == Network::Private);
        let network = connection.map(|connection| connection.namespace.as_fd());
        let process = sys::fork_into(class.namespaces(), || setup::run(&self.shared, class, network, remote))
            .map_err(|source| Error::Setup { doing: "making the namespaces of a box".into(), source })?;
        let mounts = File::open(format!("/proc/{}/ns/mnt", process.pid)).ok();
        Ok(Spare { class, process, handoff, mounts })
    }

    fn connect(&self) -> Result<Connection> {
        if self.pasta.is_empty() {
            return Err(Error::Invalid("a private network needs a launcher that can connect it".into()));
        }
        Connection::begin(&self.pasta).map_err(|error| Error::Network(network::reason(&error)))
    }

    /// Collects who has ended, and tells the owners.
    fn reap(&mut self) {
        let mut pending = [0; 1024];
        let _ = rustix::io::read(&self.signals, &mut pending);
        while let Some(reaped) = sys::wait(-1, libc::WNOHANG) {
            if let Some(running) = self.running.remove(&reaped.pid) {
                let _ = channel::send_packet(&running.life, &exit_message(&reaped), &[]);
            } else if self.spare.as_ref().is_some_and(|spare| spare.process.pid == reaped.pid) {
                self.spare = None;
                self.expected = None;
            }
        }
    }

    /// Kills what is left, and waits for the boxes, whose mounts end with them. Nobody needs to wait for the rest: the box that was
    /// not asked for has nothing mounted but what is its own, and the kernel takes tens of milliseconds to take down the
    /// device of a private network.
    fn end(&mut self) {
        if let Some(spare) = self.spare.take() {
            let _ = sys::signal_pidfd(&spare.process.pidfd, libc::SIGKILL);
        }
        if let Some(connection) = &self.connection {
            let _ = sys::signal_pidfd(&connection.holder.pidfd, libc::SIGKILL);
        }
        for pid in self.running.keys() {
            let _ = sys::kill(*pid, libc::SIGKILL);
        }
        for pid in self.running.keys() {
            let _ = sys::wait(*pid, 0);
        }
    }
}

fn exit_message(reaped: &Reaped) -> Vec<u8> {
    let mut message = wire::Writer(vec![life::EXITED]);
    message.i32(reaped.status);
    message.u64(reaped.max_rss_kib);
    message.u64(reaped.user_us);
    message.u64(reaped.system_us);
    message.0
}
