//! A layout as a directory.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use oci_spec::image::Descriptor;
use serde::Serialize;
use serde_json::Value;

use super::{Loaded, Named, OCI_LAYOUT, choose, images};
use crate::blobs::{BlobSink, Blobs, copy_verified};
use crate::descriptor::{IMAGE_NAME, REF_NAME, annotation};
use crate::graph::{self, parts_of_all};
use crate::manifest::{AnyDescriptor, MAX_MANIFEST, Manifest, index_json};
use crate::media_type::OCI_INDEX;
use crate::{Digest, Error};

/// A layout in a directory, to read from: a [`Blobs`] like any other.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: PathBuf,
    images: Vec<Loaded>,
}

impl Layout {
    /// Opens the layout in `dir` and reads its index, nothing else.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let no_layout = |why: &str| Error::NotAnArchive(format!("`{}` is no OCI layout: {why}", dir.display()));
        let marker = match read_file(&dir.join("oci-layout"), 4096) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_layout("it has no `oci-layout`")),
            other => other.map_err(Error::io(format!("read `{}`", dir.join("oci-layout").display())))?,
        };
        check_version(&marker).map_err(|why| no_layout(&why))?;
        let path = dir.join("index.json");
        let bytes = read_file(&path, MAX_MANIFEST).map_err(Error::io(format!("read `{}`", path.display())))?;
        let index = Manifest::parse(bytes, Some(OCI_INDEX))?;
        let entries = index.as_index().map(|index| images(index.manifests())).transpose()?;
        Ok(Self { dir: dir.to_owned(), images: entries.unwrap_or_default() })
    }

    /// Returns the images and indexes at the top, with their names.
    pub fn images(&self) -> &[Loaded] {
        &self.images
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }
}

impl Blobs for Layout {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        open_regular(&self.path(digest)).map(|file| Box::new(file) as Box<dyn Read + Send>)
    }

    fn size(&self, digest: &Digest) -> io::Result<u64> {
        fs::metadata(self.path(digest)).map(|metadata| metadata.len())
    }
}

/// Copies images of the layout in `dir` into `sink`: the one that `wanted` names ([`choose`]), or all.
pub fn read_dir(dir: &Path, wanted: Option<&str>, sink: &(impl BlobSink + ?Sized)) -> Result<Vec<Loaded>, Error> {
    let layout = Layout::open(dir)?;
    let images = match wanted {
        Some(_) => vec![choose(layout.images(), wanted)?.clone()],
        None => layout.images().to_vec(),
    };
    for image in &images {
        graph::copy(&layout, sink, &image.manifest)?;
    }
    Ok(images)
}

/// Writes images into a layout in `dir`, which is made if it is missing. Images that are already there stay, but for
/// those that had one of the names.
pub fn write_dir(dir: &Path, blobs: &(impl Blobs + ?Sized), images: &[Named]) -> Result<(), Error> {
    let existing = existing_entries(dir)?;
    let blob_dir = dir.join("blobs/sha256");
    fs::create_dir_all(&blob_dir).map_err(Error::io(format!("make `{}`", blob_dir.display())))?;
    for part in parts_of_all(blobs, images.iter().map(|image| &image.target))? {
        let path = blob_dir.join(part.digest.hex());
        let written = write_blob(&path, blobs, (part.digest, part.size));
        written.map_err(Error::io(format!("write {} to `{}`", part.role, path.display())))?;
    }
    replace(&dir.join("oci-layout"), OCI_LAYOUT.as_bytes())?;
    replace(&dir.join("index.json"), &extended_index(existing, images))
}

fn check_version(marker: &[u8]) -> Result<(), String> {
    let marker: Value = serde_json::from_slice(marker).map_err(|error| format!("`oci-layout` is not JSON: {error}"))?;
    match marker.get("imageLayoutVersion").and_then(Value::as_str) {
        Some(version) if version.split('.').next() == Some("1") => Ok(()),
        Some(version) => Err(format!("its version is `{version}`, not 1")),
        None => Err("`oci-layout` names no version".to_owned()),
    }
}

/// Reads the entries of the layout's index as they are; none if there is no layout yet.
fn existing_entries(dir: &Path) -> Result<Vec<Value>, Error> {
    let path = dir.join("index.json");
    let what = format!("`{}`", path.display());
    let bytes = match read_file(&path, MAX_MANIFEST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io(format!("read {what}")))?,
    };
    let mut index: Value = serde_json::from_slice(&bytes).map_err(Error::json(what))?;
    match index.get_mut("manifests").map(Value::take) {
        Some(Value::Array(entries)) => Ok(entries),
        _ => Ok(Vec::new()),
    }
}

/// Writes the index: entries that were there and have none of the new names, then the new ones.
fn extended_index(mut existing: Vec<Value>, images: &[Named]) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Entry<'a> {
        Existing(Value),
        New(AnyDescriptor<'a>),
    }
    let new: Vec<Descriptor> = images.iter().flat_map(Named::entries).collect();
    existing.retain(|old| !new.iter().any(|new| is_replaced(old, new)));
    let existing = existing.into_iter().map(Entry::Existing);
    index_json(existing.chain(new.iter().map(AnyDescriptor::new).map(Entry::New)).collect())
}

/// True if `old` is named as `new` is. Readers look at the tag alone, unless both have full names that differ: a layout
/// may hold `a:latest` beside `b:latest`. Without a name, the same image is not entered twice.
fn is_replaced(old: &Value, new: &Descriptor) -> bool {
    let old_name = |name: &str| old.get("annotations").and_then(|all| all.get(name)).and_then(Value::as_str);
    if old_name(REF_NAME) != annotation(new, REF_NAME) {
        return false;
    }
    match (old_name(IMAGE_NAME), annotation(new, IMAGE_NAME)) {
        (Some(old), Some(new)) => old == new,
        (None, None) => old.get("digest").and_then(Value::as_str) == Some(new.digest().as_ref()),
        _ => annotation(new, REF_NAME).is_some(),
    }
}

fn write_blob(path: &Path, blobs: &(impl Blobs + ?Sized), (digest, size): (Digest, u64)) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size) {
        return Ok(());
    }
    if let Some(file) = blobs.file(&digest)? {
        // In the kernel, where the filesystem can without copying.
        return write_new(path, |out| match io::copy(&mut (&file).take(size), out)? {
            copied if copied == size => Ok(()),
            copied => Err(io::Error::other(format!("blob {digest} ends after {copied} of {size} bytes"))),
        });
    }
    let mut data = blobs.open(&digest)?;
    write_new(path, |file| copy_verified(Some((digest, size)), &mut data, file).map(drop))
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_new(path, |file| file.write_all(bytes)).map_err(Error::io(format!("write `{}`", path.display())))
}

/// Writes a file under another name first: whoever reads the layout sees it whole or not at all.
fn write_new(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let unique = format!(".tmp-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let temporary = path.with_file_name(unique);
    let mut file = File::create_new(&temporary)?;
    let written = write(&mut file).and_then(|()| fs::rename(&temporary, path));
    written.inspect_err(|_| drop(fs::remove_file(&temporary)))
}

fn read_file(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Opens a file, but nothing that could block or never end.
fn open_regular(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(path)
}
