//! One file from any server: what `ADD` of an address and contexts behind addresses are made from.

use std::fs::File;
use std::io::{Seek, Write};
use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, DATE, ETAG, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Method, Request, StatusCode, Url};

use crate::authorization::Authorization;
use crate::error::{Cause, Error};
use crate::http::{Attempts, MAX_REDIRECTS, Reply, host_of, redirect, same_origin};
use crate::{Registry, Result};

/// A file to fetch.
#[derive(Clone, Debug)]
pub struct FileRequest {
    /// Without a login.
    pub url: String,
    pub authorization: Option<Authorization>,
    /// What the server said of the copy that is here.
    pub known: Option<Validators>,
    /// More bytes are refused.
    pub limit: u64,
}

/// What tells a server which version of a file somebody has, as it said itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// What a server says of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileAnswer {
    /// The copy that is here is what is there.
    Same,
    New(FileInfo),
}

/// A file that has arrived.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FileInfo {
    /// Those that may be asked with the next time.
    pub validators: Validators,
    /// `Last-Modified`, in seconds since 1970.
    pub modified: Option<i64>,
    pub size: u64,
}

impl Registry {
    /// Writes a file into `to`, from its beginning, unless the copy that is here is still the same. Redirects are followed;
    /// what fails for a moment is tried again. `progress` is told how many bytes are here, and how many there will be.
    pub fn fetch_file(
        &self,
        request: &FileRequest,
        to: &mut File,
        progress: &dyn Fn(u64, Option<u64>),
    ) -> Result<FileAnswer> {
        let doing = format!("fetch {}", request.url);
        let url = Url::parse(&request.url)
            .map_err(|error| Error::Address { doing: doing.clone(), source: Cause(error.to_string()) })?;
        let transfer = Transfer { registry: self, request, url, doing: &doing, progress };
        self.http.retrying(Attempts::MANY, || transfer.attempt(to))
    }
}

struct Transfer<'a> {
    registry: &'a Registry,
    request: &'a FileRequest,
    url: Url,
    doing: &'a str,
    progress: &'a dyn Fn(u64, Option<u64>),
}

impl Transfer<'_> {
    fn attempt(&self, to: &mut File) -> Result<FileAnswer> {
        let reply = self.ask()?;
        if reply.status() == StatusCode::NOT_MODIFIED && self.request.known.is_some() {
            return Ok(FileAnswer::Same);
        }
        if !reply.status().is_success() {
            return Err(reply.into_answer(self.registry.http.clock.now()));
        }
        if let Some(encoding) = reply.header(CONTENT_ENCODING).filter(|encoding| !is_identity(encoding)) {
            return Err(reply.nonsense(format!("sent it with the content encoding `{encoding}`, unasked")));
        }
        let info = info(&reply);
        let size = self.receive(reply, to)?;
        Ok(FileAnswer::New(FileInfo { size, ..info }))
    }

    /// Follows redirects, as `curl -L` does, from HTTPS to plain HTTP too. The authorization goes to the server of the address
    /// alone; once a redirect has led away, it is gone for good.
    fn ask(&self) -> Result<Reply> {
        let mut url = self.url.clone();
        let mut authorization = self.request.authorization.as_ref().and_then(Authorization::to_header);
        for _ in 0..MAX_REDIRECTS {
            let reply =
                self.registry.http.execute(self.message(&url, authorization.as_ref()), &host_of(&url), self.doing)?;
            let Some(mut next) = redirect(&reply, &Method::GET)? else { return Ok(reply) };
            // One that a server made up is none that the user gave.
            let _ = next.set_username("").and_then(|()| next.set_password(None));
            if !same_origin(&next, &url) {
                authorization = None;
            }
            url = next;
        }
        Err(Error::Protocol {
            host: host_of(&url),
            doing: self.doing.to_owned(),
            reason: format!("redirects more than {MAX_REDIRECTS} times"),
        })
    }

    fn message(&self, url: &Url, authorization: Option<&HeaderValue>) -> Request {
        let mut message = Request::new(Method::GET, url.clone());
        let headers = message.headers_mut();
        // The bytes as they are: what is compressed on the way would have another length and validator.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        authorization.map(|value| headers.insert(AUTHORIZATION, value.clone()));
        let known = self.request.known.as_ref();
        let mut validate = |name: HeaderName, value: Option<&String>| {
            value.and_then(|value| HeaderValue::from_str(value).ok()).map(|value| headers.insert(name, value));
        };
        validate(IF_NONE_MATCH, known.and_then(|known| known.etag.as_ref()));
        validate(IF_MODIFIED_SINCE, known.and_then(|known| known.last_modified.as_ref()));
        message
    }

    fn receive(&self, mut reply: Reply, to: &mut File) -> Result<u64> {
        let limit = self.request.limit;
        let total = reply.header(CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        if total.is_some_and(|total| total > limit) {
            return Err(self.too_large(&reply));
        }
        let kept_not = |source| Error::Keep { doing: self.doing.to_owned(), source };
        to.set_len(0).and_then(|()| to.rewind()).map_err(kept_not)?;
        let mut size = 0;
        while let Some(chunk) = reply.chunk()? {
            size += chunk.len() as u64;
            if size > limit {
                return Err(self.too_large(&reply));
            }
            to.write_all(&chunk).map_err(kept_not)?;
            (self.progress)(size, total);
        }
        Ok(size)
    }

    fn too_large(&self, reply: &Reply) -> Error {
        Error::TooLarge { host: reply.host.clone(), doing: self.doing.to_owned(), limit: self.request.limit }
    }
}

fn is_identity(encoding: &str) -> bool {
    encoding.trim().is_empty() || encoding.trim().eq_ignore_ascii_case("identity")
}

fn info(reply: &Reply) -> FileInfo {
    let header = |name| reply.header(name).map(str::to_owned);
    let last_modified = header(LAST_MODIFIED);
    let modified = last_modified.as_deref().and_then(seconds);
    // A file may change twice within a second: only a time that is clearly over tells versions apart (RFC 9110, 8.8.2.2).
    let strong = modified.zip(reply.header(DATE).and_then(seconds)).is_some_and(|(modified, date)| modified + 1 < date);
    FileInfo {
        validators: Validators { etag: header(ETAG), last_modified: last_modified.filter(|_| strong) },
        modified,
        size: 0,
    }
}

fn seconds(date: &str) -> Option<i64> {
    let since: Duration = httpdate::parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}
