//! Writing manifests: fixed field order, sorted annotations, so that equal images have equal digests.

use std::collections::BTreeMap;

use oci_spec::image::Descriptor;
use serde::Serialize;

use super::Manifest;
use crate::Error;
use crate::media_type::Style;

impl Manifest {
    /// Makes the manifest of an image. Media types of configuration and layers are translated to `style`, whichever
    /// they were. Docker's manifests have no annotations; there they are left out, as BuildKit does.
    pub fn build(
        config: &Descriptor,
        layers: &[Descriptor],
        style: Style,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let document = ManifestDocument {
            schema_version: 2,
            media_type: style.manifest(),
            config: AnyDescriptor::translated(config, style),
            layers: layers.iter().map(|layer| AnyDescriptor::translated(layer, style)).collect(),
            annotations: borrowed(annotations, style),
        };
        Self::parse(to_json(&document), Some(style.manifest()))
    }

    /// Makes an index of manifests, in the given order. Entries name their platforms
    /// ([`with_platform`](crate::descriptor::with_platform)).
    pub fn build_index(
        manifests: &[Descriptor],
        style: Style,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let document = IndexDocument {
            schema_version: 2,
            media_type: style.index(),
            manifests: manifests.iter().map(AnyDescriptor::new).collect(),
            annotations: borrowed(annotations, style),
        };
        Self::parse(to_json(&document), Some(style.index()))
    }
}

/// Writes the `index.json` of a layout: entries may be another writer's, kept as they are.
pub(crate) fn index_json<T: Serialize>(manifests: Vec<T>) -> Vec<u8> {
    let document =
        IndexDocument { schema_version: 2, media_type: Style::Oci.index(), manifests, annotations: BTreeMap::new() };
    serde_json::to_vec(&document).expect("strings and numbers are always JSON")
}

/// Indented by two, as BuildKit's: people look at manifests.
fn to_json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(document).expect("strings and numbers are always JSON")
}

fn borrowed(annotations: &BTreeMap<String, String>, style: Style) -> BTreeMap<&str, &str> {
    let kept = annotations.iter().filter(|_| style == Style::Oci);
    kept.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestDocument<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: AnyDescriptor<'a>,
    layers: Vec<AnyDescriptor<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexDocument<'a, T> {
    schema_version: u32,
    media_type: &'a str,
    manifests: Vec<T>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
}

/// A descriptor in the field order of Go's image-spec, its annotations sorted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnyDescriptor<'a> {
    media_type: &'a str,
    digest: &'a str,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    urls: Option<&'a [String]>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<PlatformDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct PlatformDocument<'a> {
    architecture: String,
    os: String,
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    os_version: Option<&'a str>,
    #[serde(rename = "os.features", skip_serializing_if = "Option::is_none")]
    os_features: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
}

impl<'a> AnyDescriptor<'a> {
    pub(crate) fn new(descriptor: &'a Descriptor) -> Self {
        let annotations = descriptor.annotations().iter().flatten();
        let platform = descriptor.platform().as_ref().map(|platform| PlatformDocument {
            architecture: platform.architecture().to_string(),
            os: platform.os().to_string(),
            os_version: platform.os_version().as_deref(),
            os_features: platform.os_features().as_deref(),
            variant: platform.variant().as_deref(),
        });
        Self {
            media_type: descriptor.media_type().as_ref(),
            digest: descriptor.digest().as_ref(),
            size: descriptor.size(),
            urls: descriptor.urls().as_deref(),
            annotations: annotations.map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            data: descriptor.data().as_deref(),
            platform,
            artifact_type: descriptor.artifact_type().as_ref().map(AsRef::as_ref),
        }
    }

    fn translated(descriptor: &'a Descriptor, style: Style) -> Self {
        let mut document = Self::new(descriptor);
        document.media_type = style.translate(document.media_type);
        if style == Style::Docker {
            document.annotations.clear();
        }
        document
    }
}
