//! What is fetched from elsewhere: a layer of its own, of which an `ADD` then is a copy.

mod git;
mod http;

use plan::Source;
use store::Record;

use crate::error::Result;
use crate::key::Key;
use crate::local::{LocalWorker, OpResult};
use crate::results::Made;
use crate::worker::Job;

/// What a source gives.
pub(crate) enum Fetched {
    /// What it gave before is what is there.
    Same(Record),
    New(Box<OpResult>),
    /// It is recorded already.
    Recorded(Made),
}

pub(crate) fn execute(worker: &LocalWorker<'_>, job: Job<'_>, source: &Source, key: Key) -> Result<Fetched> {
    match source {
        Source::Http(source) => http::execute(worker, job, source, key),
        Source::Git(source) => git::execute(worker, job, source, key),
    }
}
