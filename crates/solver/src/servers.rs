//! The servers of sources, git repositories and files behind addresses, and what they are told of who asks.
//!
//! Secrets say it under the names that BuildKit gives them. Each goes to the host it is for, in no key, and only where
//! something is fetched over HTTP(S).

use std::collections::BTreeMap;

use plan::{GitSource, HttpSource, Login};
use registry::{Authorization, Registry};

use crate::error::{Result, SolveErrorKind};
use crate::secret::Secret;

/// The values of `--secret`, by id.
pub type Secrets = BTreeMap<String, Secret>;

/// `GIT_AUTH_HEADER[.HOST[:PORT]]`: the header. `GIT_AUTH_TOKEN[.HOST[:PORT]]`: a token.
const GIT_HEADER: &str = "GIT_AUTH_HEADER";
const GIT_TOKEN: &str = "GIT_AUTH_TOKEN";

/// `HTTP_AUTH_HEADER_HOST`, `HTTP_AUTH_TOKEN_HOST`: likewise for files.
const HTTP_HEADER: &str = "HTTP_AUTH_HEADER_";
const HTTP_TOKEN: &str = "HTTP_AUTH_TOKEN_";

/// The user that a token of git stands for.
const TOKEN_USER: &str = "x-access-token";

/// How servers are reached, and the secrets for them.
#[derive(Clone, Copy, Debug)]
pub struct Servers<'a> {
    pub registry: &'a Registry,
    pub secrets: &'a Secrets,
}

impl<'a> Servers<'a> {
    /// True if a secret of that id is for servers.
    pub fn want(id: &str) -> bool {
        let git = id.split('.').next().is_some_and(|name| name == GIT_HEADER || name == GIT_TOKEN);
        git || id.starts_with(HTTP_HEADER) || id.starts_with(HTTP_TOKEN)
    }

    /// Returns what the server of a repository is told: the first secret that is there, else what the address says.
    pub(crate) fn authorization_of_git(self, source: &GitSource) -> Result<Option<Authorization>> {
        let Some(host) = host_and_port(&source.url) else { return Ok(None) };
        for suffix in [format!(".{host}"), String::new()] {
            if let Some(value) = self.secret(&format!("{GIT_HEADER}{suffix}"))? {
                return Ok(Some(Authorization::header(value)));
            }
            if let Some(value) = self.secret(&format!("{GIT_TOKEN}{suffix}"))? {
                return Ok(Some(Authorization::login(TOKEN_USER, value)));
            }
        }
        Ok(source.credentials.as_ref().map(login))
    }

    /// Returns what the server of a file is told: a secret if there is one, else what the address says.
    pub(crate) fn authorization_of_file(self, source: &HttpSource) -> Result<Option<Authorization>> {
        if let Some(host) = host_and_port(&source.url).map(without_port) {
            if let Some(value) = self.secret(&format!("{HTTP_TOKEN}{host}"))? {
                return Ok(Some(Authorization::header(format!("Bearer {value}"))));
            }
            if let Some(value) = self.secret(&format!("{HTTP_HEADER}{host}"))? {
                return Ok(Some(Authorization::header(value)));
            }
        }
        Ok(source.login.as_ref().map(login))
    }

    /// Returns a secret as what a header can hold; files often end in a line break. An empty one is none: it is what an
    /// unset variable gives.
    fn secret(self, id: &str) -> Result<Option<&'a str>> {
        let Some(secret) = self.secrets.get(id) else { return Ok(None) };
        let unfit = |reason| SolveErrorKind::SecretInHeader { id: id.to_owned(), reason };
        // The error of the conversion would hold the value.
        let text = std::str::from_utf8(secret.reveal()).map_err(|_| unfit("it is not UTF-8"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.contains(char::is_control) {
            return Err(unfit("it has several lines or control characters"));
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}

fn login(login: &Login) -> Authorization {
    Authorization::login(&login.user, &login.password)
}

/// Returns host and port as they stand in an address without a login; `None` if it is not one of HTTP(S).
fn host_and_port(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty())
}

/// Returns the host alone; an IPv6 address without its brackets.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told to the server of a repository and to that of a file at the same address.
    #[track_caller]
    fn check(secrets: &[(&str, &str)], url: &str, git: Option<Authorization>, file: Option<Authorization>) {
        let secrets = secrets.iter().map(|(id, value)| ((*id).to_owned(), Secret::new(value.as_bytes().to_vec())));
        let (registry, secrets) = (Registry::new(registry::Options::default()), secrets.collect());
        let servers = Servers { registry: &registry, secrets: &secrets };
        assert!(secrets.keys().all(|id| Servers::want(id)));
        let source = GitSource::parse(&format!("{url}/r.git")).expect("git").expect("an address");
        assert_eq!(servers.authorization_of_git(&source).expect("a secret"), git);
        if url.starts_with("http") {
            let source = HttpSource::parse(&format!("{url}/f")).expect("an address");
            assert_eq!(servers.authorization_of_file(&source).expect("a secret"), file);
        }
    }

    #[test]
    fn secrets_are_for_hosts() {
        let header = |value: &str| Some(Authorization::header(value));
        let token = |value: &str| Some(Authorization::login(TOKEN_USER, value));
        check(&[], "https://h", None, None);
        check(&[("GIT_AUTH_TOKEN", "t\n")], "https://h", token("t"), None);
        check(&[("GIT_AUTH_TOKEN", "t"), ("GIT_AUTH_HEADER", "h")], "http://h", header("h"), None);
        check(&[("GIT_AUTH_TOKEN.h", "t"), ("GIT_AUTH_HEADER", "h")], "https://h", token("t"), None);
        check(&[("GIT_AUTH_TOKEN.h", "t")], "https://h:1", None, None);
        check(&[("GIT_AUTH_TOKEN.h:1", "t")], "https://h:1", token("t"), None);
        check(&[("GIT_AUTH_TOKEN.h", "t"), ("HTTP_AUTH_TOKEN_h", "t")], "https://other.h", None, None);
        check(&[("GIT_AUTH_TOKEN", "")], "https://h", None, None);
        check(&[("HTTP_AUTH_HEADER_h", "x y\r\n")], "https://h:1", None, header("x y"));
        check(&[("HTTP_AUTH_HEADER_h", "x"), ("HTTP_AUTH_TOKEN_h", "t")], "https://h", None, header("Bearer t"));
        check(&[("HTTP_AUTH_TOKEN_::1", "t")], "http://[::1]:80", None, header("Bearer t"));
        let me = || Some(Authorization::login("me", "pw"));
        check(&[], "https://me:pw@h", me(), me());
        check(&[("GIT_AUTH_TOKEN", "t")], "https://me:pw@h", token("t"), me());
        check(&[("GIT_AUTH_TOKEN", "t"), ("GIT_AUTH_HEADER.h", "h")], "ssh://git@h", None, None);
    }

    #[test]
    fn what_no_header_holds_is_refused_without_being_shown() {
        for value in [&b"hunter2\nx"[..], b"hunter2\xff", b"hunter2\0"] {
            let secrets = Secrets::from([("GIT_AUTH_TOKEN".to_owned(), Secret::new(value.to_vec()))]);
            let registry = Registry::new(registry::Options::default());
            let source = GitSource::parse("https://h/r.git").expect("git").expect("an address");
            let servers = Servers { registry: &registry, secrets: &secrets };
            let error = servers.authorization_of_git(&source).expect_err("no header").to_string();
            assert!(error.starts_with("secret GIT_AUTH_TOKEN cannot be sent to a server: "), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
