//! System calls that neither `std` nor `rustix` offers, each behind a safe function. The only `unsafe` of the project.
#![expect(unsafe_code, reason = "raw system calls stop here")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Turns a negative result into `errno`.
fn check(result: impl Into<i64>) -> io::Result<i64> {
    let result = result.into();
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A process made by [`fork_into`].
#[derive(Debug)]
pub(crate) struct Forked {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// `clone3(2)` as a fork: the child runs `child` on a copy of the caller's memory and never returns from here.
///
/// The caller has one thread, or `child` makes system calls only: locks held by other threads stay held in the copy.
pub(crate) fn fork_into(namespaces: c_int, child: impl FnOnce() -> std::convert::Infallible) -> io::Result<Forked> {
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is plain old data for which zero means "not asked for".
    let mut arguments: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
    arguments.flags = u64::from((namespaces | libc::CLONE_PIDFD).cast_unsigned());
    arguments.pidfd = (&raw mut pidfd).addr() as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: no stack is given, so the child continues here on its own copy of this stack, as after fork(2). The
    // kernel writes one descriptor to `pidfd`, which outlives the call.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        #[expect(unreachable_code, reason = "the child never comes back")]
        match child() {}
    }
    // SAFETY: the kernel has just made this descriptor for us (CLONE_PIDFD), and nothing else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked { pid: pid as i32, pidfd })
}

/// True if this process has no thread but this one, so that a copy of it can go on as it likes.
pub(crate) fn has_one_thread() -> bool {
    // proc(5): a directory for each thread.
    rustix::fs::stat("/proc/self/task").is_ok_and(|stat| stat.st_nlink == 3)
}

/// `fork(2)` of a process with one thread; `None` in the child.
pub(crate) fn fork() -> io::Result<Option<i32>> {
    // SAFETY: with one thread, the copy of the memory is consistent, and the child may go on as it likes.
    let pid = check(unsafe { libc::fork() })?;
    Ok((pid != 0).then_some(pid as i32))
}

/// Ends the process at once, without the exit handlers of the program it was copied from.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: has no preconditions.
    unsafe { libc::_exit(code) }
}

/// A null-terminated array of C strings, as `execve(2)` wants it.
pub(crate) struct Strings {
    /// Keeps alive what `pointers` point to.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    pub(crate) fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect();
        Self { _strings: strings, pointers }
    }
}

/// `execve(2)`; returns only if it fails.
pub(crate) fn execve(path: &CStr, argv: &Strings, env: &Strings) -> io::Error {
    // SAFETY: the path is null-terminated, and so are both arrays and what they point to (`Strings::new`).
    unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), env.pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

pub(crate) const MOUNT_RDONLY: u64 = 0x1;
pub(crate) const MOUNT_NOSUID: u64 = 0x2;
pub(crate) const MOUNT_NODEV: u64 = 0x4;
pub(crate) const MOUNT_NOEXEC: u64 = 0x8;

/// `mount_setattr(2)`: adds attributes to the mount `mount` refers to, and to those below it if `recursive`.
pub(crate) fn set_mount_attributes(mount: impl AsFd, attributes: u64, recursive: bool) -> io::Result<()> {
    let value = MountAttr { set: attributes, clear: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, and the kernel reads `size_of::<MountAttr>()` bytes of `value`.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags as c_uint,
            &raw const value,
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// Closes every descriptor from `first` to `last`. Nobody may own one of them any more, or drop its owner later.
pub(crate) fn close_range(first: c_uint, last: c_uint) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: takes numbers only; that the descriptors are nobody's is the contract of this function.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Marks every descriptor from `first` on to be closed by `execve(2)`.
pub(crate) fn close_on_exec_from(first: c_uint) -> io::Result<()> {
    // SAFETY: takes numbers only, and closes nothing now.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// One instruction of classic BPF (`struct sock_filter`).
pub(crate) use libc::sock_filter as Instruction;

/// Installs a seccomp filter for this process and those it will make.
pub(crate) fn install_filter(program: &[Instruction]) -> io::Result<()> {
    set_filter(program, 0).map(drop)
}

/// Like [`install_filter`]; whoever holds the descriptor is told of calls that the filter answers with
/// `SECCOMP_RET_USER_NOTIF`, and decides what becomes of them.
pub(crate) fn install_filter_with_listener(program: &[Instruction]) -> io::Result<OwnedFd> {
    let listener = set_filter(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: with that flag the result is a descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(listener as RawFd) })
}

/// `seccomp(2)` with `SECCOMP_SET_MODE_FILTER`.
fn set_filter(program: &[Instruction], flags: c_ulong) -> io::Result<i64> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `len` instructions from `filter`, which it only reads.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) })
}

/// A system call that waits for whoever listens to its filter.
#[derive(Debug)]
pub(crate) struct Asked(u64);

/// Takes the next call that waits (`SECCOMP_IOCTL_NOTIF_RECV`).
pub(crate) fn asked(listener: impl AsFd) -> io::Result<Asked> {
    // SAFETY: plain old data, zero as the kernel demands.
    let mut notification: libc::seccomp_notif = unsafe { MaybeUninit::zeroed().assume_init() };
    let listener = listener.as_fd().as_raw_fd();
    // SAFETY: the kernel writes one `struct seccomp_notif`, whose size is part of the request's number.
    check(unsafe { libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notification) })?;
    Ok(Asked(notification.id))
}

/// Lets the kernel do a call that waits (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`).
pub(crate) fn let_go_on(listener: impl AsFd, asked: Asked) -> io::Result<()> {
    let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    let mut response = libc::seccomp_notif_resp { id: asked.0, val: 0, error: 0, flags };
    let listener = listener.as_fd().as_raw_fd();
    // SAFETY: the kernel reads one `struct seccomp_notif_resp`, whose size is part of the request's number.
    check(unsafe { libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) }).map(drop)
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn raise_loopback() -> io::Result<()> {
    // SAFETY: makes a descriptor, which the next line owns.
    let socket = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: just made, owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket as RawFd) };
    // SAFETY: `ifreq` is plain old data.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    request.ifr_name[0] = b'l' as c_char;
    request.ifr_name[1] = b'o' as c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: SIOCSIFFLAGS reads a `struct ifreq`.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }).map(drop)
}

/// How a process ended, and what it had used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    pub(crate) status: i32,
    pub(crate) max_rss_kib: u64,
    pub(crate) user_us: u64,
    pub(crate) system_us: u64,
}

/// `wait4(2)`; `None` if nothing has changed (`WNOHANG`) or there is no such child.
pub(crate) fn wait(pid: i32, flags: c_int) -> Option<Reaped> {
    let mut status = 0;
    // SAFETY: `rusage` is plain old data.
    let mut usage: libc::rusage = unsafe { MaybeUninit::zeroed().assume_init() };
    loop {
        // SAFETY: both pointers are to live locals of the right type.
        let result = unsafe { libc::wait4(pid, &raw mut status, flags, &raw mut usage) };
        if result < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
            continue;
        }
        let micros = |time: libc::timeval| (time.tv_sec as u64) * 1_000_000 + time.tv_usec as u64;
        return (result > 0).then(|| Reaped {
            pid: result,
            status,
            max_rss_kib: usage.ru_maxrss as u64,
            user_us: micros(usage.ru_utime),
            system_us: micros(usage.ru_stime),
        });
    }
}

/// `kill(2)`.
pub(crate) fn kill(pid: i32, signal: c_int) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// `pidfd_send_signal(2)`: reaches this process or none.
pub(crate) fn signal_pidfd(pidfd: impl AsFd, signal: c_int) -> io::Result<()> {
    let pidfd = pidfd.as_fd().as_raw_fd();
    // SAFETY: a null `siginfo` stands for that of kill(2).
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, std::ptr::null::<u8>(), 0) }).map(drop)
}

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    pub(crate) fn empty() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initializes what it is given.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    pub(crate) fn all() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset initializes what it is given.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    pub(crate) fn with(mut self, signal: c_int) -> Self {
        // SAFETY: the set is initialized; a number that is no signal is refused.
        unsafe { libc::sigaddset(&raw mut self.0, signal) };
        self
    }

    /// Makes this the set of blocked signals of the calling thread.
    pub(crate) fn block(&self) -> io::Result<()> {
        // SAFETY: reads an initialized set.
        check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) }).map(drop)
    }

    /// Waits for one of these signals, which are blocked; returns its number and where it comes from (`si_code`).
    pub(crate) fn take(&self) -> io::Result<(c_int, c_int)> {
        // SAFETY: `siginfo_t` is plain old data; both pointers are to live locals.
        let info = unsafe {
            let mut info: libc::siginfo_t = MaybeUninit::zeroed().assume_init();
            check(libc::sigwaitinfo(&raw const self.0, &raw mut info))?;
            info
        };
        Ok((info.si_signo, info.si_code))
    }

    /// A descriptor that is readable while one of these signals, which are blocked, is pending.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        // SAFETY: reads an initialized set and makes a descriptor that nothing else owns.
        unsafe {
            let fd = check(libc::signalfd(-1, &raw const self.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
            Ok(OwnedFd::from_raw_fd(fd as RawFd))
        }
    }
}

/// Gives every signal its default disposition; what is ignored would stay ignored across `execve(2)`.
pub(crate) fn reset_signals() {
    // `struct sigaction` of the kernel, whose zeros are SIG_DFL. C libraries keep two signals to themselves, which may have
    // come ignored all the same.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel reads one `struct sigaction`; what cannot be changed it refuses.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u8>(), 8) };
    }
}

/// `prctl(2)` with integers only.
pub(crate) fn prctl(option: c_int, value: c_ulong) -> io::Result<()> {
    // SAFETY: callers pass options whose arguments are integers; the unused ones are zero, as the kernel demands.
    check(unsafe { libc::prctl(option, value, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong) }).map(drop)
}

/// `prlimit(2)` on this process.
pub(crate) fn set_limit(resource: u32, limits: &libc::rlimit64) -> io::Result<()> {
    // SAFETY: the kernel reads one `struct rlimit64`, and refuses resources it does not have.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, limits as *const libc::rlimit64, 0) }).map(drop)
}
