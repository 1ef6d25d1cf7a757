//! The subcommands.

mod build;
mod builds;
mod containers;
mod deferred;
mod du;
mod explain;
mod history;
mod images;
mod import;
mod info;
mod inspect;
mod lint;
mod load;
mod prune;
mod pull;
mod push;
mod rmi;
mod run;
mod save;
mod tag;

pub(crate) use build::outputs::{Image, Results};

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use crate::error::Failure;
use crate::terminal;
use deferred::Deferred;

/// Builds OCI images from Dockerfiles, and runs them. No daemon, no setup.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, propagate_version = true, max_term_width = 110)]
struct Arguments {
    /// Directory of the store [default: /var/lib/kiln as root, else ~/.local/share/kiln; also KILN_ROOT]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build an image from a Dockerfile
    Build(Deferred<build::Arguments>),
    /// Find what works in a Dockerfile but is not meant
    Lint(Deferred<lint::Arguments>),
    /// Run a command in a new container of an image
    Run(Deferred<run::Arguments>),
    /// Fetch an image from a registry
    Pull(Deferred<pull::Arguments>),
    /// Send an image to a registry
    Push(Deferred<push::Arguments>),
    /// Write images to a tar archive
    Save(Deferred<save::Arguments>),
    /// Read images from a tar archive or an OCI layout
    Load(Deferred<load::Arguments>),
    /// Make an image from a root filesystem tar
    Import(Deferred<import::Arguments>),
    /// List images
    Images(Deferred<images::Arguments>),
    /// Give an image another name
    Tag(Deferred<tag::Arguments>),
    /// Remove names of images
    Rmi(Deferred<rmi::Arguments>),
    /// Show all that is known of an image, as JSON
    Inspect(Deferred<inspect::Arguments>),
    /// Show how an image came to be
    History(Deferred<history::Arguments>),
    /// Show why each step of a build ran, or did not
    Explain(Deferred<explain::Arguments>),
    /// List builds that ran something
    Builds(Deferred<builds::Arguments>),
    /// Show what takes room in the store, and why it is kept
    Du(Deferred<du::Arguments>),
    /// Free room in the store: what nothing reaches, and cache that was not used for long
    Prune(Deferred<prune::Arguments>),
    /// List containers
    Ps(Deferred<containers::PsArguments>),
    /// Remove containers
    Rm(Deferred<containers::RmArguments>),
    /// Show what this machine lets kiln do, and where things are
    Info(Deferred<info::Arguments>),
}

/// Reads the command line, runs the command, prints what went wrong.
pub(crate) fn main() -> ExitCode {
    init_tracing();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    match run(arguments) {
        Ok(code) => code,
        Err(failure) => {
            terminal::note(&failure.to_string());
            ExitCode::from(failure.code)
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let root = arguments.root;
    match arguments.command {
        Command::Build(command) => command.0.run(root),
        Command::Lint(command) => command.0.run(root),
        Command::Run(command) => command.0.run(root),
        Command::Pull(command) => command.0.run(root),
        Command::Push(command) => command.0.run(root),
        Command::Save(command) => command.0.run(root),
        Command::Load(command) => command.0.run(root),
        Command::Import(command) => command.0.run(root),
        Command::Images(command) => command.0.run(root),
        Command::Tag(command) => command.0.run(root),
        Command::Rmi(command) => command.0.run(root),
        Command::Inspect(command) => command.0.run(root),
        Command::History(command) => command.0.run(root),
        Command::Explain(command) => command.0.run(root),
        Command::Builds(command) => command.0.run(root),
        Command::Du(command) => command.0.run(root),
        Command::Prune(command) => command.0.run(root),
        Command::Ps(command) => command.0.run(root),
        Command::Rm(command) => command.0.run(root),
        Command::Info(command) => command.0.run(root),
    }
}

/// Prints clap's message; a wrong command line is exit code 125 for `run`, as docker has it, else 2.
fn usage(error: &clap::Error) -> ExitCode {
    let runs = command_name(std::env::args_os().skip(1)).is_some_and(|name| name == "run");
    let option = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) if runs => run::unsupported(option),
        _ => None,
    };
    if let Some(failure) = option {
        terminal::note(&failure.to_string());
        return ExitCode::from(failure.code);
    }
    // Printing can only fail when the stream is gone.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(if runs { 125 } else { 2 })
}

/// Returns the first word of a command line that is neither an option nor the value of one.
fn command_name(mut words: impl Iterator<Item = OsString>) -> Option<OsString> {
    loop {
        let word = words.next()?;
        if word == "--root" {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            return Some(word);
        }
    }
}

/// `KILN_LOG=debug` shows the libraries' logs; without it nothing is set up.
fn init_tracing() {
    if let Some(filter) = crate::settings::non_empty("KILN_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}

/// Goes into a user namespace when files of other owners or mounts are needed and this process may not make them;
/// returns at once when it may.
pub(crate) fn enter_namespace() -> Result<(), Failure> {
    if sandbox::userns::needs_entering() {
        sandbox::userns::enter(None)?;
    }
    Ok(())
}

/// [`enter_namespace`] for a command that has opened its store: what goes on inside opens it anew, and must not be kept from
/// collecting by a process that only waits.
pub(crate) fn enter_namespace_from(store: &store::Store) -> Result<(), Failure> {
    if sandbox::userns::needs_entering() {
        store.release();
    }
    enter_namespace()
}
