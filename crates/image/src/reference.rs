//! Names of images: `[registry/]repository[:tag][@digest]`, read as docker reads them.
//!
//! The grammar is that of the distribution project (distribution/reference, `reference.go`); what a short name means is
//! docker's normalization on top of it.

use std::fmt;
use std::str::FromStr;

use crate::Digest;
use crate::digest::unhex;

/// The registry of a name that has none.
pub const DOCKER_HUB: &str = "docker.io";

/// The repository of Docker Hub that holds names of one component.
const OFFICIAL: &str = "library/";

/// The longest repository (distribution/reference, `RepositoryNameTotalLengthMax`).
const MAX_REPOSITORY: usize = 255;

/// The longest tag.
const MAX_TAG: usize = 128;

/// A full name: registry and repository always there, `docker.io` and `library/` filled in.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Reference {
    /// Host with optional port; `docker.io` for Docker Hub.
    pub registry: String,
    /// Lower-case path, without the registry.
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// Text that is not an image name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("invalid image name `{text}`: {reason}")]
pub struct InvalidReference {
    pub text: String,
    pub reason: String,
}

impl Reference {
    /// Returns the name with the tag `latest` if it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// Returns the name with `tag` in place of its tag and digest.
    pub fn with_tag(mut self, tag: &str) -> Result<Self, InvalidReference> {
        check_tag(tag).map_err(|reason| InvalidReference { text: format!("{}:{tag}", self.name()), reason })?;
        self.tag = Some(tag.to_owned());
        self.digest = None;
        Ok(self)
    }

    /// Returns the name with `digest`, which from then on decides; the tag stays for people to read.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Returns registry and repository alone: `docker.io/library/busybox`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// True for a name of Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        self.registry == DOCKER_HUB
    }

    /// Returns the shortest text that names the same: `docker.io/library/` dropped; the tag is kept as it is.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let Some(of_hub) = full.strip_prefix("docker.io/") else { return full };
        let short = of_hub.strip_prefix(OFFICIAL).unwrap_or(of_hub);
        // `docker.io/library/a/b` and `docker.io/host.name/a` would read as something else without their front.
        let means_the_same = |text: &&str| text.parse().as_ref() == Ok(self);
        [short, of_hub].into_iter().find(means_the_same).unwrap_or(&full).to_owned()
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        read(text).map_err(|reason| InvalidReference { text: text.to_owned(), reason })
    }
}

fn read(text: &str) -> Result<Reference, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if unhex(text).is_some() {
        return Err("64 hexadecimal digits are read as an image id and cannot be a name".to_owned());
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(read_digest(digest)?)),
        None => (text, None),
    };
    let (registry, rest) = split_registry(rest);
    let (repository, tag) = match rest.split_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (rest, None),
    };
    check_registry(registry)?;
    check_repository(repository)?;
    tag.map_or(Ok(()), check_tag)?;
    let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
    let official = registry == DOCKER_HUB && !repository.contains('/');
    let repository = if official { format!("{OFFICIAL}{repository}") } else { repository.to_owned() };
    if repository.len() > MAX_REPOSITORY {
        return Err(format!("the repository has {} characters, {MAX_REPOSITORY} are allowed", repository.len()));
    }
    Ok(Reference { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
}

/// Splits off the first component if it can only be a host: docker takes `a/b` for a repository of Docker Hub unless
/// `a` has a dot, a colon or an upper-case letter, or is `localhost`.
fn split_registry(text: &str) -> (&str, &str) {
    let is_host = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase())
    };
    text.split_once('/').filter(|(first, _)| is_host(first)).unwrap_or((DOCKER_HUB, text))
}

fn read_digest(text: &str) -> Result<Digest, String> {
    let other = text.split_once(':').is_some_and(|(algorithm, hex)| algorithm != "sha256" && !hex.is_empty());
    if other {
        return Err(format!("digest `{text}` is not a SHA-256 digest, the only kind supported"));
    }
    text.parse().map_err(|error: crate::digest::InvalidDigest| error.to_string())
}

/// A host name, an address or a bracketed IPv6 address, and a port.
fn check_registry(registry: &str) -> Result<(), String> {
    let invalid = || format!("`{registry}` is not a registry: expected a host name or address, and a port");
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !registry.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit())) {
        return Err(invalid());
    }
    let proper = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').is_some_and(is_ipv6),
        None => host.split('.').all(is_host_label),
    };
    if proper { Ok(()) } else { Err(invalid()) }
}

fn is_ipv6(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
}

fn is_host_label(label: &str) -> bool {
    let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    ends(label.bytes().next())
        && ends(label.bytes().last())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn check_repository(repository: &str) -> Result<(), String> {
    if repository.is_empty() {
        return Err("there is no repository".to_owned());
    }
    if repository.chars().any(char::is_uppercase) {
        return Err(format!("the repository must be lower-case: `{}`", repository.to_lowercase()));
    }
    match repository.split('/').find(|component| !is_component(component)) {
        None => Ok(()),
        Some("") => Err("there is an empty component between slashes".to_owned()),
        Some(component) => Err(format!(
            "`{component}` may have lower-case letters and digits, separated by `.`, `_`, `__` or any number of `-`"
        )),
    }
}

/// Letters and digits with single separators between them: `.`, `_`, `__`, or dashes.
fn is_component(component: &str) -> bool {
    let is_word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends_well = bytes.first().is_some_and(is_word) && bytes.last().is_some_and(is_word);
    let separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends_well && separators.into_iter().all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn check_tag(tag: &str) -> Result<(), String> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if tag.is_empty() {
        return Err("the tag is empty".to_owned());
    }
    if tag.len() > MAX_TAG {
        return Err(format!("the tag has {} characters, {MAX_TAG} are allowed", tag.len()));
    }
    if tag.bytes().next().is_some_and(is_word) && tag.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-')) {
        return Ok(());
    }
    Err(format!("tag `{tag}` may have letters, digits, `_`, `.` and `-`, and does not start with the last two"))
}

/// The full name: `docker.io/library/busybox:latest`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
