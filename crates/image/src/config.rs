//! The image configuration: OCI's fields (image-spec config.md) and those Docker adds.
//!
//! A configuration that was pulled or loaded is kept as its raw bytes in the store; this is the working form.
//!
//! Reading is lenient: Go writes empty lists and maps as `null`, and what other builders add is kept. Writing is not:
//! the same value gives the same bytes, in BuildKit's order: at the top sorted, below in that of Go's image-spec.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{Digest, Error, Platform};

/// The largest configuration that is read. Real ones have a few kilobytes.
pub const MAX_CONFIG: usize = 4 << 20;

/// What builders leave at the top level about how they made an image. It would be wrong for any image built on it:
/// the classic builder's container and parent, and BuildKit's records of its own layers.
const LEFTOVERS: [&str; 9] = [
    "Size",
    "container",
    "container_config",
    "docker_version",
    "id",
    "moby.buildkit.buildinfo.v1",
    "moby.buildkit.cache.v0",
    "parent",
    "throwaway",
];

/// The whole document. Unknown fields of a base image are kept in `other`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ImageConfig {
    #[serde(default, deserialize_with = "null_default")]
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(default, deserialize_with = "null_default")]
    pub config: ContainerConfig,
    /// RFC 3339, as it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub history: Vec<History>,
    #[serde(default, deserialize_with = "null_default")]
    pub os: String,
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    #[serde(default, deserialize_with = "null_default")]
    pub rootfs: RootFs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Fields that Kiln does not know, but for those that tell how another builder made the image.
    #[serde(flatten, deserialize_with = "without_leftovers")]
    pub other: BTreeMap<String, Value>,
}

/// What a container of the image starts with.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub user: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_default")]
    pub exposed_ports: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "word_or_list")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "word_or_list")]
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_default")]
    pub volumes: BTreeMap<String, Empty>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_default")]
    pub args_escaped: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub on_build: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "word_or_list")]
    pub shell: Option<Vec<String>>,
    /// Fields that Kiln does not know (`Hostname`, `Image`, …), as they were.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// The empty object that OCI uses as a set's value.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Empty {}

/// How to test that a container works; durations in nanoseconds, 0 for the default.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_default")]
    pub interval: i64,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_default")]
    pub timeout: i64,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_default")]
    pub start_period: i64,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_default")]
    pub start_interval: i64,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_default")]
    pub retries: i64,
}

/// The stack of layers by diff ID.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "null_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

/// One line of `docker history`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_default")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Reads a configuration as any builder writes it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_CONFIG {
            let (size, limit) = (bytes.len() as u64, MAX_CONFIG as u64);
            return Err(Error::TooLarge { what: "image configuration".to_owned(), size, limit });
        }
        serde_json::from_slice(bytes).map_err(|source| Error::Json { what: "image configuration".to_owned(), source })
    }

    /// Writes the configuration. The same value gives the same bytes, those that BuildKit writes if it has no fields
    /// that BuildKit does not know.
    pub fn to_json(&self) -> Vec<u8> {
        let json = serde_json::to_string(self);
        escaped_as_go_does(&json.expect("every map has strings for keys, and writing to memory does not fail"))
    }

    /// Returns the platform the image is for.
    pub fn platform(&self) -> Platform {
        Platform::normalized(&self.os, &self.architecture, self.variant.as_deref())
    }

    /// Returns the layers by diff ID, lowest first.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.rootfs.diff_ids
    }
}

/// Escapes what Go's encoder does so that JSON can stand in HTML. Outside of strings JSON has none of it.
fn escaped_as_go_does(json: &str) -> Vec<u8> {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out.into_bytes()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// Go writes empty lists and maps as `null`.
fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Docker takes a single string where it writes a list of arguments (its `strslice` type), and leaves out an empty list.
fn word_or_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum WordOrList {
        Word(String),
        List(Vec<String>),
    }
    let value = Option::deserialize(deserializer)?;
    let list = value.map(|value| match value {
        WordOrList::Word(word) => vec![word],
        WordOrList::List(list) => list,
    });
    Ok(list.filter(|list| !list.is_empty()))
}

fn without_leftovers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Value>, D::Error> {
    let mut other = BTreeMap::<String, Value>::deserialize(deserializer)?;
    other.retain(|name, _| !LEFTOVERS.contains(&name.as_str()));
    Ok(other)
}

#[cfg(test)]
mod tests;
