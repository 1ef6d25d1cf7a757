//! Names of images: `[registry/]repository[:tag][@digest]`, read as docker reads them.

use crate::Digest;

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
    pub fn or_latest(self) -> Self {
        todo!()
    }

    /// Returns the shortest text that names the same: `docker.io/library/` dropped; the tag is kept as it is.
    pub fn familiar(&self) -> String {
        todo!()
    }
}

impl std::str::FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let _ = text;
        todo!()
    }
}

/// The full name: `docker.io/library/busybox:latest`.
impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
