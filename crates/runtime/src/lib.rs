//! Containers with a life: made from an image's layers, run in the foreground, kept until removed.
//!
//! ```text
//! containers/<id>/
//!   lock        held exclusively while the container runs: no pid file can lie about it
//!   state.json  what it was made of and how it ended
//!   upper/      what it wrote
//!   work/       overlay's own
//! ```

mod command;
mod container;
mod state;

pub use command::{Options, Volume};
pub use container::{Container, Running};
pub use state::{State, Status};

use std::path::PathBuf;

/// What went wrong with a container.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither the image nor the command line says what to run.
    #[error("the image has no command: say which one to run")]
    NoCommand,
    #[error("no such container: {0}")]
    Unknown(String),
    #[error("{0} is the start of several container ids")]
    Ambiguous(String),
    #[error("container {0} is running")]
    Running(String),
    #[error("container name `{0}` is taken")]
    NameTaken(String),
    #[error("failed to {action} {path}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("damaged state of container {id}")]
    State { id: String, source: serde_json::Error },
    #[error(transparent)]
    Store(#[from] store::Error),
}

type Result<T, E = Error> = std::result::Result<T, E>;
