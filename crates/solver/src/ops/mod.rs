//! What ops do.

mod agent;
pub(crate) mod archive;
pub(crate) mod base;
mod caches;
pub(crate) mod copy;
pub(crate) mod inputs;
mod mounts;
pub(crate) mod output;
pub(crate) mod predict;
pub(crate) mod run;
pub(crate) mod source;
pub(crate) mod workdir;
