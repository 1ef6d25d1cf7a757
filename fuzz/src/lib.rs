//! What must hold for any input, as functions that panic where it does not.
//!
//! `cargo xtask fuzz` hands them to libFuzzer (`targets/`); `tests/short.rs` runs them over the seeds and some thousands
//! of mutations, always the same.

pub mod expand;
pub mod ignore;
pub mod parse;
pub mod seeds;
mod write;

pub use write::{erase, write};
