//! Which op runs when: keys, early cutoff, schedule, the ops themselves, events, cancellation.
//!
//! ```text
//! known ──────► Session ── key, probe, select ──► records and facts of the store
//! solve ─► Schedule ─► threads ─► Worker ─► Session
//!             ▲                     │          and ops: run, copy, workdir, source, base
//!             └────── replies ◄─────┘
//! ```
//!
//! The schedule is a state machine without I/O. A [`Worker`] does what it says: [`LocalWorker`] here, a fake in tests.

mod cancel;
mod context;
mod error;
mod event;
mod files;
mod files_of;
mod git;
mod http;
mod key;
mod known;
mod layout;
mod local;
mod ops;
mod owner;
mod probe;
mod results;
mod schedule;
mod secret;
mod select;
mod servers;
mod session;
mod similar;
mod solution;
mod solve;
#[cfg(test)]
mod testing;
mod worker;
mod write;

pub use cancel::Cancel;
pub use context::{Context, Contexts};
pub use error::{SolveError, SolveErrorKind};
pub use event::{Event, Phase, Stream, no_private_network};
pub use files_of::{SelectedFile, files_of};
pub use git::{GitTree, fetch_git, known_git, resolve_git};
pub use http::{HttpFile, fetch_http};
pub use key::Key;
pub use known::{Missing, known, missing, pending};
pub use local::{LocalWorker, PrivateNetwork, WorkerSettings};
pub use ops::inputs::{ADDRESS, COMMIT, COMMIT_BEFORE};
pub use results::Made;
pub use secret::Secret;
pub use servers::{Secrets, Servers};
pub use session::Found;
pub use solution::{Outcome, Reached, Snapshot, SnapshotLayer, Solution, Unfinished, VertexReport};
pub use solve::solve;
pub use worker::{Job, Worker};

/// Returns how many threads are worth starting for one piece of work.
fn cores() -> usize {
    static CORES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    // The standard library also asks the control groups, which costs more than a walk of a small context.
    let count = || rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize);
    *CORES.get_or_init(|| count().clamp(1, 8))
}
