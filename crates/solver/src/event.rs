//! What a running build tells: one closed enum, read by every kind of progress display.

use std::time::{Duration, Instant};

use image::Digest;
use plan::VertexId;

/// Which output of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What a vertex spends its time on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Finding its key, and the record of that: what it reads of the context and of other steps.
    LookUp,
    /// Base layers travel and are unpacked.
    Fetch,
    /// Somebody else computes the same key.
    Wait,
    /// A copy is written, ahead of its parent or not.
    Write,
    /// Mounts and namespaces, until the command starts.
    Box,
    Command,
    /// What the command changed is found and hashed.
    Diff,
    /// The layer and its record get their names.
    Commit,
}

/// Something that happened to a vertex. A vertex that was started ends with exactly one of [`Cached`](Event::Cached),
/// [`Finished`](Event::Finished), [`Failed`](Event::Failed) and [`Canceled`](Event::Canceled); a cached one need not
/// have been started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Its op runs, or its base image is being fetched.
    Started { vertex: VertexId },
    /// Its result was known.
    Cached { vertex: VertexId },
    /// The command wrote; whole lines where possible.
    Output { vertex: VertexId, stream: Stream, bytes: Vec<u8> },
    /// A layer of a base image is travelling; `done` of `total` bytes are here. No vertex when an output asked for it.
    Pull { vertex: Option<VertexId>, digest: Digest, done: u64, total: u64 },
    /// All layers of a base image that had to travel are here, and this one is being unpacked.
    Unpack { vertex: Option<VertexId>, digest: Digest },
    /// Its op ended well. `unchanged`: the result equals an earlier one, whose layer was kept (early cutoff).
    Finished { vertex: VertexId, elapsed: Duration, unchanged: bool },
    /// Its op failed; [`solve`](crate::solve) returns why.
    Failed { vertex: VertexId, elapsed: Duration, message: String },
    /// A part of its work is done, well or not. Told with what comes next, of whichever vertex.
    Spent { vertex: VertexId, phase: Phase, since: Instant, elapsed: Duration },
    /// It was stopped because something else failed or the caller asked.
    Canceled { vertex: VertexId },
    /// The build is not quite what was asked for; of no vertex, and of few words.
    Warning { message: String },
}

/// Returns the warning that steps have the network of the machine, and why.
pub fn no_private_network(why: impl std::fmt::Display) -> Event {
    Event::Warning { message: format!("RUN uses the network of this machine: {why}") }
}
