//! Which servers to ask for a name: `registries.conf` (containers-registries.conf(5), version 2) and mirrors given by
//! option.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use image::Reference;
use serde::Deserialize;

use crate::endpoint::{Endpoint, Security, without_port};
use crate::error::{Cause, Error};
use crate::{Options, Result};

/// What is to be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// What a tag stands for.
    Tag,
    /// Something by digest: any mirror will do, for it cannot lie.
    Digest,
}

/// The configuration of routes, read when the first name needs it.
#[derive(Debug)]
pub(crate) struct Routes {
    options: Vec<(String, String)>,
    insecure: Vec<String>,
    files: Vec<PathBuf>,
    read: Mutex<Option<Arc<Vec<Rule>>>>,
}

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    registry: Vec<Table>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Mirror>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<Pulls>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Pulls {
    All,
    DigestOnly,
    TagOnly,
}

#[derive(Debug)]
struct Rule {
    prefix: String,
    location: Option<String>,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirrors: Vec<Mirror>,
    path: PathBuf,
}

impl Routes {
    /// Returns the routes of `options`.
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            options: options.mirrors.clone(),
            insecure: options.insecure.clone(),
            files: options.registries_conf.clone(),
            read: Mutex::new(None),
        }
    }

    /// Returns the servers to ask for `name`, in order; never none. The registry itself is the last.
    pub(crate) fn endpoints(&self, name: &Reference, purpose: Purpose) -> Result<Vec<Endpoint>> {
        let rules = self.rules()?;
        let full = name.name();
        let rule = rule_for(&rules, &full)?;
        let mut endpoints = self.mirrors_by_option(&full)?;
        endpoints.extend(rule.iter().flat_map(|rule| self.mirrors_of(rule, &full, purpose)));
        endpoints.push(self.registry_of(rule, name, &full));
        Ok(endpoints)
    }

    /// Returns the registry itself, the only one to be written to.
    pub(crate) fn origin(&self, name: &Reference) -> Result<Endpoint> {
        let rules = self.rules()?;
        let full = name.name();
        Ok(self.registry_of(rule_for(&rules, &full)?, name, &full))
    }

    /// True if the user said that this host need not be trusted.
    pub(crate) fn is_insecure(&self, host: &str) -> bool {
        self.insecure.iter().any(|known| known == host || known == without_port(host))
    }

    fn mirrors_by_option(&self, full: &str) -> Result<Vec<Endpoint>> {
        let matching = self.options.iter().filter(|(host, _)| covered(normal(host), full).is_some());
        matching.map(|(host, mirror)| self.mirror(normal(host), mirror, false, full)).collect()
    }

    fn mirrors_of(&self, rule: &Rule, full: &str, purpose: Purpose) -> Vec<Endpoint> {
        let usable = |mirror: &&Mirror| match mirror.pull_from_mirror {
            Some(Pulls::All) => true,
            None => !rule.mirror_by_digest_only || purpose == Purpose::Digest,
            Some(Pulls::DigestOnly) => purpose == Purpose::Digest,
            Some(Pulls::TagOnly) => purpose == Purpose::Tag,
        };
        let endpoints = rule.mirrors.iter().filter(usable);
        endpoints.filter_map(|m| self.mirror(&rule.prefix, &m.location, m.insecure, full).ok()).collect()
    }

    fn mirror(&self, prefix: &str, location: &str, insecure: bool, full: &str) -> Result<Endpoint> {
        let (bare, plain) = match location.strip_prefix("http://") {
            Some(bare) => (bare, true),
            None => (location.strip_prefix("https://").unwrap_or(location), false),
        };
        let bare = bare.trim_end_matches('/');
        if bare.is_empty() || bare.contains(['@', '?', '#', ' ']) {
            let reason = "a mirror is HOST[:PORT][/PATH], and nothing else";
            return Err(Error::Option { text: location.to_owned(), reason });
        }
        let mut endpoint = self.rewritten(prefix, Some(bare), insecure, full);
        endpoint.mirror = true;
        if plain && endpoint.security != Security::Loopback {
            endpoint.security = Security::Plain;
        }
        Ok(endpoint)
    }

    fn registry_of(&self, rule: Option<&Rule>, name: &Reference, full: &str) -> Endpoint {
        match rule {
            Some(rule) => self.rewritten(&rule.prefix, rule.location.as_deref(), rule.insecure, full),
            None => Endpoint::new(&name.registry, &name.repository, self.is_insecure(&name.registry)),
        }
    }

    /// Puts `location` in the place of `prefix`. Behind a wildcard only the host is replaced.
    fn rewritten(&self, prefix: &str, location: Option<&str>, insecure: bool, full: &str) -> Endpoint {
        let length = covered(prefix, full).unwrap_or(0);
        let name = location.map_or_else(|| full.to_owned(), |location| format!("{location}{}", &full[length..]));
        let (host, repository) = name.split_once('/').unwrap_or((&name, ""));
        Endpoint::new(host, repository, insecure || self.is_insecure(host))
    }

    fn rules(&self) -> Result<Arc<Vec<Rule>>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = &*read {
            return Ok(Arc::clone(rules));
        }
        let mut rules: Vec<Rule> = Vec::new();
        for path in self.files.iter().flat_map(|path| expanded(path)) {
            for rule in read_file(&path)? {
                // A later file replaces what an earlier one says of the same prefix.
                rules.retain(|known| known.prefix != rule.prefix || known.path == rule.path);
                rules.push(rule);
            }
        }
        Ok(Arc::clone(read.insert(Arc::new(rules))))
    }
}

/// Returns the rule of the longest prefix of a name, which must not forbid it.
fn rule_for<'a>(rules: &'a [Rule], full: &str) -> Result<Option<&'a Rule>> {
    let covering = rules.iter().filter_map(|rule| Some((covered(&rule.prefix, full)?, rule)));
    let rule = covering.max_by_key(|(length, _)| *length).map(|(_, rule)| rule);
    match rule.filter(|rule| rule.blocked) {
        Some(rule) => Err(Error::Blocked { name: full.to_owned(), path: rule.path.clone() }),
        None => Ok(rule),
    }
}

/// Returns a file, or the `*.conf` of a directory in order.
fn expanded(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.to_owned()] };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "conf")).collect();
    paths.sort();
    paths
}

fn read_file(path: &Path) -> Result<Vec<Rule>> {
    let failed = |cause: String| Error::Config { path: path.to_owned(), source: Cause(cause) };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error.to_string())),
    };
    let file: File = toml::from_str(&text).map_err(|error| failed(error.to_string().trim_end().to_owned()))?;
    file.registry.into_iter().map(|table| rule(table, path).map_err(failed)).collect()
}

fn rule(table: Table, path: &Path) -> std::result::Result<Rule, String> {
    let prefix = table.prefix.filter(|prefix| !prefix.is_empty()).or_else(|| table.location.clone());
    let prefix = prefix.ok_or("a [[registry]] has neither `prefix` nor `location`")?;
    let prefix = prefix.trim_end_matches('/').to_owned();
    let location = table.location.map(|location| location.trim_end_matches('/').to_owned());
    let location = location.filter(|location| !location.is_empty());
    let broken = table.mirror.iter().any(|mirror| mirror.location.trim_matches('/').is_empty());
    if broken {
        return Err(format!("a mirror of `{prefix}` has no location"));
    }
    Ok(Rule {
        prefix,
        location,
        insecure: table.insecure,
        blocked: table.blocked,
        mirror_by_digest_only: table.mirror_by_digest_only,
        mirrors: table.mirror,
        path: path.to_owned(),
    })
}

/// Docker Hub under its other name.
fn normal(host: &str) -> &str {
    let bare = host.strip_prefix("https://").unwrap_or(host).trim_end_matches('/');
    if matches!(bare, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { bare }
}

/// Returns how much of `name` a prefix covers, if it is one: whole components, or any host of a domain (`*.example`).
fn covered(prefix: &str, name: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let host = name.split('/').next()?;
        return (domain.starts_with('.') && without_port(host).ends_with(domain)).then_some(host.len());
    }
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
}

#[cfg(test)]
mod tests;
