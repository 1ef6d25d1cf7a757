//! What can go wrong between here and a registry.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use image::Digest;
use image::platform::NoSuchPlatform;

/// Why something did not travel. `doing` reads like "fetch the manifest of docker.io/library/busybox:latest".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection could be made.
    #[error("failed to {doing}: {host} cannot be reached")]
    Unreachable { host: String, doing: String, source: Cause },
    /// A connection broke, or what came over it was not HTTP.
    #[error("failed to {doing}: the connection to {host} broke")]
    Interrupted { host: String, doing: String, source: Cause },
    /// HTTPS is needed, and there is no certificate authority to trust.
    #[error("failed to {doing}: {host} needs HTTPS, but this system has no CA certificates")]
    NoCertificates { host: String, doing: String },
    /// A TLS certificate or key of the configuration that cannot be used.
    #[error("failed to set up TLS for {host}")]
    Tls { host: String, source: Cause },
    /// The registry wants a login, another one, or does not allow this at all.
    #[error("failed to {doing}: {host} denied access {}{}", as_user(.user), says(.message))]
    Denied { host: String, doing: String, user: Option<String>, message: Option<String>, note: Option<Box<str>> },
    /// The registry does not have it.
    #[error("failed to {doing}: not found on {host}{}", says(.message))]
    NotFound { host: String, doing: String, message: Option<String> },
    /// Too many requests, and waiting did not help.
    #[error("failed to {doing}: {host} limits the rate of requests{}", says(.message))]
    Limited { host: String, doing: String, message: Option<String>, retry_after: Option<Duration> },
    /// Any other answer that is not the wanted one.
    #[error("failed to {doing}: {host} answered with status {status}{}", says(.message))]
    Status { host: String, doing: String, status: u16, message: Option<String>, retry_after: Option<Duration> },
    /// A server that is no registry does not give what it was asked for.
    #[error("failed to {doing}: HTTP {status}")]
    Answer { doing: String, code: u16, status: String, retry_after: Option<Duration> },
    /// What stands in the place of an address.
    #[error("failed to {doing}: invalid URL")]
    Address { doing: String, source: Cause },
    /// An answer that makes no sense.
    #[error("failed to {doing}: {host} {reason}")]
    Protocol { host: String, doing: String, reason: String },
    /// Bytes that are not those that were asked for.
    #[error("failed to {doing}: what {host} sent is not what its digest says")]
    Corrupt { host: String, doing: String, source: Cause },
    /// A document beyond any sensible size.
    #[error("failed to {doing}: {host} sent more than the {limit} bytes allowed")]
    TooLarge { host: String, doing: String, limit: u64 },
    /// Bytes that are no image manifest or index.
    #[error("{name} is not a container image: {reason}")]
    NotAnImage { name: String, reason: String },
    /// An index without the wanted platform.
    #[error("no usable image under the name {name}")]
    Platform { name: String, source: NoSuchPlatform },
    /// A name the configuration forbids.
    #[error("{name} is blocked by {path}")]
    Blocked { name: String, path: PathBuf },
    /// A configuration file that cannot be read.
    #[error("failed to read {path}")]
    Config { path: PathBuf, source: Cause },
    /// An option that makes no sense.
    #[error("invalid registry option `{text}`: {reason}")]
    Option { text: String, reason: &'static str },
    /// Something to push that is not in the store.
    #[error("failed to push {name}: {role} {digest} is not in the store")]
    Missing { name: String, role: &'static str, digest: Digest },
    /// Mirrors and the registry itself, each with its own failure; the last one is the source.
    #[error("{}", all_failed(.mirrors))]
    Mirrors { mirrors: Vec<String>, source: Box<Self> },
    /// Bytes that arrived and could not be kept.
    #[error("failed to {doing}: the store cannot keep it")]
    Keep { doing: String, source: std::io::Error },
    /// The runtime for network requests.
    #[error("failed to start the network runtime")]
    Runtime(#[source] std::io::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The innermost reason of a failure, free of addresses that might carry a signature.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub(crate) String);

impl Cause {
    /// Returns the text of the last error in a chain: what lies around it says nothing more.
    pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut last = error;
        while let Some(source) = last.source() {
            last = source;
        }
        Self(last.to_string())
    }

    /// True if a server could not prove who it is: rustls' words.
    pub(crate) fn is_of_certificate(&self) -> bool {
        self.0.contains("invalid peer certificate")
    }
}

/// How to go on after a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// The same request may work later, after this time if the registry said so.
    Again(Option<Duration>),
    /// Another mirror, or the registry itself, may do better.
    Elsewhere,
    /// Nothing will change it.
    Stop,
}

impl Error {
    /// Returns what would help, for a line under the message.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Unreachable { host, source, .. } if source.is_of_certificate() => {
                Some(format!("place the registry's CA certificate at /etc/docker/certs.d/{host}/ca.crt"))
            }
            Self::Unreachable { host, source, .. } if source.0.contains(NOT_TLS) => Some(format!(
                "it may speak plain HTTP: say `insecure = true` for {host} in registries.conf if that is meant"
            )),
            Self::Unreachable { .. } | Self::Interrupted { .. } => Some(OFFLINE.to_owned()),
            Self::NoCertificates { .. } => {
                Some("install the package `ca-certificates`, or set SSL_CERT_FILE".to_owned())
            }
            Self::Denied { host, user, note, .. } => Some(login_help(host, user.as_deref(), note.as_deref())),
            Self::Limited { .. } => {
                Some("wait, log in for a higher limit, or use a mirror (`--registry-mirror HOST=MIRROR`)".to_owned())
            }
            Self::Missing { role, .. } if *role == "layer" => {
                Some("a base image's layers are fetched only when needed: `kiln pull` it first".to_owned())
            }
            Self::Missing { .. } => Some("pull the whole image first, or push a single platform of it".to_owned()),
            Self::Keep { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free some space, or keep the store elsewhere (`--root DIR`)".to_owned())
            }
            Self::Mirrors { source, .. } => source.help(),
            _ => None,
        }
    }

    /// Says how to go on.
    pub(crate) fn next(&self) -> Next {
        match self {
            Self::Unreachable { source, .. } if source.is_of_certificate() || source.0.contains(NOT_TLS) => {
                Next::Elsewhere
            }
            Self::Unreachable { .. } | Self::Interrupted { .. } => Next::Again(None),
            Self::Limited { retry_after, .. } => Next::Again(*retry_after),
            Self::Status { status: 408 | 500 | 502..=504, retry_after, .. }
            | Self::Answer { code: 408 | 429 | 500 | 502..=504, retry_after, .. } => Next::Again(*retry_after),
            Self::Blocked { .. }
            | Self::Config { .. }
            | Self::Option { .. }
            | Self::Runtime(_)
            | Self::Keep { .. }
            | Self::Store(_)
            | Self::Missing { .. }
            | Self::Platform { .. } => Next::Stop,
            _ => Next::Elsewhere,
        }
    }
}

/// What rustls says of an answer that does not begin like TLS.
const NOT_TLS: &str = "InvalidContentType";

const OFFLINE: &str = "check the network; or name a mirror (`--registry-mirror HOST=MIRROR`), load the image from a \
                       file (`kiln load`), or give it with `--build-context NAME=oci-layout://PATH`";

fn login_help(host: &str, user: Option<&str>, note: Option<&str>) -> String {
    let host = if host == "registry-1.docker.io" { "docker.io" } else { host };
    let front = note.map(|note| format!("{note}; ")).unwrap_or_default();
    let login = match user {
        Some(user) => format!("log in as someone who may do this (`docker login {host}`); `{user}` may not"),
        None => format!("there are no credentials for {host}: log in (`docker login {host}`)"),
    };
    format!("{front}{login}, or check the name")
}

fn as_user(user: &Option<String>) -> String {
    user.as_ref().map_or_else(|| "without a login".to_owned(), |user| format!("to user `{user}`"))
}

fn says(message: &Option<String>) -> String {
    message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default()
}

struct Joined<'a>(&'a [String]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

fn all_failed(mirrors: &[String]) -> String {
    format!("neither mirror nor registry could serve: {}", Joined(mirrors))
}
