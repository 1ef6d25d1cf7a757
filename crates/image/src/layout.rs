//! OCI image layouts (image-spec image-layout.md): a directory, or a tar of one.
//!
//! Writing: [`write_dir`] adds to what is there, [`write_tar`] makes a tar whose bytes depend on the images alone.
//! Reading: [`Layout`] a directory, [`archive::load`](crate::archive::load) a tar.

use oci_spec::image::Descriptor;

use crate::descriptor::{IMAGE_NAME, REF_NAME, annotation};
use crate::graph::is_manifest;
use crate::{Digest, Error, Reference};

mod dir;
mod tarball;

pub use dir::{Layout, read_dir, write_dir};
pub use tarball::write_tar;
pub(crate) use tarball::{Source, blob_name, write_members};

/// The content of the file `oci-layout`.
pub(crate) const OCI_LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// How many entries an `index.json` may have.
const MAX_ENTRIES: usize = 10_000;

/// An image or index to write, and the names it gets.
#[derive(Clone, Debug)]
pub struct Named {
    pub target: Descriptor,
    pub names: Vec<Reference>,
}

/// An image or index that was found in a layout or an archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loaded {
    /// Full names, as far as the archive gives any.
    pub names: Vec<Reference>,
    /// What `org.opencontainers.image.ref.name` says, often a tag alone.
    pub ref_names: Vec<String>,
    /// Of the manifest or index, without the annotations that named it.
    pub manifest: Descriptor,
}

impl Named {
    /// Returns the entries of an index: one for each name, as buildx writes them, or one without a name.
    pub(crate) fn entries(&self) -> Vec<Descriptor> {
        let named = |name: &Reference| {
            let name = name.clone().or_latest();
            let mut annotations = self.target.annotations().clone().unwrap_or_default();
            annotations.insert(IMAGE_NAME.to_owned(), name.to_string());
            annotations.extend(name.tag.map(|tag| (REF_NAME.to_owned(), tag)));
            let mut entry = self.target.clone();
            entry.set_annotations(Some(annotations));
            entry
        };
        if self.names.is_empty() {
            return vec![self.target.clone()];
        }
        self.names.iter().map(named).collect()
    }
}

/// Picks one of several images by tag, name or digest of its manifest; with none wanted, the only one there is.
pub fn choose<'a>(images: &'a [Loaded], wanted: Option<&str>) -> Result<&'a Loaded, Error> {
    let refused = |wanted: String| {
        let available: Vec<String> = images.iter().map(Loaded::describe).collect();
        Error::Choice { wanted, available: if available.is_empty() { "none".to_owned() } else { available.join(", ") } }
    };
    let Some(wanted) = wanted else {
        return match images {
            [image] => Ok(image),
            _ => Err(refused("there is not exactly one image to take".to_owned())),
        };
    };
    let by_ref_name = images.iter().find(|image| image.ref_names.iter().any(|name| name == wanted));
    let found = by_ref_name.or_else(|| images.iter().find(|image| image.is_called(wanted)));
    found.ok_or_else(|| refused(format!("no image is called `{wanted}`")))
}

impl Loaded {
    fn is_called(&self, wanted: &str) -> bool {
        let digest = wanted.rsplit('@').next().and_then(|digest| digest.parse::<Digest>().ok());
        if let Some(digest) = digest {
            return self.manifest.digest().as_ref() == digest.to_string();
        }
        let name = wanted.parse::<Reference>().map(Reference::or_latest).ok();
        self.names.iter().any(|known| known.tag.as_deref() == Some(wanted) || Some(known) == name.as_ref())
    }

    /// Names the image for a message.
    fn describe(&self) -> String {
        let names = self.names.iter().map(Reference::familiar).chain(self.ref_names.iter().cloned());
        names.map(|name| format!("`{name}`")).next().unwrap_or_else(|| self.manifest.digest().to_string())
    }
}

/// Reads the entries of an `index.json`: one for each image, with all of its names.
pub(crate) fn images(entries: &[Descriptor]) -> Result<Vec<Loaded>, Error> {
    if entries.len() > MAX_ENTRIES {
        let count = entries.len();
        return Err(Error::NotAnArchive(format!("`index.json` has {count} entries, more than {MAX_ENTRIES}")));
    }
    let mut images: Vec<Loaded> = Vec::new();
    for entry in entries.iter().filter(|entry| is_manifest(entry)) {
        let (name, ref_name) = entry_names(entry)?;
        let known = images.iter().position(|image| image.manifest.digest() == entry.digest());
        let index = known.unwrap_or_else(|| {
            images.push(Loaded { names: Vec::new(), ref_names: Vec::new(), manifest: without_names(entry) });
            images.len() - 1
        });
        let image = &mut images[index];
        image.names.extend(name.filter(|name| !image.names.contains(name)));
        image.ref_names.extend(ref_name.filter(|name| !image.ref_names.contains(name)));
    }
    Ok(images)
}

/// Reads the full name and the short one of an entry.
fn entry_names(entry: &Descriptor) -> Result<(Option<Reference>, Option<String>), Error> {
    let ref_name = annotation(entry, REF_NAME).filter(|name| !name.is_empty());
    let full = match (annotation(entry, IMAGE_NAME), ref_name) {
        (Some(full), Some(tag)) => {
            // umoci gives an image a new tag and leaves the full name it does not know: the tag is what was meant.
            let full: Reference = full.parse()?;
            Some(full.clone().with_tag(tag).unwrap_or(full))
        }
        (Some(full), None) => Some(full.parse()?),
        // podman and skopeo put the full name where others put the tag.
        (None, Some(name)) if name.contains(['/', ':']) => name.parse().ok(),
        _ => None,
    };
    Ok((full.map(Reference::or_latest), ref_name.map(str::to_owned)))
}

fn without_names(entry: &Descriptor) -> Descriptor {
    let mut descriptor = entry.clone();
    let mut annotations = entry.annotations().clone().unwrap_or_default();
    annotations.retain(|name, _| name != IMAGE_NAME && name != REF_NAME);
    descriptor.set_annotations(Some(annotations).filter(|left| !left.is_empty()));
    descriptor
}

#[cfg(test)]
mod tests;
