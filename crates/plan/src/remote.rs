//! Addresses of what is fetched from elsewhere, as they stand in a Dockerfile or on the command line (reference:
//! section 7).

use std::borrow::Cow;

use dockerfile::{Diagnostic, Span};
use image::Digest;

use crate::git::GitSource;
use crate::op::{HttpSource, Login, Source};

/// What stands in an address that is shown where a login was.
const HIDDEN: &str = "xxxxx:xxxxx";

/// The name of a file whose address ends in none.
const UNNAMED: &str = "__unnamed__";

/// What is fetched from elsewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Remote {
    Git,
    Http,
}

impl Remote {
    /// Tells where a source is; `None` for a local path.
    pub fn of(text: &str) -> Option<Self> {
        if GitSource::parse(text).is_some() {
            return Some(Self::Git);
        }
        let http = text.starts_with("http://") || text.starts_with("https://");
        http.then_some(Self::Http)
    }
}

impl Source {
    /// Reads the address of an `ADD`, and where it stands; `None` for a local path. `checksum`: what is written, and
    /// where; `keep`: the flag `--keep-git-dir`, likewise.
    pub(crate) fn read(
        (text, span): (&str, Span),
        checksum: Option<(&str, Span)>,
        keep: Option<(bool, Span)>,
    ) -> Option<Result<Self, Diagnostic>> {
        Some(match Remote::of(text)? {
            Remote::Http => read_http(text, span, checksum).map(Self::Http),
            Remote::Git => read_git(text, span, checksum, keep)?.map(Self::Git),
        })
    }
}

fn read_http(text: &str, span: Span, checksum: Option<(&str, Span)>) -> Result<HttpSource, Diagnostic> {
    let mut source = HttpSource::parse(text).ok_or_else(|| {
        Diagnostic::error(span, format!("invalid URL `{}`: expected a host after `://`", redact(text)))
    })?;
    if let Some((text, span)) = checksum {
        let parsed = text.parse::<Digest>();
        source.checksum =
            Some(parsed.map_err(|error| Diagnostic::error(span, invalid_checksum(text, &error.to_string())))?);
    }
    Ok(source)
}

fn invalid_checksum(text: &str, reason: &str) -> String {
    match text.split_once(':') {
        Some((algorithm @ ("sha384" | "sha512"), _)) => {
            format!("checksums of the kind {algorithm} are not supported: expected `sha256:`")
        }
        _ => reason.replacen("digest", "checksum", 1),
    }
}

fn read_git(
    text: &str,
    span: Span,
    checksum: Option<(&str, Span)>,
    keep: Option<(bool, Span)>,
) -> Option<Result<GitSource, Diagnostic>> {
    let source = GitSource::parse(text)?.map_err(|error| Diagnostic::error(span, error.to_string()));
    Some(source.and_then(|mut source| {
        if let Some((text, span)) = checksum {
            source.expect(text).map_err(|error| Diagnostic::error(span, error.to_string()))?;
        }
        if let Some((keep, span)) = keep {
            if source.keep_git_dir.is_some_and(|known| known != keep) {
                return Err(Diagnostic::error(span, "inconsistent keep-git-dir configuration"));
            }
            source.keep_git_dir = Some(keep);
        }
        Ok(source)
    }))
}

impl HttpSource {
    /// Reads the address of one file; `None` if it names no host.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        if host.is_empty() || host.starts_with(':') {
            return None;
        }
        let path = tail.split('?').next().unwrap_or_default();
        Some(Self {
            url: format!("{scheme}://{host}{tail}"),
            login: login.map(parse_login),
            name: file_name(path),
            checksum: None,
        })
    }
}

fn parse_login(text: &str) -> Login {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let [user, password] = [user, password].map(|part| String::from_utf8_lossy(&decode(part)).into_owned());
    Login { user, password }
}

/// Returns the last element of a path, decoded.
fn file_name(path: &str) -> String {
    let decoded = String::from_utf8(decode(path)).unwrap_or_default();
    let name = decoded.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let usable = !matches!(name, "" | "." | "..") && !name.contains('\0');
    if usable { name } else { UNNAMED }.to_owned()
}

/// Replaces `%41` by `A`; what is no such code stays.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let code = code.and_then(|code| Some(hex(code[0])? * 16 + hex(code[1])?));
        decoded.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Returns a text with every login in an address hidden (`https://user:password@host`): what is shown, or kept in a
/// history.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("://").map(|at| at + 3) {
        let end = rest[start..].find(|c: char| c.is_whitespace() || "/?#\"'".contains(c));
        let authority = &rest[start..end.map_or(rest.len(), |end| start + end)];
        let login = authority.rfind('@').unwrap_or(0);
        shown.push_str(&rest[..start]);
        if login > 0 && authority[..login].contains(':') {
            shown.push_str(HIDDEN);
        } else if login > 0 {
            shown.push_str(&HIDDEN[..5]);
        }
        rest = &rest[start + login..];
    }
    if shown.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(shown + rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_source_is() {
        let git = ["git://h/r", "ssh://git@h/r", "git@github.com:o/r", "https://h/o/r.git", "http://h/r.git#main:sub"];
        for text in git {
            assert_eq!(Remote::of(text), Some(Remote::Git), "{text}");
        }
        for text in ["http://h/f", "https://h/a.git/f", "https://h/f?x=.git"] {
            assert_eq!(Remote::of(text), Some(Remote::Http), "{text}");
        }
        for text in ["a", "./git@h:r", "a@b", "a/b@c:d", "r.git", "httpx://h", "C:x", "ftp://h/f", "@h:p"] {
            assert_eq!(Remote::of(text), None, "{text}");
        }
    }

    #[track_caller]
    fn check(text: &str, url: &str, name: &str, login: Option<(&str, &str)>) {
        let source = HttpSource::parse(text).unwrap();
        assert_eq!((&*source.url, &*source.name), (url, name));
        assert_eq!(source.login.as_ref().map(|login| (&*login.user, &*login.password)), login);
    }

    #[test]
    fn addresses() {
        check("https://h/a/b.tar?x=/y#f", "https://h/a/b.tar?x=/y", "b.tar", None);
        check("http://h:8080/d/", "http://h:8080/d/", "d", None);
        check("http://h", "http://h", "__unnamed__", None);
        check("http://h/..", "http://h/..", "__unnamed__", None);
        check("http://h?a/b", "http://h?a/b", "__unnamed__", None);
        check("http://h/a%20b%2fc%zz", "http://h/a%20b%2fc%zz", "c%zz", None);
        check("https://me:p%40ss@h/f@g", "https://h/f@g", "f@g", Some(("me", "p@ss")));
        check("https://token@h/f", "https://h/f", "f", Some(("token", "")));
        for text in ["http://", "https:///f", "http://@/f", "http://:80/f"] {
            assert!(HttpSource::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn logins_are_not_shown() {
        for (text, shown) in [
            ("ADD https://me:pw@h/f http://tok@i/ /d", "ADD https://xxxxx:xxxxx@h/f http://xxxxx@i/ /d"),
            ("https://a:b@c@h", "https://xxxxx:xxxxx@h"),
            ("https://h/a@b x@y", "https://h/a@b x@y"),
            ("no address", "no address"),
        ] {
            assert_eq!(redact(text), shown);
        }
        let source = HttpSource::parse("https://me:hunter2@h/f").unwrap();
        assert!(!format!("{source:?}").contains("hunter2"));
    }
}
