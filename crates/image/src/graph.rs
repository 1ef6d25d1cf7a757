//! Which blobs an image is made of.

use std::collections::BTreeSet;
use std::io;

use oci_spec::image::Descriptor;

use crate::blobs::{BlobSink, Blobs, read_small};
use crate::descriptor::digest_of;
use crate::manifest::{MAX_MANIFEST, Manifest, Parsed};
use crate::media_type::MANIFESTS;
use crate::platform::is_attestation;
use crate::{Digest, Error};

/// How deep indexes may refer to indexes. Two are in use.
const MAX_DEPTH: usize = 4;

/// How many blobs images of all platforms may have.
const MAX_BLOBS: usize = 100_000;

/// A blob of an image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    pub digest: Digest,
    pub size: u64,
    /// What it is needed as: `layer 2 of manifest sha256:…`.
    pub role: String,
}

/// Reads the manifest or index that `target` names, and checks that it is the one.
pub fn read_manifest(blobs: &(impl Blobs + ?Sized), target: &Descriptor) -> Result<Manifest, Error> {
    let digest = sha256(target, "manifest")?;
    let read = read_small(blobs, &digest, MAX_MANIFEST);
    let bytes = read.map_err(|error| missing(error, digest, "a manifest".to_owned()))?;
    let (actual, expected) = (bytes.len() as u64, target.size());
    if actual != expected {
        return Err(Error::BlobSize { digest, expected, actual });
    }
    if Digest::of(&bytes) != digest {
        let reason = format!("it is damaged: its bytes have the digest {}", Digest::of(&bytes));
        return Err(Error::Manifest { digest, reason });
    }
    Manifest::parse(bytes, Some(target.media_type().as_ref()))
}

/// Returns all blobs of the image or index `target`, each once and after those it refers to; `target` is the last.
/// All of them are there and have the sizes that are said of them.
///
/// An index may name images that are not there, as long as one is: what `docker save` makes of an image that was
/// pulled for one platform. Of what is there, nothing may lack.
pub fn parts(blobs: &(impl Blobs + ?Sized), target: &Descriptor) -> Result<Vec<Part>, Error> {
    parts_of_all(blobs, [target])
}

/// Returns all blobs of several images as [`parts`] does, shared ones once.
pub fn parts_of_all<'a>(
    blobs: &(impl Blobs + ?Sized),
    targets: impl IntoIterator<Item = &'a Descriptor>,
) -> Result<Vec<Part>, Error> {
    let mut walk = Walk { blobs, seen: BTreeSet::new(), parts: Vec::new() };
    targets.into_iter().try_for_each(|target| walk.manifest(target, 0))?;
    Ok(walk.parts)
}

/// Copies an image or index with all it refers to; each blob is verified by the sink.
pub fn copy(from: &(impl Blobs + ?Sized), to: &(impl BlobSink + ?Sized), target: &Descriptor) -> Result<(), Error> {
    for part in parts(from, target)? {
        let put = from.open(&part.digest).and_then(|mut data| to.put(Some((part.digest, part.size)), &mut data));
        put.map_err(Error::io(format!("copy {}", part.role)))?;
    }
    Ok(())
}

/// True for a descriptor of a manifest or an index.
pub(crate) fn is_manifest(descriptor: &Descriptor) -> bool {
    MANIFESTS.contains(&descriptor.media_type().as_ref())
}

struct Walk<'a, B: ?Sized> {
    blobs: &'a B,
    seen: BTreeSet<Digest>,
    parts: Vec<Part>,
}

impl<B: Blobs + ?Sized> Walk<'_, B> {
    fn manifest(&mut self, target: &Descriptor, depth: usize) -> Result<(), Error> {
        let digest = sha256(target, "manifest")?;
        if self.seen.contains(&digest) {
            return Ok(());
        }
        let unusable = |reason: &str| Error::Manifest { digest, reason: reason.to_owned() };
        if depth > MAX_DEPTH {
            return Err(unusable("it is an index in an index in an index…"));
        }
        let manifest = read_manifest(self.blobs, target)?;
        match &manifest.parsed {
            Parsed::Image(image) => {
                for (number, layer) in image.layers().iter().enumerate() {
                    self.blob(layer, format!("layer {} of manifest {digest}", number + 1))?;
                }
                self.blob(image.config(), format!("configuration of manifest {digest}"))?;
            }
            Parsed::Index(index) => {
                let present = self.present(index.manifests())?;
                if !index.manifests().is_empty() && !present.iter().any(|m| !is_attestation(m)) {
                    let first = sha256(&index.manifests()[0], "manifest")?;
                    return Err(Error::MissingBlob { digest: first, role: format!("a manifest of index {digest}") });
                }
                for child in present {
                    self.child(child, digest, depth)?;
                }
            }
        }
        self.add(digest, target.size(), format!("manifest {digest}"))
    }

    fn child(&mut self, child: &Descriptor, parent: Digest, depth: usize) -> Result<(), Error> {
        if is_manifest(child) {
            return self.manifest(child, depth + 1);
        }
        self.blob(child, format!("`{}` of index {parent}", child.media_type()))
    }

    /// Returns the entries of an index whose own blob is there.
    fn present<'d>(&self, manifests: &'d [Descriptor]) -> Result<Vec<&'d Descriptor>, Error> {
        let mut present = Vec::new();
        for manifest in manifests {
            let digest = sha256(manifest, "manifest")?;
            match self.blobs.size(&digest) {
                Ok(_) => present.push(manifest),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::Io { what: format!("look for manifest {digest}"), source }),
            }
        }
        Ok(present)
    }

    fn blob(&mut self, target: &Descriptor, role: String) -> Result<(), Error> {
        let digest = sha256(target, &role)?;
        if self.seen.contains(&digest) {
            return Ok(());
        }
        let actual = self.blobs.size(&digest).map_err(|error| missing(error, digest, role.clone()))?;
        if actual != target.size() {
            return Err(Error::BlobSize { digest, expected: target.size(), actual });
        }
        self.add(digest, actual, role)
    }

    fn add(&mut self, digest: Digest, size: u64, role: String) -> Result<(), Error> {
        if self.parts.len() >= MAX_BLOBS {
            return Err(Error::Manifest { digest, reason: format!("there are more than {MAX_BLOBS} blobs") });
        }
        self.seen.insert(digest);
        self.parts.push(Part { digest, size, role });
        Ok(())
    }
}

fn missing(error: io::Error, digest: Digest, role: String) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::MissingBlob { digest, role },
        _ => Error::Io { what: format!("read blob {digest}, {role}"), source: error },
    }
}

fn sha256(descriptor: &Descriptor, role: &str) -> Result<Digest, Error> {
    digest_of(descriptor).map_err(|error| Error::Io {
        what: format!("read {role}"),
        source: io::Error::new(io::ErrorKind::Unsupported, error),
    })
}
