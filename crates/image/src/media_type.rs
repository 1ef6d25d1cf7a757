//! Media types of manifests, configurations and layers, OCI's and Docker's.

use crate::layer::{Compression, Format};

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

/// All that a registry may be asked for, in the order they are preferred: the value of an `Accept` header, joined.
pub const MANIFESTS: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// The manifests before 2016, which name no configuration.
pub(crate) const DOCKER_SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// Whose media types a manifest uses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Style {
    #[default]
    Oci,
    Docker,
}

/// How the tar of a layer is compressed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum LayerEncoding {
    Plain,
    Gzip,
    Zstd,
}

impl LayerEncoding {
    /// Reads the media type of a layer; `None` if it is not one. Layers that may not be distributed (Docker's *foreign*
    /// layers) are layers like any other.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            OCI_LAYER
            | DOCKER_LAYER
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar" => Some(Self::Plain),
            OCI_LAYER_GZIP
            | DOCKER_LAYER_GZIP
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Some(Self::Gzip),
            OCI_LAYER_ZSTD
            | DOCKER_LAYER_ZSTD
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Returns how a layer of this format is named; `None` for what no media type is for.
    pub fn of_format(format: Format) -> Option<Self> {
        match format {
            Format::Plain => Some(Self::Plain),
            Format::Gzip => Some(Self::Gzip),
            Format::Zstd => Some(Self::Zstd),
            Format::Bzip2 | Format::Xz => None,
        }
    }

    /// Returns the media type of a layer.
    pub fn media_type(self, style: Style) -> &'static str {
        match (style, self) {
            (Style::Oci, Self::Plain) => OCI_LAYER,
            (Style::Oci, Self::Gzip) => OCI_LAYER_GZIP,
            (Style::Oci, Self::Zstd) => OCI_LAYER_ZSTD,
            (Style::Docker, Self::Plain) => DOCKER_LAYER,
            (Style::Docker, Self::Gzip) => DOCKER_LAYER_GZIP,
            (Style::Docker, Self::Zstd) => DOCKER_LAYER_ZSTD,
        }
    }
}

impl From<Compression> for LayerEncoding {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::Plain,
            Compression::Gzip { .. } => Self::Gzip,
            Compression::Zstd { .. } => Self::Zstd,
        }
    }
}

impl Style {
    /// Returns the media type of a manifest.
    pub fn manifest(self) -> &'static str {
        if self == Self::Oci { OCI_MANIFEST } else { DOCKER_MANIFEST }
    }

    /// Returns the media type of an index.
    pub fn index(self) -> &'static str {
        if self == Self::Oci { OCI_INDEX } else { DOCKER_LIST }
    }

    /// Returns the media type of a configuration.
    pub fn config(self) -> &'static str {
        if self == Self::Oci { OCI_CONFIG } else { DOCKER_CONFIG }
    }

    /// Returns what `media_type` is called in this style; itself if it belongs to neither.
    pub(crate) fn translate(self, media_type: &str) -> &str {
        match media_type {
            OCI_CONFIG | DOCKER_CONFIG => self.config(),
            OCI_MANIFEST | DOCKER_MANIFEST => self.manifest(),
            OCI_LAYER | OCI_LAYER_GZIP | OCI_LAYER_ZSTD | DOCKER_LAYER | DOCKER_LAYER_GZIP | DOCKER_LAYER_ZSTD => {
                LayerEncoding::of_media_type(media_type).map_or(media_type, |encoding| encoding.media_type(self))
            }
            _ => media_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_called_alike_by_all_who_name_them() {
        for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
            let encoding = LayerEncoding::from(compression);
            assert_eq!(encoding.media_type(Style::Oci), compression.layer_media_type());
            for style in [Style::Oci, Style::Docker] {
                assert_eq!(LayerEncoding::of_media_type(encoding.media_type(style)), Some(encoding));
            }
        }
    }

    #[test]
    fn styles_translate_into_each_other_and_leave_the_rest() {
        for (oci, docker) in [
            (OCI_CONFIG, DOCKER_CONFIG),
            (OCI_MANIFEST, DOCKER_MANIFEST),
            (OCI_LAYER, DOCKER_LAYER),
            (OCI_LAYER_GZIP, DOCKER_LAYER_GZIP),
            (OCI_LAYER_ZSTD, DOCKER_LAYER_ZSTD),
        ] {
            for from in [oci, docker] {
                assert_eq!((Style::Oci.translate(from), Style::Docker.translate(from)), (oci, docker));
            }
        }
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        assert_eq!(Style::Oci.translate(foreign), foreign);
        assert_eq!(Style::Oci.index(), OCI_INDEX);
        assert_eq!(Style::Docker.index(), DOCKER_LIST);
    }
}
