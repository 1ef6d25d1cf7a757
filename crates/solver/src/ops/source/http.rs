//! A file behind an address: asked for anew in every build, unless its checksum is given.

use plan::HttpSource;

use super::Fetched;
use crate::error::Result;
use crate::http::{Obtained, obtain};
use crate::key::Key;
use crate::local::LocalWorker;
use crate::worker::Job;

pub(super) fn execute(worker: &LocalWorker<'_>, job: Job<'_>, source: &HttpSource, key: Key) -> Result<Fetched> {
    let store = worker.store();
    let earlier = if job.vertex().ignore_cache { None } else { store.record(&key.record())? };
    let op = job.vertex().digest;
    Ok(match obtain(store, worker.servers(), source, (op, key), earlier, job.stop)? {
        Obtained::Same(record) => Fetched::Same(record),
        Obtained::New(result) => Fetched::New(result),
    })
}
