//! The binary `kiln`.

mod account;
mod assemble;
mod collect;
mod command;
mod emulation;
mod error;
mod lint;
mod network;
mod output;
mod progress;
mod resolve;
mod settings;
mod signals;
mod sync;
mod terminal;
mod timings;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A box or a user namespace starts by executing this program again; nothing may happen before that is sorted out.
    sandbox::init();
    sync::init().unwrap_or_else(command::main)
}
