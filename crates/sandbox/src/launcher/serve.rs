//! The process that starts boxes, from inside.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::waiting::Waiting;
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

/// A box that is being set up.
struct Starting {
    pid: i32,
    /// Hung up once the command runs.
    handoff: OwnedFd,
}

/// What can happen to a [`Server`].
enum Watched {
    Requests,
    Signals,
    Starting(usize),
    Waiting(usize),
    /// Nobody is left of a box that was [`Waiting`].
    Gone(usize),
    Network,
}

/// A box that was asked for.
struct Running {
    /// Where to say how it has ended.
    life: OwnedFd,
    /// Its mount namespace. Taking that down takes as long as all else that a process does to end, and is done here once its owner has
    /// been told; without, by the process itself. Before another request is answered it is gone.
    _mounts: Option<File>,
    /// Why it was killed: it asked for a network that there is not.
    lacks_network: Option<String>,
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
    starting: Vec<Starting>,
    waiting: Vec<Waiting>,
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
        let shared = Shared { ids, filter, asking_filter: None };
        let running = HashMap::new();
        Ok(Self {
            shared,
            socket,
            signals,
            running,
            spare: None,
            starting: Vec::new(),
            waiting: Vec::new(),
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
            let happened = self.wait(wants_spare.then_some(patience));
            if happened.is_empty() && wants_spare {
                self.spare = self.expected.and_then(|class| self.make(class).ok());
                if self.spare.is_none() {
                    self.expected = None;
                }
            }
            // From the end: what is removed moves what comes after it.
            for what in happened.into_iter().rev() {
                match what {
                    Watched::Requests if !self.answer() => return,
                    Watched::Requests => {}
                    Watched::Signals => self.reap(),
                    Watched::Starting(at) => self.started(at),
                    Watched::Waiting(at) => {
                        self.waiting[at].take();
                        self.tell_of_network();
                    }
                    Watched::Gone(at) => drop(self.waiting.remove(at)),
                    Watched::Network => self.tell_of_network(),
                }
            }
        }
    }

    /// Waits until something happens, but no longer than `patience`. What is watched last comes last.
    fn wait(&self, patience: Option<Duration>) -> Vec<Watched> {
        let mut places = vec![Watched::Requests, Watched::Signals];
        let mut watched = vec![PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        for (at, starting) in self.starting.iter().enumerate() {
            places.push(Watched::Starting(at));
            watched.push(PollFd::new(&starting.handoff, PollFlags::IN));
        }
        for (at, waiting) in self.waiting.iter().enumerate() {
            places.push(Watched::Waiting(at));
            watched.push(PollFd::from_borrowed_fd(waiting.descriptor(), PollFlags::IN));
        }
        if let Some(connection) = &self.connection
            && self.waiting.iter().any(Waiting::wants_network)
        {
            places.push(Watched::Network);
            watched.push(PollFd::new(&connection.outcome, PollFlags::IN));
        }
        let timeout = patience.map(|patience| Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() });
        // An interrupted call is as good as one that found nothing.
        let _ = poll(&mut watched, timeout.as_ref());
        let happened = places.into_iter().zip(&watched).filter(|(_, watched)| !watched.revents().is_empty());
        let told = happened.map(|(place, watched)| match place {
            Watched::Waiting(at) if !watched.revents().contains(PollFlags::IN) => Watched::Gone(at),
            place => place,
        });
        told.collect()
    }

    /// A box that was being set up says that it does not wait for its network, or has closed the socket: its command runs.
    fn started(&mut self, at: usize) {
        let Starting { pid, handoff } = &self.starting[at];
        match channel::receive_packet(handoff, &mut [0]) {
            Ok((1.., mut descriptors)) => {
                self.waiting.extend(descriptors.pop().map(|listener| Waiting::new(*pid, listener)));
            }
            _ => drop(self.starting.remove(at)),
        }
    }

    /// Once it is known whether there is a network, lets those go on who asked for it, or kills them.
    fn tell_of_network(&mut self) {
        let Some(connection) = &self.connection else { return };
        match network::is_connected(&connection.outcome) {
            Ok(false) => {}
            Ok(true) => self.waiting.iter_mut().for_each(Waiting::go_on),
            Err(error) => {
                for waiting in self.waiting.iter().filter(|waiting| waiting.wants_network()) {
                    if let Some(running) = self.running.get_mut(&waiting.pid) {
                        running.lacks_network = Some(network::reason(&error));
                        let _ = sys::kill(waiting.pid, libc::SIGKILL);
                    }
                }
                self.waiting.retain(|waiting| !waiting.wants_network());
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
                self.running.insert(process.pid, Running { life, _mounts: mounts, lacks_network: None });
                self.expected = (!self.once).then_some(class);
            }
            Err(error) => {
                let _ = channel::send_packet(&life, &failure_message(&error), &[]);
            }
        }
        true
    }

    /// Hands `handed` to a box of this class: the one that waits, or a new one.
    fn start(&mut self, class: Class, handed: &[OwnedFd]) -> Result<(Forked, Option<File>)> {
        let mut handed: Vec<_> = handed.iter().map(AsFd::as_fd).collect();
        if class.network == Network::Private && self.connection.is_none() {
            self.connection = Some(self.connect()?);
            self.shared.asking_filter = Some(Filter::asking(self.shared.ids.identity == Identity::SingleId));
        }
        if let Some(connection) = self.connection.as_ref().filter(|_| class.network == Network::Private) {
            handed.push(connection.outcome.as_fd());
        }
        if let Some(spare) = self.spare.take_if(|spare| spare.class == class)
            && channel::send_packet(&spare.handoff, &[0], &handed).is_ok()
        {
            self.starting.push(Starting { pid: spare.process.pid, handoff: spare.handoff });
            return Ok((spare.process, spare.mounts));
        }
        let spare = self.make(class)?;
        channel::send_packet(&spare.handoff, &[0], &handed).doing(|| "handing over to the box".into())?;
        self.starting.push(Starting { pid: spare.process.pid, handoff: spare.handoff });
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
                let message = match running.lacks_network {
                    Some(why) => failure_message(&Error::Network(why)),
                    None => exit_message(&reaped),
                };
                let _ = channel::send_packet(&running.life, &message, &[]);
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

fn failure_message(error: &Error) -> Vec<u8> {
    let mut message = wire::Writer(vec![life::FAILED]);
    wire::write_error(&mut message, error);
    message.0
}

fn exit_message(reaped: &Reaped) -> Vec<u8> {
    let mut message = wire::Writer(vec![life::EXITED]);
    message.i32(reaped.status);
    message.u64(reaped.max_rss_kib);
    message.u64(reaped.user_us);
    message.u64(reaped.system_us);
    message.0
}
