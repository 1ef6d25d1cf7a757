//! What a running build tells: one closed enum, read by every kind of progress display.

use std::time::Duration;

use image::Digest;
use plan::VertexId;

/// Which output of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    Stdout,
    Stderr,
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
    Failed { vertex: VertexId, elapsed: Duration },
    /// It was stopped because something else failed or the caller asked.
    Canceled { vertex: VertexId },
}
