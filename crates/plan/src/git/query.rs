//! `?ref=…&subdir=…`: the long form of what a fragment says, and more.

use super::address::decode;
use super::{GitSource, InvalidGit, hexadecimal, relative};

/// Takes over what the query says.
pub(super) fn apply(source: &mut GitSource, query: Option<&str>) -> Result<(), InvalidGit> {
    let pairs = pairs(query.unwrap_or_default())?;
    let (mut tag, mut branch) = (None, None);
    for (at, (key, value)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|(earlier, _)| earlier == key) {
            return Err(InvalidGit::new(format_args!("query {key:?} has multiple values")));
        }
        if value.is_empty() && !matches!(key.as_str(), "submodules" | "keep-git-dir" | "fetch-by-commit") {
            return Err(InvalidGit::new(format_args!("query {key:?} has no value")));
        }
        match key.as_str() {
            "ref" => refer(source, value.clone())?,
            "tag" => tag = Some(value),
            "branch" => branch = Some(value),
            "subdir" => enter(source, value)?,
            "checksum" | "commit" => expect(source, value)?,
            "keep-git-dir" => source.keep_git_dir = Some(flag(key, value)?),
            "submodules" => source.submodules = flag(key, value)?,
            "fetch-by-commit" => source.fetch_by_commit = flag(key, value)?,
            "mtime" => source.commit_times = Some(is_commit_time(value)?),
            _ => return Err(unknown(key)),
        }
    }
    match (tag, branch) {
        (Some(_), Some(_)) => Err(InvalidGit::new("branch conflicts with tag")),
        (Some(tag), None) => refer(source, full("refs/tags/", tag)),
        (None, Some(branch)) => refer(source, full("refs/heads/", branch)),
        (None, None) => Ok(()),
    }
}

fn unknown(key: &str) -> InvalidGit {
    InvalidGit::new(format_args!("unexpected query {key:?}"))
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, InvalidGit> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let decode = |text: &str| decode(&text.replace('+', " "));
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(key)?, decode(value)?))
        })
        .collect()
}

fn refer(source: &mut GitSource, reference: String) -> Result<(), InvalidGit> {
    match &source.reference {
        Some(known) if *known != reference => {
            Err(InvalidGit::new(format_args!("ref conflicts: {known:?} vs {reference:?}")))
        }
        _ => {
            source.reference = Some(reference);
            Ok(())
        }
    }
}

fn enter(source: &mut GitSource, subdir: &str) -> Result<(), InvalidGit> {
    if !source.subdir.is_empty() && source.subdir != relative(subdir) {
        return Err(InvalidGit::new(format_args!("subdir conflicts: {:?} vs {subdir:?}", source.subdir)));
    }
    source.subdir = relative(subdir);
    Ok(())
}

fn expect(source: &mut GitSource, checksum: &str) -> Result<(), InvalidGit> {
    let checksum = hexadecimal(checksum)?;
    match &source.checksum {
        Some(known) if *known != checksum => {
            Err(InvalidGit::new(format_args!("checksum mismatch {known:?} != {checksum:?}")))
        }
        _ => {
            source.checksum = Some(checksum);
            Ok(())
        }
    }
}

/// As Go reads it; nothing means yes.
fn flag(key: &str, value: &str) -> Result<bool, InvalidGit> {
    match value {
        "" | "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(InvalidGit::new(format_args!("invalid {key} value: {value:?}"))),
    }
}

fn is_commit_time(value: &str) -> Result<bool, InvalidGit> {
    match value {
        "checkout" => Ok(false),
        "commit" => Ok(true),
        _ => Err(InvalidGit::new(format_args!("invalid mtime value: {value:?} (must be \"checkout\" or \"commit\")"))),
    }
}

fn full(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}
