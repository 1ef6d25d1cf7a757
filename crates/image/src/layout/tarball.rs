//! A layout as a tar: sorted members, fixed times and owners.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Named, OCI_LAYOUT};
use crate::blobs::{Blobs, Verified};
use crate::graph::{Part, parts_of_all};
use crate::layer::{Kind, Metadata, TarWriter, WriteError};
use crate::manifest::{AnyDescriptor, index_json};
use crate::{Digest, Entry, Error, LayerPath};

/// Where the bytes of a member come from.
#[derive(Debug)]
pub(crate) enum Source {
    Directory,
    Bytes(Vec<u8>),
    Blob { digest: Digest, size: u64 },
}

/// Members by name: a directory has no slash at its end.
pub(crate) type Members = BTreeMap<String, Source>;

/// Writes images as the tar of a layout. The same images and names give the same bytes.
pub fn write_tar(out: &mut dyn Write, blobs: &(impl Blobs + ?Sized), images: &[Named]) -> Result<(), Error> {
    let parts = parts_of_all(blobs, images.iter().map(|image| &image.target))?;
    let blob = |part: Part| (blob_name(&part.digest), Source::Blob { digest: part.digest, size: part.size });
    write_members(out, blobs, parts.into_iter().map(blob).collect(), images)
}

/// Returns the name of a blob in a layout.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Writes `members` and what makes a layout of them: its marker, its index, its directories.
pub(crate) fn write_members(
    out: &mut dyn Write,
    blobs: &(impl Blobs + ?Sized),
    mut members: Members,
    images: &[Named],
) -> Result<(), Error> {
    members.insert("blobs".to_owned(), Source::Directory);
    members.insert("blobs/sha256".to_owned(), Source::Directory);
    members.insert("oci-layout".to_owned(), Source::Bytes(OCI_LAYOUT.into()));
    members.insert("index.json".to_owned(), Source::Bytes(index(images)));
    let mut tar = TarWriter::new(out);
    for (name, source) in &members {
        let written = write_member(&mut tar, blobs, name, source);
        written.map_err(io::Error::other).map_err(Error::io(format!("write archive member `{name}`")))?;
    }
    let finished = tar.finish().map_err(io::Error::other).and_then(Write::flush);
    finished.map_err(Error::io("write the end of the archive"))
}

fn index(images: &[Named]) -> Vec<u8> {
    let entries: Vec<_> = images.iter().flat_map(Named::entries).collect();
    index_json(entries.iter().map(AnyDescriptor::new).collect())
}

fn write_member(
    tar: &mut TarWriter<&mut dyn Write>,
    blobs: &(impl Blobs + ?Sized),
    name: &str,
    source: &Source,
) -> Result<(), WriteError> {
    let path = LayerPath::new(name.as_bytes()).unwrap_or_default();
    let metadata = Metadata { mode: 0o644, ..Metadata::default() };
    match source {
        Source::Directory => {
            let metadata = Metadata { mode: 0o755, ..metadata };
            let entry = Entry { path, kind: Kind::Directory { opaque: false }, metadata };
            tar.append(&entry, |_| Ok(io::empty()))
        }
        Source::Bytes(bytes) => tar.append_file(&path, &metadata, bytes.len() as u64, bytes.as_slice()),
        Source::Blob { digest, size } => {
            let unreadable = |source| WriteError::Read { path: path.clone(), source };
            if let Some(file) = blobs.file(digest).map_err(unreadable)? {
                return tar.append_file(&path, &metadata, *size, file);
            }
            let blob = blobs.open(digest).map_err(unreadable)?;
            tar.append_file(&path, &metadata, *size, Verified::new(blob, Some((*digest, *size))))
        }
    }
}
