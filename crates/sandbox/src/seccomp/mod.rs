//! The system call filter of a box: Docker's default profile as a decision tree.
//!
//! A list of 370 comparisons costs 750 µs to install; a balanced tree over the ranges of numbers with equal answers
//! a fraction of that, since the kernel interprets the program once for every number it may cache.

mod table;
mod tree;

use std::collections::BTreeMap;

use self::table::{ALLOWED, CONDITIONAL, LAST_KNOWN, NONE, Row};
use self::tree::{Assembler, Label, ranges};
use crate::sys::Instruction;

/// Offsets into `struct seccomp_data`: the number, the architecture, and the low half of an argument (little-endian).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENT_0: u32 = 16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// `AUDIT_ARCH_*` of linux/audit.h: the ELF machine, little-endian, and whether it has 64 bits.
#[cfg(target_arch = "x86_64")]
const X86_64: u32 = 0xC000_003E;
#[cfg(target_arch = "x86_64")]
const I386: u32 = 0x4000_0003;
#[cfg(target_arch = "aarch64")]
const AARCH64: u32 = 0xC000_00B7;

const fn errno(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()
}

/// What is done about one system call.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Action {
    /// A `SECCOMP_RET_*` value.
    Return(u32),
    /// New processes, but no new namespaces.
    Clone,
    /// The execution domains that matter: Linux, 32-bit Linux, either without address randomization, and the query.
    Personality,
    /// All address families except those that a container has no use for and that reach into the host.
    Socket,
    /// The same, but the families that lead to a network ask first.
    SocketAsks,
    /// `socketcall(2)`, whose arguments are out of reach: making a socket asks first.
    SocketCallAsks,
}

/// Calls that would fail in a user namespace with a single id, because there is no other id to change to. They do nothing
/// and succeed, as under fakeroot: package managers unpack, and drop privileges, as if there were more ids.
const PRETEND: &[&str] = &[
    "chown",
    "chown32",
    "fchown",
    "fchown32",
    "lchown",
    "lchown32",
    "fchownat",
    "setgroups",
    "setgroups32",
    "setuid",
    "setuid32",
    "setgid",
    "setgid32",
    "setreuid",
    "setreuid32",
    "setregid",
    "setregid32",
    "setresuid",
    "setresuid32",
    "setresgid",
    "setresgid32",
    "setfsuid",
    "setfsuid32",
    "setfsgid",
    "setfsgid32",
];

/// A compiled filter.
#[derive(Debug)]
pub(crate) struct Filter(Vec<Instruction>);

impl Filter {
    /// Compiles the default profile; with `single_id`, calls that need other ids succeed without effect.
    pub(crate) fn new(single_id: bool) -> Self {
        Self::compile(single_id, false)
    }

    /// Compiles the same for a box that waits for its network: who makes a socket that needs it has to ask.
    pub(crate) fn asking(single_id: bool) -> Self {
        Self::compile(single_id, true)
    }

    fn compile(single_id: bool, asks: bool) -> Self {
        let mut program = Assembler::default();
        // Calls of another architecture: there is no table for them.
        let mut otherwise = program.answer(errno(libc::EPERM));
        for (architecture, column) in architectures().into_iter().rev() {
            program.tree(&ranges(&actions(column, single_id, asks), default_of), expand);
            let tree = program.load(NUMBER);
            otherwise = program.branch(libc::BPF_JEQ, architecture, tree, otherwise);
        }
        program.load(ARCHITECTURE);
        Self(program.finish())
    }

    pub(crate) fn instructions(&self) -> &[Instruction] {
        &self.0
    }
}

/// Where the numbers of an architecture are in a row.
type Column = fn(&Row) -> u32;

/// The architectures whose calls this kernel takes, and where their numbers are in a row.
fn architectures() -> Vec<(u32, Column)> {
    #[cfg(target_arch = "x86_64")]
    return vec![(X86_64, |row| row.1), (I386, |row| row.2)];
    #[cfg(target_arch = "aarch64")]
    return vec![(AARCH64, |row| row.3)];
}

/// What is done about calls that no table names. Above all known ones are also those of x32, whose kernels are rare.
fn default_of(number: u32) -> Action {
    Action::Return(errno(if number <= LAST_KNOWN { libc::EPERM } else { libc::ENOSYS }))
}

fn actions(column: Column, single_id: bool, asks: bool) -> BTreeMap<u32, Action> {
    let mut actions = BTreeMap::new();
    for row in ALLOWED {
        let pretend = single_id && PRETEND.contains(&row.0);
        let action = match row.0 {
            "socketcall" if asks => Action::SocketCallAsks,
            _ => Action::Return(if pretend { errno(0) } else { ALLOW }),
        };
        actions.insert(column(row), action);
    }
    for row in CONDITIONAL {
        let action = match row.0 {
            "clone" => Action::Clone,
            // Its flags lie in memory, out of reach for a filter; C libraries then fall back on clone.
            "clone3" => Action::Return(errno(libc::ENOSYS)),
            "personality" => Action::Personality,
            "socket" if asks => Action::SocketAsks,
            _ => Action::Socket,
        };
        actions.insert(column(row), action);
    }
    actions.remove(&NONE);
    actions
}

/// `CLONE_NEW*` without `CLONE_NEWTIME`, whose bit belongs to the exit signal here.
const NAMESPACES: u32 = 0x7E02_0000;
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];
/// DECnet, ECONET, ATM SVC, IrDA, WANPIPE, IUCV, CAIF, ALG, VSOCK; and everything from the 47th family on.
const REFUSED_FAMILIES: [u32; 9] = [12, 19, 20, 23, 25, 34, 37, 38, 40];
const FIRST_UNKNOWN_FAMILY: u32 = 46;
/// IPv4, IPv6, netlink (which tells of interfaces and routes), and packets.
const NETWORK_FAMILIES: [u32; 4] = [2, 10, 16, 17];
/// `SYS_SOCKET` of linux/net.h.
const SOCKETCALL_SOCKET: u32 = 1;

/// Writes the conditions of `action`, which are looked at once its number is known.
fn expand(program: &mut Assembler, action: Action) -> Label {
    let (allow, refuse) = (program.answer(ALLOW), program.answer(errno(libc::EPERM)));
    match action {
        Action::Return(value) => return program.answer(value),
        Action::Clone => {
            program.branch(libc::BPF_JSET, NAMESPACES, refuse, allow);
        }
        Action::Personality => {
            PERSONALITIES.iter().fold(refuse, |next, value| program.branch(libc::BPF_JEQ, *value, allow, next));
        }
        Action::Socket => {
            let known =
                REFUSED_FAMILIES.iter().fold(allow, |next, value| program.branch(libc::BPF_JEQ, *value, refuse, next));
            program.branch(libc::BPF_JGE, FIRST_UNKNOWN_FAMILY, refuse, known);
        }
        Action::SocketAsks => {
            let ask = program.answer(libc::SECCOMP_RET_USER_NOTIF);
            let known =
                REFUSED_FAMILIES.iter().fold(allow, |next, value| program.branch(libc::BPF_JEQ, *value, refuse, next));
            let known =
                NETWORK_FAMILIES.iter().fold(known, |next, value| program.branch(libc::BPF_JEQ, *value, ask, next));
            program.branch(libc::BPF_JGE, FIRST_UNKNOWN_FAMILY, refuse, known);
        }
        Action::SocketCallAsks => {
            let ask = program.answer(libc::SECCOMP_RET_USER_NOTIF);
            program.branch(libc::BPF_JEQ, SOCKETCALL_SOCKET, ask, allow);
        }
    }
    program.load(ARGUMENT_0)
}

#[cfg(test)]
mod tests;
