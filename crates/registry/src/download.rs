//! One blob on its way here: read like a file, whatever happens to the connections beneath.

use std::io::{self, Read};

use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use reqwest::{Method, StatusCode};

use crate::Result;
use crate::auth::scope::Scope;
use crate::endpoint::Endpoint;
use crate::error::{Cause, Error};
use crate::fetch::Wanted;
use crate::http::{Attempts, Call, Http, Payload, Reply, Target};

/// Reads a blob from an endpoint. When a connection breaks, the next one goes on where it ended; bytes are not verified
/// here but by whoever keeps them.
pub(crate) struct Download<'a> {
    http: &'a Http,
    endpoint: &'a Endpoint,
    wanted: Wanted<'a>,
    scope: Scope,
    attempts: Attempts,
    reply: Option<Reply>,
    chunk: Vec<u8>,
    used: usize,
    /// How much has been read.
    offset: u64,
    /// Failures since a byte last came.
    failures: u32,
    /// What an `io::Error` of this reader stands for.
    pub(crate) error: Option<Error>,
}

impl<'a> Download<'a> {
    /// Returns a reader of all after the first `offset` bytes; the first request is made by the first read.
    pub(crate) fn new(
        http: &'a Http,
        endpoint: &'a Endpoint,
        wanted: Wanted<'a>,
        attempts: Attempts,
        offset: u64,
    ) -> Self {
        Self {
            http,
            endpoint,
            wanted,
            scope: Scope::pull(&endpoint.repository),
            attempts,
            reply: None,
            chunk: Vec::new(),
            used: 0,
            offset,
            failures: 0,
            error: None,
        }
    }

    /// Gets the next bytes; none at the end of the blob.
    fn fill(&mut self) -> Result<()> {
        while self.used == self.chunk.len() && self.offset < self.wanted.size {
            match self.next_chunk() {
                Ok(chunk) => {
                    self.failures = 0;
                    (self.chunk, self.used) = (chunk, 0);
                }
                Err(error) => {
                    self.reply = None;
                    self.http.pause(&error, self.failures, self.attempts).ok_or(error)?;
                    self.failures += 1;
                }
            }
        }
        Ok(())
    }

    fn next_chunk(&mut self) -> Result<Vec<u8>> {
        let mut reply = match self.reply.take() {
            Some(reply) => reply,
            None => self.open()?,
        };
        let chunk = reply.chunk()?;
        self.reply = Some(reply);
        chunk.ok_or_else(|| Error::Interrupted {
            host: self.endpoint.host.clone(),
            doing: self.wanted.doing.to_owned(),
            source: Cause(format!("the end came after {} of {} bytes", self.offset, self.wanted.size)),
        })
    }

    /// Asks for what is still missing.
    fn open(&self) -> Result<Reply> {
        let path = self.endpoint.path(&format!("blobs/{}", self.wanted.digest));
        let range = format!("bytes={}-", self.offset);
        let headers = [(ACCEPT_ENCODING, "identity"), (RANGE, range.as_str())];
        let call = Call {
            endpoint: self.endpoint,
            method: &Method::GET,
            target: Target::Path(&path),
            headers: if self.offset > 0 { &headers } else { &headers[..1] },
            payload: Payload::Nothing,
            scope: &self.scope,
            doing: self.wanted.doing,
            verified: true,
        };
        let reply = self.http.expect(&call, &[StatusCode::OK, StatusCode::PARTIAL_CONTENT])?;
        self.check_length(&reply)?;
        self.skip_known(reply)
    }

    /// Refuses a blob of another size before it is transferred.
    fn check_length(&self, reply: &Reply) -> Result<()> {
        let start = if reply.status() == StatusCode::PARTIAL_CONTENT { self.offset } else { 0 };
        let length = reply.header(CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        match length.map(|length| start.saturating_add(length)).filter(|size| *size != self.wanted.size) {
            None => Ok(()),
            Some(size) => Err(Error::Corrupt {
                host: self.endpoint.host.clone(),
                doing: self.wanted.doing.to_owned(),
                source: Cause(format!("it has {size} bytes, expected are {}", self.wanted.size)),
            }),
        }
    }

    /// Drops what is already here from an answer that begins before it: a server may ignore `Range`.
    fn skip_known(&self, mut reply: Reply) -> Result<Reply> {
        let start = match reply.status() {
            StatusCode::PARTIAL_CONTENT => reply.header(CONTENT_RANGE).and_then(range_start),
            _ => Some(0),
        };
        if start == Some(self.offset) {
            return Ok(reply);
        }
        if start != Some(0) {
            return Err(reply.nonsense("gave another part of it than was asked for"));
        }
        reply.skip(self.offset)?;
        Ok(reply)
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Err(error) = self.fill() {
            let told = io::Error::other(error.to_string());
            self.error = Some(error);
            return Err(told);
        }
        let rest = &self.chunk[self.used..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.used += count;
        self.offset += count as u64;
        if count > 0 {
            self.wanted.progress.bytes(self.wanted.digest, self.offset.min(self.wanted.size), self.wanted.size);
        }
        Ok(count)
    }
}

/// Reads the beginning of `bytes 7-99/100`.
fn range_start(value: &str) -> Option<u64> {
    value.trim().strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range_start("bytes 7-99/100"), Some(7));
        assert_eq!(range_start("bytes 0-0/*"), Some(0));
        assert_eq!(range_start("bytes */100"), None);
        assert_eq!(range_start("lines 1-2/3"), None);
    }
}
