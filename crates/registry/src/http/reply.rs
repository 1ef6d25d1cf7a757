//! Answers, and what an unwanted one means.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderName, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use tokio::runtime::Handle;

use crate::Result;
use crate::error::{Cause, Error};

/// More of an error's text is not read.
const MAX_ERROR: usize = 16 << 10;

/// More of it is not shown.
const MAX_SHOWN: usize = 300;

/// An answer whose body is still on its way.
#[derive(Debug)]
pub(crate) struct Reply {
    inner: reqwest::Response,
    handle: Handle,
    /// A piece that was received and not yet handed out.
    pending: Option<Vec<u8>>,
    pub(crate) host: String,
    doing: String,
    /// Whom the request was made as.
    pub(crate) user: Option<String>,
    /// What went wrong when credentials were looked for.
    pub(crate) note: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    detail: serde_json::Value,
}

impl Reply {
    pub(crate) fn new(inner: reqwest::Response, handle: Handle, host: &str, doing: &str) -> Self {
        Self { inner, handle, pending: None, host: host.to_owned(), doing: doing.to_owned(), user: None, note: None }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.inner.status()
    }

    pub(crate) fn url(&self) -> &Url {
        self.inner.url()
    }

    /// Returns a header that is text.
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// Returns all headers of a name.
    pub(crate) fn headers(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.inner.headers().get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Returns the next piece of the body; `None` at its end.
    pub(crate) fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(pending) = self.pending.take() {
            return Ok(Some(pending));
        }
        let Self { inner, handle, .. } = self;
        let chunk = handle.block_on(inner.chunk()).map_err(|error| Error::Interrupted {
            host: self.host.clone(),
            doing: self.doing.clone(),
            source: Cause::innermost(&error.without_url()),
        })?;
        Ok(chunk.map(|chunk| chunk.to_vec()))
    }

    /// Throws away the first `count` bytes of the body.
    pub(crate) fn skip(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let Some(mut chunk) = self.chunk()? else { return Err(self.nonsense("sent less than before")) };
            let drop = chunk.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            count -= drop as u64;
            if drop < chunk.len() {
                self.pending = Some(chunk.split_off(drop));
            }
        }
        Ok(())
    }

    /// Reads the whole body, which may have at most `limit` bytes.
    pub(crate) fn bytes(mut self, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk()? {
            if bytes.len() + chunk.len() > limit {
                return Err(Error::TooLarge { host: self.host, doing: self.doing, limit: limit as u64 });
            }
            bytes.extend(chunk);
        }
        Ok(bytes)
    }

    /// Returns what can be had of the first few kilobytes of the body.
    pub(crate) fn beginning(&mut self) -> String {
        let mut bytes = Vec::new();
        while bytes.len() < MAX_ERROR {
            match self.chunk() {
                Ok(Some(chunk)) => bytes.extend(chunk),
                _ => break,
            }
        }
        bytes.truncate(MAX_ERROR);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Makes an error of an answer that is not the wanted one.
    pub(crate) fn into_error(mut self, now: SystemTime) -> Error {
        let retry_after = self.header(RETRY_AFTER).and_then(|value| retry_after(value, now));
        let message = message(&self.beginning());
        let status = self.status();
        let Self { host, doing, user, note, .. } = self;
        let note = note.map(String::into_boxed_str);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Denied { host, doing, user, message, note },
            StatusCode::NOT_FOUND => Error::NotFound { host, doing, message },
            StatusCode::TOO_MANY_REQUESTS => Error::Limited { host, doing, message, retry_after },
            status => Error::Status { host, doing, status: status.as_u16(), message, retry_after },
        }
    }

    /// Makes an error of an answer of a server that is no registry.
    pub(crate) fn into_answer(self, now: SystemTime) -> Error {
        let retry_after = self.header(RETRY_AFTER).and_then(|value| retry_after(value, now));
        let status = self.status();
        Error::Answer { doing: self.doing, code: status.as_u16(), status: status.to_string(), retry_after }
    }

    /// Makes an error of an answer that makes no sense.
    pub(crate) fn nonsense(&self, reason: impl Into<String>) -> Error {
        Error::Protocol { host: self.host.clone(), doing: self.doing.clone(), reason: reason.into() }
    }
}

/// Reads the list of errors a registry gives (distribution-spec, *Error Codes*), or the first line of plain text.
fn message(body: &str) -> Option<String> {
    let text = match serde_json::from_str::<Errors>(body) {
        Ok(errors) => errors.errors.iter().map(entry).collect::<Vec<_>>().join("; "),
        Err(_) if body.trim_start().starts_with(['<', '{', '[']) => return None,
        Err(_) => body.trim().lines().next().unwrap_or_default().to_owned(),
    };
    let shown: String = text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect();
    (!shown.trim().is_empty()).then_some(shown)
}

fn entry(entry: &ErrorEntry) -> String {
    let detail = entry.detail.as_str().unwrap_or_default();
    let code = entry.code.to_lowercase().replace('_', " ");
    let parts = [code.as_str(), &entry.message, detail];
    let mut told: Vec<&str> = Vec::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if !told.iter().any(|known| known.eq_ignore_ascii_case(part)) {
            told.push(part);
        }
    }
    told.join(": ")
}

/// Reads `Retry-After`: seconds or a date (RFC 9110, 10.2.3).
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_message(body: &str, expected: Option<&str>) {
        assert_eq!(message(body).as_deref(), expected);
    }

    #[test]
    fn messages() {
        check_message(
            r#"{"errors":[{"code":"DENIED","message":"not yours","detail":"org"},{"code":"UNKNOWN"}]}"#,
            Some("denied: not yours: org; unknown"),
        );
        check_message(
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#,
            Some("manifest unknown"),
        );
        check_message("\u{1b}[31mbusy\r\nsecond line", Some("[31mbusy"));
        check_message("<html>busy</html>", None);
        check_message(r#"{"token":"hunter2"}"#, None);
        check_message("", None);
        assert_eq!(message(&"x".repeat(1000)).map(|m| m.len()), Some(MAX_SHOWN));
    }

    #[test]
    fn waiting_times() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:40 GMT", now), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
