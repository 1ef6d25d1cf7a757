//! `--secret`: where the values are, and reading them.
//!
//! What they name is read when it is needed, and once: it may be a pipe.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use solver::{Secret, Secrets, Servers};

use crate::error::Failure;

/// As in buildx.
const LIMIT: u64 = 500 << 10;

/// Where secrets come from, by id.
#[derive(Debug, Default)]
pub(crate) struct SecretSources(BTreeMap<String, (Source, OnceLock<Secret>)>);

#[derive(Debug, Eq, PartialEq)]
enum Source {
    File(PathBuf),
    /// Unset, it is empty, as with buildx.
    Variable(String),
}

impl SecretSources {
    /// Checks the flags.
    pub(crate) fn parse(flags: &[String]) -> Result<Self, Failure> {
        let mut sources = BTreeMap::new();
        for flag in flags {
            let (id, source) = parse(flag).map_err(|why| Failure::new(format!("--secret {flag}: {why}")).code(2))?;
            if let Source::File(path) = &source {
                let metadata = fs::metadata(path).map_err(|error| unreadable(&id, path, &error))?;
                if metadata.is_file() && metadata.len() > LIMIT {
                    return Err(too_big(&id));
                }
            }
            sources.insert(id, (source, OnceLock::new()));
        }
        Ok(Self(sources))
    }

    /// Reads all values.
    pub(crate) fn read(&self) -> Result<Secrets, Failure> {
        self.read_if(|_| true)
    }

    /// Reads those that are for the servers of contexts and sources.
    pub(crate) fn for_servers(&self) -> Result<Secrets, Failure> {
        self.read_if(Servers::want)
    }

    /// True if one of those could not be read again by a process that begins anew.
    pub(crate) fn come_once(&self) -> bool {
        let once = |source: &Source| matches!(source, Source::File(path) if !path.is_file());
        self.0.iter().any(|(id, (source, _))| Servers::want(id) && once(source))
    }

    fn read_if(&self, wanted: impl Fn(&str) -> bool) -> Result<Secrets, Failure> {
        let mut secrets = Secrets::new();
        for (id, (source, read)) in self.0.iter().filter(|(id, _)| wanted(id)) {
            let secret = match read.get() {
                Some(secret) => secret,
                None => {
                    let value = Secret::new(value(id, source)?);
                    read.get_or_init(|| value)
                }
            };
            secrets.insert(id.clone(), secret.clone());
        }
        Ok(secrets)
    }
}

fn value(id: &str, source: &Source) -> Result<Vec<u8>, Failure> {
    let bytes = match source {
        Source::Variable(name) => std::env::var_os(name).unwrap_or_default().into_vec(),
        Source::File(path) => {
            let mut bytes = Vec::new();
            let read = File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes));
            read.map_err(|error| unreadable(id, path, &error))?;
            bytes
        }
    };
    if bytes.len() as u64 > LIMIT { Err(too_big(id)) } else { Ok(bytes) }
}

fn unreadable(id: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("failed to read secret {id} from {}: {error}", path.display()))
}

fn too_big(id: &str) -> Failure {
    Failure::new(format!("secret {id} is too big: at most 500 KiB"))
}

/// Reads `[type=file|env,]id=ID[,src=PATH|,env=NAME]`.
fn parse(text: &str) -> Result<(String, Source), String> {
    let (mut id, mut path, mut variable, mut kind) = (None, None, None, None);
    for field in text.split(',') {
        let Some((key, value)) = field.split_once('=') else {
            return Err(format!("invalid field '{field}' must be a key=value pair"));
        };
        match key.to_lowercase().as_str() {
            "type" if matches!(value, "file" | "env") => kind = Some(value),
            "type" => return Err(format!("unsupported secret type \"{value}\"")),
            "id" => id = Some(value),
            "source" | "src" => path = Some(value),
            "env" => variable = Some(value),
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or("the id is missing")?;
    if kind == Some("env") && variable.is_none() {
        variable = path.take();
    }
    let source = match (path, variable) {
        (Some(_), Some(_)) => return Err("it is either a file or a variable".to_owned()),
        (Some(path), None) => Source::File(path.into()),
        (None, Some(name)) => Source::Variable(name.to_owned()),
        (None, None) if kind == Some("env") || (kind.is_none() && std::env::var_os(id).is_some()) => {
            Source::Variable(id.to_owned())
        }
        (None, None) => Source::File(id.into()),
    };
    Ok((id.to_owned(), source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_variables() {
        let file = |path: &str| Ok(("a".to_owned(), Source::File(path.into())));
        let variable = |name: &str| Ok(("a".to_owned(), Source::Variable(name.to_owned())));
        assert_eq!(parse("id=a"), file("a"));
        assert_eq!(parse("id=a,src=/x"), file("/x"));
        assert_eq!(parse("type=file,source=/x,id=a"), file("/x"));
        assert_eq!(parse("id=a,env=A"), variable("A"));
        assert_eq!(parse("type=env,id=a,src=A"), variable("A"));
        assert_eq!(parse("type=env,id=a"), variable("a"));
        for wrong in ["", "a", "src=/x", "id=", "id=a,kind=b", "id=a,type=vault", "id=a,src=b,env=c"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
