//! The parts of an address, as BuildKit and Go's `net/url` divide it.

use std::borrow::Cow;

use super::InvalidGit;
use crate::op::Login;

/// An address in its parts, nothing decoded.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    form: Form<'a>,
    pub(super) query: Option<&'a str>,
    fragment: Option<&'a str>,
}

#[derive(Debug)]
enum Form<'a> {
    /// `scheme://user@host/path`
    Url { scheme: String, user: Option<&'a str>, rest: &'a str },
    /// `user@host:path`
    Scp(&'a str),
}

/// Divides an address; `None` if it is none of a repository.
pub(super) fn split(text: &str) -> Option<Parts<'_>> {
    match scheme_of(text) {
        Some(scheme) => match scheme.as_str() {
            "git" | "ssh" => split_url(text, scheme),
            "http" | "https" => split_http(text).filter(Parts::names_repository),
            _ => None,
        },
        None => split_scp(text),
    }
}

/// Divides an HTTP(S) URL, whatever its path.
pub(super) fn split_http(text: &str) -> Option<Parts<'_>> {
    split_url(text, scheme_of(text)?)
}

/// `^[a-zA-Z0-9]+://`, lower-case.
fn scheme_of(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once("://")?;
    let right = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    right.then(|| scheme.to_ascii_lowercase())
}

fn split_url(text: &str, scheme: String) -> Option<Parts<'_>> {
    let (address, query, fragment) = cut(text);
    let rest = address.get(scheme.len() + 3..)?;
    let (authority, _) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, rest) = match authority.rfind('@') {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    };
    Some(Parts { form: Form::Url { scheme, user, rest }, query, fragment })
}

/// `user@host:path`, where neither user nor host has anything but letters, digits, `-`, and `_` or `.`.
fn split_scp(text: &str) -> Option<Parts<'_>> {
    let (address, query, fragment) = cut(text);
    let (user, rest) = address.split_once('@')?;
    let (host, _) = rest.split_once(':')?;
    let plain = |part: &str, other: char| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == other)
    };
    let right = plain(user, '_') && plain(host, '.') && !text.contains('\n');
    right.then_some(Parts { form: Form::Scp(address), query, fragment })
}

/// Returns what is before the query and the fragment, and those.
fn cut(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (before, fragment) = text.split_once('#').map_or((text, None), |(before, after)| (before, Some(after)));
    let (address, query) = before.split_once('?').map_or((before, None), |(before, after)| (before, Some(after)));
    (address, query, fragment)
}

impl Parts<'_> {
    /// True if the path of an HTTP URL ends in `.git`: else it is the URL of a file.
    fn names_repository(&self) -> bool {
        matches!(&self.form, Form::Url { rest, .. } if rest.contains('/') && rest.ends_with(".git"))
    }

    /// Returns what git is given, and the credentials, which are none of its business until a server asks.
    pub(super) fn remote(&self) -> Result<(String, Option<Login>), InvalidGit> {
        let (scheme, user, rest) = match &self.form {
            Form::Scp(address) => return Ok((check((*address).to_owned())?, None)),
            Form::Url { scheme, user, rest } => (scheme, *user, *rest),
        };
        if rest.is_empty() || rest.starts_with(['/', '-']) {
            return Err(InvalidGit::new("the address of a git repository has no host"));
        }
        if scheme.starts_with("http") {
            let credentials = user.map(credentials).transpose()?;
            return Ok((check(format!("{scheme}://{rest}"))?, credentials));
        }
        let user = match user {
            Some(user) if user.contains(':') => {
                return Err(InvalidGit::new(format_args!("{scheme}:// has no use for a password")));
            }
            Some(user) if user.starts_with('-') => return Err(InvalidGit::new("invalid user in the address")),
            Some(user) => format!("{user}@"),
            None => String::new(),
        };
        Ok((check(format!("{scheme}://{user}{rest}"))?, None))
    }

    pub(super) fn fragment(&self) -> Result<Option<Cow<'_, str>>, InvalidGit> {
        let Some(fragment) = self.fragment.filter(|fragment| !fragment.is_empty()) else { return Ok(None) };
        match self.form {
            Form::Scp(_) => Ok(Some(Cow::Borrowed(fragment))),
            Form::Url { .. } => decode(fragment).map(|text| Some(Cow::Owned(text))),
        }
    }
}

/// Refuses what could be taken for something else on a line of its own.
fn check(url: String) -> Result<String, InvalidGit> {
    if url.chars().any(|c| c.is_control() || c == ' ') {
        return Err(InvalidGit::new("the address of a git repository has a blank or a control character"));
    }
    Ok(url)
}

fn credentials(user: &str) -> Result<Login, InvalidGit> {
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (user, password) = (decode(user)?, decode(password)?);
    if user.chars().chain(password.chars()).any(char::is_control) {
        return Err(InvalidGit::new("the credentials in the address have a control character"));
    }
    Ok(Login { user, password })
}

/// Decodes `%xx`.
pub(super) fn decode(text: &str) -> Result<String, InvalidGit> {
    let wrong = || InvalidGit::new("invalid escape in the address: expected % and two hexadecimal digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(wrong)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}
