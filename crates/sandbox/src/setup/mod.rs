//! What the process in the box does, from `clone3` to `execve`.

mod command;
mod credentials;
mod devices;
mod init;
mod kernel;
mod mounts;
mod overlay;
mod place;
mod terminal;
mod user;

use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::umask;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use self::credentials::Credentials;
use self::kernel::Staging;
use self::place::Root;
use crate::error::{Doing, Error, Result};
use crate::seccomp::Filter;
use crate::spec::{Network, Rootfs, Security, Spec};
use crate::userns::Ids;
use crate::{channel, sys, wire};

/// What distinguishes boxes before anything is known of their specification: what `clone3` and the staging tree need.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Class {
    pub(crate) network: Network,
    /// Nothing is masked, everything can be written.
    pub(crate) insecure: bool,
}

impl Class {
    pub(crate) fn of(spec: &Spec) -> Self {
        Self { network: spec.network, insecure: spec.security == Security::Insecure }
    }

    /// The namespaces a box of this class gets of its own.
    pub(crate) fn namespaces(self) -> i32 {
        let common =
            libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;
        match self.network {
            Network::Host | Network::Private => common,
            Network::None => common | libc::CLONE_NEWNET,
        }
    }
}

/// What the launcher found out once for all its boxes.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ids: &'static Ids,
    pub(crate) filter: Filter,
    /// The filter of a box that does not wait for its network before its command runs.
    pub(crate) asking_filter: Option<Filter>,
}

/// First byte of the frames a box sends.
pub(crate) mod frame {
    /// A mount point that had to be made.
    pub(crate) const STUB: u8 = b's';
    /// The controlling end of the terminal follows as a descriptor.
    pub(crate) const TERMINAL: u8 = b't';
    /// The command is about to be executed; an error may still follow.
    pub(crate) const READY: u8 = b'r';
    /// Why there will be no command.
    pub(crate) const ERROR: u8 = b'e';
}

/// What a box is handed: a stream to its owner, its standard input, output and error, and what tells when its network is there.
struct Handed {
    channel: OwnedFd,
    stdio: [OwnedFd; 3],
    network: Option<OwnedFd>,
}

/// Runs a box in a process that `clone3` has just made: prepares what every box of `class` needs, waits at `handoff` for
/// the stream to its owner, reads the specification there, and becomes the command.
pub(crate) fn run(shared: &Shared, class: Class, network: Option<BorrowedFd<'_>>, handoff: OwnedFd) -> Infallible {
    let prepared = prepare(shared, class, network, &handoff);
    let Some(Handed { channel, stdio, network }) = receive(&handoff) else { sys::exit(0) };
    let outcome = prepared.and_then(|staging| become_command(shared, &staging, &channel, stdio, network, &handoff));
    let Err(error) = outcome;
    let mut report = wire::Writer::default();
    report.u8(frame::ERROR);
    wire::write_error(&mut report, &error);
    let _ = channel::send_frame(&channel, &report.0);
    sys::exit(i32::from(error.exit_code()))
}

fn receive(handoff: &OwnedFd) -> Option<Handed> {
    let (_, descriptors) = channel::receive_packet(handoff, &mut [0]).ok()?;
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next();
    Some(Handed { channel: next()?, stdio: [next()?, next()?, next()?], network: next() })
}

/// Everything that needs no specification.
fn prepare(shared: &Shared, class: Class, network: Option<BorrowedFd<'_>>, handoff: &OwnedFd) -> Result<Staging> {
    if let Some(network) = network {
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(network, kind).doing(|| "entering the network namespace".into())?;
    }
    // The launcher's descriptors: nothing here owns them, and nothing here will run their owners' destructors.
    let keep = handoff.as_raw_fd().cast_unsigned();
    sys::close_range(3, keep - 1)
        .and_then(|()| sys::close_range(keep + 1, u32::MAX))
        .doing(|| "closing files".into())?;
    die_with_launcher()?;
    let _ = sys::SignalSet::empty().block();
    rustix::process::setsid().doing(|| "starting a session".into())?;
    umask(Mode::empty());
    // Nothing that is mounted from here on is seen outside, nor the other way round.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing(|| "making the mounts private".into())?;
    if class.network == Network::None {
        sys::raise_loopback().doing(|| "bringing up the loopback interface".into())?;
    }
    Staging::build(shared.ids, class)
}

/// Changing ids and capabilities forgets this, so it is said again after that.
fn die_with_launcher() -> Result<()> {
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as _).doing(|| "tying the box to its launcher".into())
}

fn become_command(
    shared: &Shared,
    staging: &Staging,
    channel: &OwnedFd,
    stdio: [OwnedFd; 3],
    network: Option<OwnedFd>,
    launcher: &OwnedFd,
) -> Result<Infallible> {
    let bytes = channel::receive_frame(channel).doing(|| "reading the specification".into())?;
    let spec = bytes.as_deref().and_then(wire::read_spec);
    let spec = spec.ok_or_else(|| Error::Invalid("the specification of the box is incomplete".into()))?;
    umask(Mode::WGRP | Mode::WOTH);

    let mut root = mount_root(shared, staging, &spec)?;
    let user = user::resolve(&spec.user, &spec.extra_groups, &root)?;
    user::check_mapped(&user, shared.ids)?;
    devices::resize_shm(staging, spec.shm_size)?;
    let terminal = spec.terminal.map(|size| terminal::open(staging, size)).transpose()?;
    staging.move_into(&mut root)?;
    mounts::add_all(shared, staging, &mut root, &spec)?;
    report(channel, &root)?;
    pivot(&root)?;
    rustix::system::sethostname(spec.hostname.as_bytes())
        .doing(|| format!("setting the host name `{}`", spec.hostname))?;
    command::enter_directory(&spec.cwd, &user)?;
    if read_only(&spec.rootfs) {
        sys::set_mount_attributes(&root.dir, sys::MOUNT_RDONLY, false).doing(|| "making the root read-only".into())?;
    }
    match terminal {
        Some(terminal) => terminal.attach(channel, &user)?,
        None => attach_stdio(stdio, &user)?,
    }
    let command = command::Command::new(&spec, &user)?;
    Credentials { shared, spec: &spec, user: &user, network: network.as_ref(), launcher }.apply()?;
    die_with_launcher()?;
    channel::send_frame(channel, &[frame::READY]).doing(|| "reporting to the caller".into())?;
    sys::close_on_exec_from(3).doing(|| "closing files".into())?;
    if spec.init {
        init::fork_command(channel)?;
    }
    Err(command.execute())
}

/// Mounts the root of the box over that of the host, which nothing resolves through any more once it is pivoted away.
fn mount_root(shared: &Shared, staging: &Staging, spec: &Spec) -> Result<Root> {
    let mount = match &spec.rootfs {
        Rootfs::Overlay { lowers, upper, .. } if lowers.is_empty() => {
            mounts::clone_tree(upper, false).doing(|| format!("mounting {} as the root", upper.display()))?
        }
        Rootfs::Overlay { lowers, upper, work, .. } => {
            overlay::mount(shared.ids, lowers, Some((upper, work)), staging)?
        }
        Rootfs::Directory { path, .. } => mounts::clone_root(path)?,
    };
    mounts::attach_over_root(&mount)?;
    Root::new(mount)
}

fn read_only(rootfs: &Rootfs) -> bool {
    let (Rootfs::Overlay { read_only, .. } | Rootfs::Directory { read_only, .. }) = rootfs;
    *read_only
}

/// Tells the owner which mount points were made.
fn report(channel: &OwnedFd, root: &Root) -> Result<()> {
    for stub in &root.stubs {
        let mut message = vec![frame::STUB];
        message.extend_from_slice(stub);
        channel::send_frame(channel, &message).doing(|| "reporting to the caller".into())?;
    }
    Ok(())
}

/// Makes the mount of `root` the root of this process and lets go of everything else.
fn pivot(root: &Root) -> Result<()> {
    rustix::process::fchdir(&root.dir).doing(|| "entering the root".into())?;
    // pivot_root(2), "pivot_root(".", ".")": the old root is stacked on the new one, and then taken off; first what stands
    // on it, the staging tree.
    rustix::process::pivot_root(".", ".").doing(|| "changing the root".into())?;
    for what in ["staging tree", "old root"] {
        unmount(".", UnmountFlags::DETACH).doing(|| format!("letting go of the {what}"))?;
    }
    rustix::process::chdir("/").doing(|| "entering the root".into())
}

fn attach_stdio([stdin, stdout, stderr]: [OwnedFd; 3], user: &user::User) -> Result<()> {
    for descriptor in [&stdin, &stdout, &stderr] {
        give_pipe(descriptor.as_fd(), user);
    }
    let result = rustix::stdio::dup2_stdin(stdin)
        .and_then(|()| rustix::stdio::dup2_stdout(stdout))
        .and_then(|()| rustix::stdio::dup2_stderr(stderr));
    result.doing(|| "setting standard input and output up".into())
}

/// Lets the user open /dev/stdout and the like again, which refers to the pipe and asks for its permissions. Files and
/// terminals of the host are left alone.
fn give_pipe(descriptor: BorrowedFd<'_>, user: &user::User) {
    let Ok(stat) = rustix::fs::fstat(descriptor) else { return };
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Fifo && stat.st_uid != user.uid {
        let _ = rustix::fs::fchown(descriptor, Some(rustix::fs::Uid::from_raw(user.uid)), None);
    }
}

/// For directories and other places, not for reading.
const PATH: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
