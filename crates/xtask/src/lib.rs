//! What the commands of `xtask` share with end-to-end tests: base images made without any registry.

pub mod case;
pub mod rootfs;
pub mod shell;
pub mod tree;
