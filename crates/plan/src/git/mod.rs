//! Git repositories as sources of files: `ADD` and build contexts (reference: section 7).
//!
//! What follows `#` or `?` in an address says which commit, and what of it; BuildKit reads both, and refuses that they
//! contradict each other. What is left is the address that git itself is given.

mod address;
mod query;

use std::fmt;

use crate::op::Login;

/// Files of a git repository at a commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GitSource {
    /// Without credentials: fit to be shown.
    pub url: String,
    /// What the address has before the host, for HTTP(S). In no key and no message.
    pub credentials: Option<Login>,
    /// A branch, a tag, a full name (`refs/…`) or a commit; the default branch if there is none.
    pub reference: Option<String>,
    /// The commit that is expected, or the start of it: lower-case hexadecimal digits.
    pub checksum: Option<String>,
    /// Clean and relative; empty for all of the repository.
    pub subdir: String,
    /// `None` if the address does not say.
    pub keep_git_dir: Option<bool>,
    pub submodules: bool,
    /// Every file has the time of the commit, not that of the checkout; `None` if the address does not say.
    pub commit_times: Option<bool>,
    /// The checksum is the commit; what the ref stands for by now is not asked.
    pub fetch_by_commit: bool,
}

/// An address that is git's, but makes no sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidGit(pub String);

impl InvalidGit {
    fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

impl GitSource {
    /// Reads the address of a repository; `None` if `text` is something else: an HTTP URL of a file, or a local path.
    pub fn parse(text: &str) -> Option<Result<Self, InvalidGit>> {
        let parts = address::split(text)?;
        Some(Self::from_parts(&parts))
    }

    /// Like [`parse`](Self::parse) for a build context, where `github.com/OWNER/NAME` is a repository, too.
    pub fn parse_context(text: &str) -> Option<Result<Self, InvalidGit>> {
        match text.starts_with("github.com/") {
            true => address::split_http(&format!("https://{text}")).map(|parts| Self::from_parts(&parts)),
            false => Self::parse(text),
        }
    }

    fn from_parts(parts: &address::Parts<'_>) -> Result<Self, InvalidGit> {
        let (url, credentials) = parts.remote()?;
        let mut source = Self {
            url,
            credentials,
            reference: None,
            checksum: None,
            subdir: String::new(),
            keep_git_dir: None,
            submodules: true,
            commit_times: None,
            fetch_by_commit: false,
        };
        if let Some(fragment) = parts.fragment()? {
            let (reference, subdir) = fragment.split_once(':').unwrap_or((&fragment, ""));
            source.reference = Some(reference.to_owned()).filter(|reference| !reference.is_empty());
            source.subdir = relative(subdir);
        }
        query::apply(&mut source, parts.query)?;
        source.check()?;
        Ok(source)
    }

    /// Adds the checksum of `ADD --checksum`.
    pub fn expect(&mut self, checksum: &str) -> Result<(), InvalidGit> {
        let checksum = hexadecimal(checksum)?;
        match &self.checksum {
            Some(known) if *known != checksum => {
                Err(InvalidGit::new(format_args!("checksum mismatch {checksum:?} != {known:?}")))
            }
            _ => {
                self.checksum = Some(checksum);
                self.check()
            }
        }
    }

    /// Returns the commit if the address alone tells it.
    pub fn pinned(&self) -> Option<&str> {
        let reference = self.reference.as_deref().filter(|reference| is_commit(reference));
        reference.or_else(|| self.checksum.as_deref().filter(|checksum| is_commit(checksum)))
    }

    /// True if `.git` is part of the files. A subdirectory never has it.
    pub fn keeps_git_dir(&self) -> bool {
        self.keep_git_dir == Some(true) && self.subdir.is_empty()
    }

    /// Finds what is wrong whatever the repository holds.
    fn check(&self) -> Result<(), InvalidGit> {
        if let Some(reference) = &self.reference {
            if reference.starts_with('-') || reference.chars().any(|c| c.is_control() || c == ' ') {
                return Err(InvalidGit::new(format_args!("invalid git ref {reference:?}")));
            }
            if let Some(checksum) = self.checksum.as_ref().filter(|_| is_commit(reference))
                && !reference.starts_with(checksum.as_str())
            {
                return Err(InvalidGit::new(format_args!("expected checksum to match {checksum}, got {reference}")));
            }
        }
        if self.fetch_by_commit && self.pinned().is_none() {
            return Err(InvalidGit::new(match &self.checksum {
                None => "fetch-by-commit requires a checksum or a commit SHA ref".to_owned(),
                Some(short) => format!("fetch-by-commit requires a full commit SHA checksum, got {short:?}"),
            }));
        }
        Ok(())
    }
}

/// True for the full name of a commit: SHA-1 or SHA-256, lower-case.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn hexadecimal(text: &str) -> Result<String, InvalidGit> {
    if text.is_empty() || text.len() > 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(InvalidGit::new(format_args!("invalid checksum {text} for Git URL, expected hex commit hash")));
    }
    Ok(text.to_ascii_lowercase())
}

/// Returns a path below the root of the repository, clean: nothing leads out of it.
fn relative(path: &str) -> String {
    crate::path::clean(path).trim_matches('/').to_owned()
}

#[cfg(test)]
mod tests;
