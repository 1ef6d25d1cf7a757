//! Names of images: one small JSON file each.
//!
//! `refs/<registry>/<repository>/:<tag>` or `…/@<digest>`: the first character keeps `a/b:c` apart from `a:b`, since no
//! component of a repository begins with either.

use image::descriptor::digest_of;
use image::manifest::{MAX_MANIFEST, Manifest};
use image::{Descriptor, Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::draft::draft_name;
use crate::files::{check_component, parent};
use crate::{DraftId, Error, Result, Store, blob};

const REFS: &str = "refs";
const VERSION: u32 = 1;
const LIMIT: u64 = 1 << 20;

/// The file of a name.
#[derive(Debug, Deserialize, Serialize)]
struct RefFile {
    version: u32,
    #[serde(flatten)]
    target: TargetFile,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::large_enum_variant, reason = "there are few at a time, and none lives long")]
enum TargetFile {
    Manifest(Descriptor),
    Draft(String),
}

/// What a name stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there are few at a time, and none lives long")]
pub enum Target {
    /// A manifest or an index.
    Manifest(Descriptor),
    /// An image that was built here, packed or not: [`Store::assembled`] tells.
    Draft(DraftId),
}

impl From<&Descriptor> for Target {
    fn from(descriptor: &Descriptor) -> Self {
        Self::Manifest(descriptor.clone())
    }
}

impl From<&DraftId> for Target {
    fn from(draft: &DraftId) -> Self {
        Self::Draft(*draft)
    }
}

impl Store {
    /// Names a manifest, an index or a draft that is in the store. A name with a digest, which has to be the manifest's, is
    /// kept as such; one with neither tag nor digest gets the tag `latest`.
    pub fn tag(&self, name: &Reference, target: impl Into<Target>) -> Result<()> {
        let target = target.into();
        let fails = |reason: String| Error::Tag { name: name.to_string(), reason };
        let file = file_of(name)?;
        match self.manifest_of(&target)? {
            Some(manifest) => {
                let digest = digest_of(&manifest).map_err(|error| fails(error.to_string()))?;
                if name.digest.is_some_and(|named| named != digest) {
                    return Err(fails(format!("the manifest is {digest}")));
                }
            }
            None if name.digest.is_some() => return Err(fails("the image has no digest yet".to_owned())),
            None => {}
        }
        let target = match target {
            Target::Manifest(manifest) => {
                let digest = digest_of(&manifest).map_err(|error| fails(error.to_string()))?;
                if !self.has_blob(&digest) {
                    return Err(Error::MissingBlob(digest));
                }
                TargetFile::Manifest(manifest)
            }
            Target::Draft(id) if self.dir().exists(&draft_name(&id)) => TargetFile::Draft(id.to_string()),
            Target::Draft(id) => return Err(Error::MissingDraft(id)),
        };
        let content = RefFile { version: VERSION, target };
        let bytes = serde_json::to_vec(&content).map_err(|error| fails(error.to_string()))?;
        self.put_file(&file, &bytes)
    }

    /// Returns what a name stands for, if that is in the store.
    pub fn target(&self, name: &Reference) -> Result<Option<Target>> {
        if name.digest.is_some() {
            return Ok(self.resolve(name)?.map(Target::Manifest));
        }
        let target = self.read_reference(&file_of(name)?)?;
        Ok(target.filter(|target| match target {
            Target::Manifest(manifest) => digest_of(manifest).is_ok_and(|digest| self.has_blob(&digest)),
            Target::Draft(id) => self.dir().exists(&draft_name(id)),
        }))
    }

    /// Returns the manifest or index that a name (with a tag or a digest) stands for, if that is in the store: a draft may
    /// have none yet. A digest is found under any name of the repository, and as a bare manifest.
    pub fn resolve(&self, name: &Reference) -> Result<Option<Descriptor>> {
        let target = match name.digest {
            None => match self.read_reference(&file_of(name)?)? {
                Some(target) => self.manifest_of(&target)?,
                None => None,
            },
            Some(digest) => match self.named_by(name, &digest)? {
                Some(target) => Some(target),
                None => self.describe_manifest(&digest)?,
            },
        };
        Ok(target.filter(|target| digest_of(target).is_ok_and(|digest| self.has_blob(&digest))))
    }

    /// Returns the manifest or index of what a name stands for, as far as there is one already.
    pub fn manifest_of(&self, target: &Target) -> Result<Option<Descriptor>> {
        match target {
            Target::Manifest(manifest) => Ok(Some(manifest.clone())),
            Target::Draft(id) => self.assembled(id),
        }
    }

    /// Returns all names, sorted.
    pub fn references(&self) -> Result<Vec<(Reference, Target)>> {
        let mut out = Vec::new();
        for file in self.reference_files()? {
            if let (Some(name), Some(target)) = (name_of(&file), self.read_reference(&file)?) {
                out.push((name, target));
            }
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(out)
    }

    /// Removes a name; false if it was not there.
    pub fn untag(&self, name: &Reference) -> Result<bool> {
        let file = file_of(name)?;
        let removed = self.dir().unlink(&file)?;
        let mut directory = parent(&file);
        while directory.contains('/') && self.dir().rmdir(directory)? {
            directory = parent(directory);
        }
        Ok(removed)
    }

    /// Returns a descriptor of the manifest or index with this digest, if it is in the store.
    pub fn describe_manifest(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        // Any digest may be asked for, that of a large layer too.
        let bytes = match self.read_blob(digest, MAX_MANIFEST as u64) {
            Ok(bytes) => bytes,
            Err(Error::MissingBlob(_) | Error::BlobTooLarge { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Manifest::parse(bytes, None).ok().map(|manifest| manifest.descriptor()))
    }

    fn named_by(&self, name: &Reference, digest: &Digest) -> Result<Option<Descriptor>> {
        let repository = directory_of(name)?;
        for file in self.dir().list(&repository)?.into_iter().filter(|file| file.starts_with([':', '@'])) {
            let Some(target) = self.read_reference(&format!("{repository}/{file}"))? else { continue };
            let manifest = self.manifest_of(&target)?;
            if manifest.as_ref().is_some_and(|manifest| digest_of(manifest).as_ref() == Ok(digest)) {
                return Ok(manifest);
            }
        }
        Ok(None)
    }

    /// A damaged file names nothing.
    pub(crate) fn read_reference(&self, file: &str) -> Result<Option<Target>> {
        let Some(bytes) = self.dir().read(file, LIMIT)? else { return Ok(None) };
        let target = match serde_json::from_slice(&bytes) {
            Ok(RefFile { version: VERSION, target: TargetFile::Manifest(target) }) => Some(Target::Manifest(target)),
            Ok(RefFile { version: VERSION, target: TargetFile::Draft(id) }) => DraftId::parse(&id).map(Target::Draft),
            Ok(RefFile { version, .. }) => {
                tracing::warn!(file, version, "a reference of another version is ignored");
                return Ok(None);
            }
            Err(error) => {
                tracing::warn!(file, %error, "a damaged reference is ignored");
                return Ok(None);
            }
        };
        if target.is_none() {
            tracing::warn!(file, "a reference to no proper draft is ignored");
        }
        Ok(target)
    }

    /// Returns the files of all names.
    pub(crate) fn reference_files(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        let mut directories = vec![REFS.to_owned()];
        while let Some(directory) = directories.pop() {
            for name in self.dir().list(&directory)? {
                let path = format!("{directory}/{name}");
                if name.starts_with([':', '@']) { files.push(path) } else { directories.push(path) }
            }
        }
        Ok(files)
    }

    /// The blob a file of `refs/` names, and why it cannot be used.
    pub(crate) fn check_reference(&self, file: &str) -> Result<Option<String>> {
        let Some(target) = self.read_reference(file)? else { return Ok(Some("it cannot be read".to_owned())) };
        if name_of(file).is_none() {
            return Ok(Some("its name is not an image name".to_owned()));
        }
        let target = match target {
            Target::Manifest(target) => target,
            Target::Draft(id) => return self.check_draft(&id),
        };
        let Ok(digest) = digest_of(&target) else { return Ok(Some("its digest is not a SHA-256".to_owned())) };
        let size = self.blob_size(&digest)?;
        Ok((size != Some(target.size())).then(|| format!("{} is not there as described", blob::blob_name(&digest))))
    }
}

fn directory_of(name: &Reference) -> Result<String> {
    check_component("registry", &name.registry)?;
    name.repository.split('/').try_for_each(|part| check_repository(part, name))?;
    Ok(format!("{REFS}/{}/{}", name.registry, name.repository))
}

fn check_repository(part: &str, name: &Reference) -> Result<()> {
    check_component("repository", part)?;
    // They would be taken for tags.
    if part.starts_with([':', '@']) {
        return Err(Error::InvalidName { what: "repository", name: name.repository.clone() });
    }
    Ok(())
}

fn file_of(name: &Reference) -> Result<String> {
    let directory = directory_of(name)?;
    if let Some(digest) = name.digest {
        return Ok(format!("{directory}/@{digest}"));
    }
    let tag = name.tag.as_deref().unwrap_or("latest");
    check_component("tag", tag)?;
    Ok(format!("{directory}/:{tag}"))
}

fn name_of(file: &str) -> Option<Reference> {
    let (directory, last) = file.strip_prefix("refs/")?.rsplit_once('/')?;
    let (registry, repository) = directory.split_once('/')?;
    let (tag, digest) = match (last.strip_prefix(':'), last.strip_prefix('@')) {
        (Some(tag), _) => (Some(tag.to_owned()), None),
        (_, digest) => (None, Some(digest?.parse().ok()?)),
    };
    Some(Reference { registry: registry.to_owned(), repository: repository.to_owned(), tag, digest })
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
