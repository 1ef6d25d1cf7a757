//! Descriptors: making them, and what every reader of one needs.

use oci_spec::image::{Arch, Descriptor, MediaType, Os, PlatformBuilder};

use crate::digest::InvalidDigest;
use crate::{Digest, Platform};

/// The name of an image in an index: all of it, as containerd and BuildKit write it.
pub const IMAGE_NAME: &str = "io.containerd.image.name";

/// The name of an image in an index: its tag, or whatever the writer calls it (image-spec annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Makes a descriptor with nothing but what is required.
pub fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor::new(MediaType::from(media_type), size, sha256(&digest))
}

/// Returns the digest of a descriptor. Other algorithms than SHA-256 are not supported.
pub fn digest_of(descriptor: &Descriptor) -> Result<Digest, InvalidDigest> {
    descriptor.digest().as_ref().parse()
}

/// Returns a descriptor of an index entry for `platform`.
#[must_use]
pub fn with_platform(mut descriptor: Descriptor, platform: &Platform) -> Descriptor {
    let mut named = PlatformBuilder::default()
        .os(Os::from(platform.os.as_str()))
        .architecture(Arch::from(platform.architecture.as_str()));
    if let Some(variant) = &platform.variant {
        named = named.variant(variant.as_str());
    }
    descriptor.set_platform(named.build().ok());
    descriptor
}

/// Returns the value of an annotation.
pub(crate) fn annotation<'a>(descriptor: &'a Descriptor, name: &str) -> Option<&'a str> {
    descriptor.annotations().as_ref()?.get(name).map(String::as_str)
}

fn sha256(digest: &Digest) -> oci_spec::image::Digest {
    let hex: oci_spec::image::Sha256Digest =
        digest.hex().parse().expect("64 lower-case hexadecimal digits are a SHA-256");
    hex.into()
}
