//! Operating system and architecture an image is for.

/// A normalized platform: aliases resolved, default variants dropped (`amd64/v1` is `amd64`, `arm64/v8` is `arm64`,
/// `arm` is `arm/v7`).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
}

/// Text that names no platform.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("invalid platform `{text}`: {reason}")]
pub struct InvalidPlatform {
    pub text: String,
    pub reason: &'static str,
}

impl Platform {
    /// Returns the platform this binary was built for, on Linux.
    pub fn host() -> Self {
        todo!()
    }

    /// Normalizes the fields of a descriptor or a configuration.
    pub fn normalized(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let _ = (os, architecture, variant);
        todo!()
    }

    /// Ranks `self` as an image for a machine of platform `wanted`: `None` if it cannot run there, else smaller is
    /// better (0: exact). Lower variants of arm and amd64 run on higher ones.
    pub fn rank_for(&self, wanted: &Self) -> Option<u32> {
        let _ = wanted;
        todo!()
    }
}

/// `os[/arch[/variant]]`; a single word is a known operating system or architecture.
impl std::str::FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let _ = text;
        todo!()
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |v| write!(f, "/{v}"))
    }
}
