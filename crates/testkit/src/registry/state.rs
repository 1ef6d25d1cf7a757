//! What a fake registry knows.

use std::collections::{BTreeMap, BTreeSet};

use image::Digest;

use super::Seen;

/// Who may come in.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Everybody.
    #[default]
    Open,
    /// Who knows a user name and a password.
    Basic { user: String, password: String },
    /// Who has a token, to be had from `realm` (see [`Access::token`]). Without a user, anybody gets one, to read.
    Token { realm: String, user: Option<(String, String)>, refresh: Option<String> },
}

impl Access {
    /// Returns token access with the realm of a registry, given by its host: every fake serves tokens at `/token`.
    pub fn token(host: &str, user: Option<(&str, &str)>) -> Self {
        let user = user.map(|(user, password)| (user.to_owned(), password.to_owned()));
        Self::Token { realm: format!("http://{host}/token"), user, refresh: None }
    }
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An answer with this status, these headers and this body.
    Answer { status: u16, headers: Vec<(String, String)>, body: String },
    /// The true answer, but the connection ends after so many bytes of the body.
    Truncate(usize),
    /// The true answer with the first byte of the body changed.
    Corrupt,
    /// The true answer with this header in place of its own.
    Header(String, String),
    /// The whole body, whatever part of it was asked for.
    NoRange,
    /// The connection ends without an answer.
    Hangup,
}

impl Fault {
    /// Returns an answer with a status and nothing else.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: String::new() }
    }

    /// Returns a redirect.
    pub fn redirect(status: u16, location: impl Into<String>) -> Self {
        Self::Answer { status, headers: vec![("Location".to_owned(), location.into())], body: String::new() }
    }

    /// Returns "too many requests" with `Retry-After`.
    pub fn busy(retry_after: &str) -> Self {
        let headers = vec![("Retry-After".to_owned(), retry_after.to_owned())];
        Self::Answer { status: 429, headers, body: r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#.to_owned() }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) times: usize,
    pub(super) fault: Fault,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) access: Access,
    pub(super) rules: Vec<Rule>,
    pub(super) seen: Vec<Seen>,
    /// Tokens given out, with the scopes they are good for.
    pub(super) tokens: BTreeMap<String, Vec<String>>,
    pub(super) uploads: BTreeMap<String, Vec<u8>>,
    /// How many uploads were ever begun: their names are never used again.
    pub(super) begun: usize,
    blobs: BTreeMap<Digest, Vec<u8>>,
    repositories: BTreeMap<String, Repository>,
}

#[derive(Debug, Default)]
struct Repository {
    blobs: BTreeSet<Digest>,
    manifests: BTreeMap<Digest, (String, Vec<u8>)>,
    tags: BTreeMap<String, Digest>,
}

impl State {
    pub(super) fn put_blob(&mut self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.blobs.insert(digest, bytes.to_vec());
        self.repository(repository).blobs.insert(digest);
        digest
    }

    pub(super) fn put_manifest(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: &[u8],
    ) -> Digest {
        let digest = Digest::of(bytes);
        let repository = self.repository(repository);
        repository.manifests.insert(digest, (media_type.to_owned(), bytes.to_vec()));
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest);
        }
        digest
    }

    pub(super) fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.repositories.get(repository)?.blobs.get(digest)?;
        self.blobs.get(digest).cloned()
    }

    pub(super) fn remove_blob(&mut self, repository: &str, digest: &Digest) {
        self.repository(repository).blobs.remove(digest);
    }

    /// Gives `repository` a blob that `from` has.
    pub(super) fn mount(&mut self, repository: &str, from: &str, digest: &Digest) -> bool {
        let there = self.blob(from, digest).is_some();
        if there {
            self.repository(repository).blobs.insert(*digest);
        }
        there
    }

    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        let repository = self.repositories.get(repository)?;
        let digest = reference.parse().ok().or_else(|| repository.tags.get(reference).copied())?;
        repository.manifests.get(&digest).cloned()
    }

    /// Returns the digests a manifest names that the repository lacks.
    pub(super) fn lacking(&self, repository: &str, manifest: &[u8]) -> Vec<String> {
        let document: serde_json::Value = serde_json::from_slice(manifest).unwrap_or_default();
        let list = |name: &str| document[name].as_array().cloned().unwrap_or_default();
        let blobs = list("layers").into_iter().chain([document["config"].clone()]);
        let text = |value: &serde_json::Value| value["digest"].as_str().map(str::to_owned);
        let lacks_blob = |digest: &String| digest.parse().is_ok_and(|digest| self.blob(repository, &digest).is_none());
        let lacks_manifest = |digest: &String| self.manifest(repository, digest).is_none();
        let blobs = blobs.filter_map(|blob| text(&blob)).filter(lacks_blob);
        blobs.chain(list("manifests").iter().filter_map(text).filter(lacks_manifest)).collect()
    }

    /// Takes the first rule for a request, if there is one.
    pub(super) fn take_fault(&mut self, method: &str, path: &str) -> Option<Fault> {
        let fits = |rule: &&mut Rule| rule.times > 0 && rule.method == method && path.contains(&rule.path);
        let rule = self.rules.iter_mut().find(fits)?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }

    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }
}
