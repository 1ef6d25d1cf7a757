//! One process in a box: namespaces, mounts, ids, limits, seccomp.
//!
//! The only crate with `unsafe`. It serves the `RUN` of a build and `kiln run` from one [`Spec`].

mod spec;

pub use spec::{Identity, Mount, MountKind, Network, Rlimit, Rootfs, Security, Spec};
