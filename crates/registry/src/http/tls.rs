//! Certificates a user has put beside a registry's name: `certs.d/<host[:port]>/{*.crt,*.cert,*.key}`
//! (containers-certs.d(5)).

use std::path::{Path, PathBuf};

use reqwest::{Certificate, Identity};

use crate::Result;
use crate::error::{Cause, Error};

/// Directories that have a directory per host.
#[derive(Debug)]
pub(crate) struct Certificates(Vec<PathBuf>);

/// What one host needs beside the system's certificate authorities.
#[derive(Debug, Default)]
pub(crate) struct OfHost {
    pub(crate) authorities: Vec<Certificate>,
    pub(crate) identity: Option<Identity>,
}

impl Certificates {
    /// Returns those below `directories`.
    pub(crate) fn new(directories: Vec<PathBuf>) -> Self {
        Self(directories)
    }

    /// True if there is a directory for `host`.
    pub(crate) fn has(&self, host: &str) -> bool {
        is_file_name(host) && self.0.iter().any(|directory| directory.join(host).is_dir())
    }

    /// Reads what there is for `host`.
    pub(crate) fn of(&self, host: &str) -> Result<OfHost> {
        let mut found = OfHost::default();
        for directory in self.0.iter().filter(|_| is_file_name(host)).map(|directory| directory.join(host)) {
            for path in files(&directory) {
                let extension = path.extension().and_then(|e| e.to_str());
                match extension {
                    Some("crt") => found.authorities.extend(authorities(&path, host)?),
                    Some("cert") if found.identity.is_none() => found.identity = Some(identity(&path, host)?),
                    _ => {}
                }
            }
        }
        Ok(found)
    }
}

fn is_file_name(host: &str) -> bool {
    !host.is_empty() && !host.starts_with('.') && !host.contains('/')
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn authorities(path: &Path, host: &str) -> Result<Vec<Certificate>> {
    Certificate::from_pem_bundle(&read(path)?).map_err(|error| unusable(path, host, &error))
}

/// A client certificate has its key beside it, under the same name.
fn identity(path: &Path, host: &str) -> Result<Identity> {
    let mut pem = read(path)?;
    pem.push(b'\n');
    pem.extend(read(&path.with_extension("key"))?);
    Identity::from_pem(&pem).map_err(|error| unusable(path, host, &error))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::Config { path: path.to_owned(), source: Cause(error.to_string()) })
}

fn unusable(path: &Path, host: &str, error: &reqwest::Error) -> Error {
    let cause = format!("{}: {}", path.display(), Cause::innermost(error));
    Error::Tls { host: host.to_owned(), source: Cause(cause) }
}
