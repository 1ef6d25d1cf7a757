//! Operating system and architecture an image is for.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::Descriptor;

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

/// An index without an image for the platform that was asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no image for {wanted}{}", there_is(.available))]
pub struct NoSuchPlatform {
    pub wanted: Platform,
    /// What the index has instead, sorted.
    pub available: Vec<Platform>,
}

/// Operating systems that may stand alone (`--platform=windows`): Go's list, which Docker checks against.
const SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// Architectures that may stand alone (`--platform=arm64`).
const ARCHITECTURES: [&str; 25] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
    "wasm32",
];

/// The rank of an image that names no variant, or no platform at all: anything that says more is better.
const UNSPECIFIC: u32 = 1000;

impl Platform {
    /// Returns the platform this binary was built for, on Linux.
    pub fn host() -> Self {
        let little = cfg!(target_endian = "little");
        let architecture = match std::env::consts::ARCH {
            "x86" => "386",
            "powerpc64" if little => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            "mips64" if little => "mips64le",
            other => other,
        };
        Self::normalized("linux", architecture, None)
    }

    /// Normalizes the fields of a descriptor or a configuration. An empty operating system is Linux: images from
    /// before the field existed.
    pub fn normalized(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = match os.to_ascii_lowercase().as_str() {
            "" => "linux".to_owned(),
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let variant = variant.map(str::to_ascii_lowercase).filter(|v| !v.is_empty());
        let (architecture, variant) = normalized_machine(&architecture.to_ascii_lowercase(), variant);
        Self { os, architecture, variant }
    }

    /// True if Docker knows the operating system and the architecture by name. Others are allowed.
    pub fn is_known(&self) -> bool {
        SYSTEMS.contains(&self.os.as_str()) && ARCHITECTURES.contains(&self.architecture.as_str())
    }

    /// Returns the platform a descriptor names, if it names one.
    pub fn of(descriptor: &Descriptor) -> Option<Self> {
        let platform = descriptor.platform().as_ref()?;
        let (os, architecture) = (platform.os().to_string(), platform.architecture().to_string());
        Some(Self::normalized(&os, &architecture, platform.variant().as_deref()))
    }

    /// Ranks `self` as an image for a machine of platform `wanted`: `None` if it cannot run there, else smaller is
    /// better (0: exact). Lower variants of arm and amd64 run on higher ones.
    pub fn rank_for(&self, wanted: &Self) -> Option<u32> {
        if self.os != wanted.os || self.architecture != wanted.architecture {
            return None;
        }
        if self.variant == wanted.variant {
            return Some(0);
        }
        if let (Some(image), Some(machine)) = (self.level(), wanted.level()) {
            return machine.checked_sub(image);
        }
        self.variant.is_none().then_some(UNSPECIFIC)
    }

    /// Picks from the manifests of an index the best one for a machine of this platform, the first of equals.
    ///
    /// A descriptor that names no platform is taken only if no other fits: an OCI layout often has one such image, and
    /// only its configuration tells. Attestations (platform `unknown/unknown`) are never taken.
    pub fn select<'a>(&self, manifests: &'a [Descriptor]) -> Result<&'a Descriptor, NoSuchPlatform> {
        let images = || manifests.iter().filter(|m| !is_attestation(m)).map(|m| (m, Self::of(m)));
        let rank = |(manifest, platform): (&'a Descriptor, Option<Self>)| {
            let rank = platform.map_or(Some(u32::MAX), |p| p.rank_for(self))?;
            Some((rank, manifest))
        };
        let best = images().filter_map(rank).min_by_key(|(rank, _)| *rank);
        best.map(|(_, manifest)| manifest).ok_or_else(|| {
            let mut available: Vec<_> = images().filter_map(|(_, platform)| platform).collect();
            available.sort();
            available.dedup();
            NoSuchPlatform { wanted: self.clone(), available }
        })
    }

    /// Returns the number of an architecture's variant where higher machines run what is made for lower ones.
    fn level(&self) -> Option<u32> {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("amd64", None) => Some(1),
            ("amd64" | "arm", Some(variant)) => variant.strip_prefix('v')?.parse().ok(),
            _ => None,
        }
    }
}

/// True for a manifest of an index that describes another one instead of being an image.
pub fn is_attestation(manifest: &Descriptor) -> bool {
    let reference_type =
        manifest.annotations().as_ref().and_then(|annotations| annotations.get("vnd.docker.reference.type"));
    reference_type.is_some_and(|kind| kind == "attestation-manifest")
        || Platform::of(manifest).is_some_and(|p| p.os == "unknown" && p.architecture == "unknown")
}

fn normalized_machine(architecture: &str, variant: Option<String>) -> (String, Option<String>) {
    let (architecture, variant) = match architecture {
        "i386" => ("386", None),
        "x86_64" | "x86-64" | "amd64" => ("amd64", variant.filter(|v| v != "v1" && v != "1")),
        "aarch64" | "arm64" => ("arm64", variant.filter(|v| v != "v8" && v != "8" && v != "v8.0")),
        "armhf" => ("arm", Some("v7".to_owned())),
        "armel" => ("arm", Some("v6".to_owned())),
        "arm" => ("arm", Some(variant.unwrap_or_else(|| "v7".to_owned()))),
        other => (other, variant),
    };
    let numbered = |v: String| if matches!(v.as_str(), "5" | "6" | "7" | "8") { format!("v{v}") } else { v };
    let variant = if architecture == "arm" { variant.map(numbered) } else { variant };
    (architecture.to_owned(), variant)
}

/// `os[/arch[/variant]]`; a single word is a known operating system or architecture.
impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let invalid = |reason| InvalidPlatform { text: text.to_owned(), reason };
        if text.contains('*') {
            return Err(invalid("wildcards are not allowed"));
        }
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(invalid("expected `os/architecture[/variant]`, and no part of it empty"));
        }
        let proper = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if parts.iter().any(|part| !part.chars().all(proper)) {
            return Err(invalid("only letters, digits, `-`, `_` and `.` may stand between the slashes"));
        }
        match parts[..] {
            [word] => single(word).ok_or_else(|| invalid("neither an operating system nor an architecture known here")),
            [os, architecture] => Ok(Self::normalized(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::normalized(os, architecture, Some(variant))),
            _ => Err(invalid("more than `os/architecture/variant`")),
        }
    }
}

/// Reads a word that stands alone; what it leaves out is this machine's.
fn single(word: &str) -> Option<Platform> {
    let host = Platform::host();
    let as_system = Platform::normalized(word, &host.architecture, host.variant.as_deref());
    if SYSTEMS.contains(&as_system.os.as_str()) {
        return Some(as_system);
    }
    let as_machine = Platform::normalized(&host.os, word, None);
    ARCHITECTURES.contains(&as_machine.architecture.as_str()).then_some(as_machine)
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |v| write!(f, "/{v}"))
    }
}

fn there_is(available: &[Platform]) -> String {
    if available.is_empty() {
        return String::new();
    }
    let names: Vec<String> = available.iter().map(Platform::to_string).collect();
    format!("; there is {}", names.join(", "))
}

#[cfg(test)]
mod tests;
