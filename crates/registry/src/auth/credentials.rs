//! Credentials from Docker's `config.json` and the helpers it names.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::helper;
use crate::secret::Secret;

/// A way to prove who one is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Credential {
    /// A user and a password, or what a registry takes for one.
    Basic { user: String, password: Secret },
    /// A refresh token, good for access tokens alone.
    Identity { token: Secret },
    /// An access token, used as it is.
    Bearer { token: Secret },
}

impl Credential {
    /// Docker marks a refresh token by the user name `<token>`.
    pub(crate) fn of_user(user: String, secret: Secret) -> Self {
        if user == "<token>" { Self::Identity { token: secret } } else { Self::Basic { user, password: secret } }
    }

    /// Returns whom to name in a message.
    pub(crate) fn user(&self) -> &str {
        match self {
            Self::Basic { user, .. } => user,
            Self::Identity { .. } | Self::Bearer { .. } => "<token>",
        }
    }
}

/// What a search for credentials gave.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Found {
    pub(crate) credential: Option<Credential>,
    /// What went wrong on the way; matters only if access is denied.
    pub(crate) note: Option<String>,
}

/// All credentials there are, read when first needed.
#[derive(Debug)]
pub(crate) struct Credentials {
    path: Option<PathBuf>,
    file: OnceLock<(File, Option<String>)>,
    helpers: Mutex<HashMap<(String, String), Found>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    auths: Option<BTreeMap<String, Entry>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

/// How `docker login` names Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";

impl Credentials {
    /// Returns those of a `config.json`; a file that is not there has none.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, file: OnceLock::new(), helpers: Mutex::default() }
    }

    /// Returns the credentials for a repository of a registry, the most specific first. A helper goes before the file.
    pub(crate) fn find(&self, registry: &str, repository: &str) -> Found {
        let (file, broken) = self.file.get_or_init(|| read(self.path.as_deref()));
        let mut notes: Vec<String> = broken.iter().cloned().collect();
        let of_registry = file.cred_helpers.iter().flatten().find(|(key, _)| host_of(key) == registry_key(registry));
        let store = file.creds_store.iter().filter(|name| !name.is_empty());
        for name in of_registry.map(|(_, name)| name).into_iter().chain(store) {
            let found = self.ask(name, registry);
            if found.credential.is_some() {
                return found;
            }
            notes.extend(found.note);
        }
        let of_file = file.find(registry, repository);
        let credential = of_file.unwrap_or_else(|note| {
            notes.push(note);
            None
        });
        Found { credential, note: (!notes.is_empty()).then(|| notes.join("; ")) }
    }

    /// Asks a helper once per registry, however many threads want to know.
    fn ask(&self, name: &str, registry: &str) -> Found {
        let server = if registry_key(registry) == "docker.io" { HUB_KEY } else { registry };
        let mut helpers = self.helpers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = helpers.entry((name.to_owned(), server.to_owned())).or_insert_with(|| {
            helper::get(name, server).map_or_else(
                |note| Found { credential: None, note: Some(note) },
                |credential| Found { credential, note: None },
            )
        });
        known.clone()
    }
}

impl File {
    fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>, String> {
        let Some(auths) = &self.auths else { return Ok(None) };
        let full = format!("{}/{repository}", registry_key(registry));
        let matching = auths.iter().filter(|(key, _)| covers(&scope_of(key), &full));
        let best = matching.max_by_key(|(key, _)| scope_of(key).len());
        let Some((key, entry)) = best else { return Ok(None) };
        entry.credential().map_err(|reason| format!("the credentials for `{key}` in config.json {reason}"))
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, &'static str> {
        let filled = |secret: &Option<Secret>| secret.clone().filter(|s| !s.is_empty());
        if let Some(token) = filled(&self.registrytoken) {
            return Ok(Some(Credential::Bearer { token }));
        }
        if let Some(token) = filled(&self.identitytoken) {
            return Ok(Some(Credential::Identity { token }));
        }
        if let Some(auth) = filled(&self.auth) {
            return decode(&auth).map(Some);
        }
        Ok(match (&self.username, filled(&self.password)) {
            (Some(user), Some(password)) => Some(Credential::of_user(user.clone(), password)),
            _ => None,
        })
    }
}

fn decode(auth: &Secret) -> Result<Credential, &'static str> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    let bytes = engine.decode(auth.expose().trim()).map_err(|_| "are not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "are not UTF-8")?;
    let (user, password) = text.split_once(':').ok_or("have no colon")?;
    // Docker pads what it encodes with zeros.
    Ok(Credential::of_user(user.to_owned(), Secret::new(password.trim_end_matches('\0'))))
}

/// Reads the file. A parser's message would quote what it stumbled over, so only the position is told.
fn read(path: Option<&Path>) -> (File, Option<String>) {
    let Some(path) = path else { return (File::default(), None) };
    let bytes = match std::fs::read(path) {
        Ok(bytes) if bytes.is_empty() => return (File::default(), None),
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (File::default(), None),
        Err(error) => return (File::default(), Some(format!("{} cannot be read: {error}", path.display()))),
    };
    serde_json::from_slice(&bytes).map_or_else(
        |error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            (File::default(), Some(format!("{} is not valid at {place}", path.display())))
        },
        |file| (file, None),
    )
}

/// Returns the one name of a registry: all that mean Docker Hub are `docker.io`.
fn registry_key(registry: &str) -> &str {
    if matches!(registry, "docker.io" | "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { registry }
}

/// Returns the host of a key, without a scheme and a path.
fn host_of(key: &str) -> &str {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    registry_key(bare.split('/').next().unwrap_or(bare))
}

/// Returns what a key of `auths` is for: a host, or a host and the beginning of a repository (`quay.io/org`). The path
/// of an address (`https://host/v1/`) is the API's.
fn scope_of(key: &str) -> String {
    let host = host_of(key);
    let is_address = key.contains("://");
    let path = key.split_once('/').map(|(_, path)| path.trim_end_matches('/'));
    match path {
        Some(path) if !is_address && !matches!(path, "" | "v1" | "v2") => format!("{host}/{path}"),
        _ => host.to_owned(),
    }
}

fn covers(scope: &str, name: &str) -> bool {
    name.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
