//! One blob into the store: from whichever endpoint has it, going on with what an earlier attempt left.

use std::io::{Read, Write};

use image::{Digest, Reference};
use store::{PartialBlob, Store};

use crate::download::Download;
use crate::endpoint::Endpoint;
use crate::error::{Cause, Error};
use crate::http::Attempts;
use crate::routes::Purpose;
use crate::{Progress, Registry, Result};

const BUFFER: usize = 128 << 10;

/// A blob to fetch.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) size: u64,
    /// For messages: "fetch layer sha256:… of …".
    pub(crate) doing: &'a str,
    pub(crate) progress: &'a dyn Progress,
}

impl Registry {
    /// Brings a blob into the store unless it is there.
    pub(crate) fn fetch_blob(&self, name: &Reference, wanted: Wanted<'_>, store: &Store) -> Result<()> {
        if !store.has_blob(wanted.digest) {
            let _slot = self.slots.take(*wanted.digest);
            self.bring(name, wanted, store)?;
        }
        wanted.progress.bytes(wanted.digest, wanted.size, wanted.size);
        Ok(())
    }

    /// Brings a blob into the store; the caller has its slot. Another process that is at it is waited for.
    pub(crate) fn bring(&self, name: &Reference, wanted: Wanted<'_>, store: &Store) -> Result<()> {
        self.anywhere(name, Purpose::Digest, |endpoint, attempts| {
            let transfer = Transfer { registry: self, endpoint, attempts, wanted };
            transfer.run(store)?;
            self.note_source(endpoint, *wanted.digest);
            Ok(())
        })
    }
}

/// One blob from one endpoint.
struct Transfer<'a> {
    registry: &'a Registry,
    endpoint: &'a Endpoint,
    attempts: Attempts,
    wanted: Wanted<'a>,
}

impl Transfer<'_> {
    /// Fetches what is missing. If that does not fit to what was there, the whole is worth one attempt.
    fn run(&self, store: &Store) -> Result<()> {
        let mut begun = false;
        match self.attempt(store, &mut begun) {
            Err(Error::Corrupt { .. } | Error::Status { status: 416, .. }) if begun => self.attempt(store, &mut false),
            result => result,
        }
    }

    /// Sets `begun` if something was there before. What turns out to be wrong is gone afterwards.
    fn attempt(&self, store: &Store, begun: &mut bool) -> Result<()> {
        let Some(mut partial) = store.partial_blob(self.wanted.digest)? else { return Ok(()) };
        if partial.size() > self.wanted.size {
            partial.restart()?;
        }
        *begun = partial.size() > 0;
        if let Err(error) = self.copy(&mut partial) {
            if *begun && matches!(error, Error::Corrupt { .. } | Error::Status { status: 416, .. }) {
                partial.restart()?;
            }
            return Err(error);
        }
        partial.finish(self.wanted.size).map_err(|error| self.judged(error))
    }

    fn copy(&self, partial: &mut PartialBlob) -> Result<()> {
        let http = &self.registry.http;
        let mut download = Download::new(http, self.endpoint, self.wanted, self.attempts, partial.size());
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = match download.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(source) => return Err(download.error.take().unwrap_or_else(|| self.kept_not(source))),
            };
            partial.write_all(&buffer[..count]).map_err(|source| self.kept_not(source))?;
        }
    }

    fn kept_not(&self, source: std::io::Error) -> Error {
        Error::Keep { doing: self.wanted.doing.to_owned(), source }
    }

    /// The store refuses what is not as announced: that is the endpoint's failure, the rest is not.
    fn judged(&self, error: store::Error) -> Error {
        match error {
            store::Error::WrongBlob { reason, .. } => Error::Corrupt {
                host: self.endpoint.host.clone(),
                doing: self.wanted.doing.to_owned(),
                source: Cause(reason),
            },
            other => other.into(),
        }
    }
}
