//! A layout as a tar: sorted members, fixed times and owners.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Named, OCI_LAYOUT};
use crate::blobs::{Blobs, copy_verified};
use crate::graph::parts;
use crate::manifest::{AnyDescriptor, index_json};
use crate::{Digest, Error};

const BLOCK: u64 = 512;

/// Where the bytes of a member come from.
#[derive(Debug)]
pub(crate) enum Member {
    Directory,
    Bytes(Vec<u8>),
    Blob { digest: Digest, size: u64 },
}

/// Writes images as the tar of a layout. The same images and names give the same bytes.
pub fn write_tar(out: &mut dyn Write, blobs: &(impl Blobs + ?Sized), images: &[Named]) -> Result<(), Error> {
    let mut members = BTreeMap::new();
    for image in images {
        for part in parts(blobs, &image.target)? {
            let blob = Member::Blob { digest: part.digest, size: part.size };
            members.insert(blob_name(&part.digest), blob);
        }
    }
    write_members(out, blobs, members, images)
}

/// Returns the name of a blob in a layout.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Writes `members` and what makes a layout of them: its marker, its index, its directories.
pub(crate) fn write_members(
    out: &mut dyn Write,
    blobs: &(impl Blobs + ?Sized),
    mut members: BTreeMap<String, Member>,
    images: &[Named],
) -> Result<(), Error> {
    members.insert("blobs/".to_owned(), Member::Directory);
    members.insert("blobs/sha256/".to_owned(), Member::Directory);
    members.insert("oci-layout".to_owned(), Member::Bytes(OCI_LAYOUT.into()));
    members.insert("index.json".to_owned(), Member::Bytes(index(images)));
    for (name, member) in &members {
        write_member(out, blobs, name, member).map_err(Error::io(format!("write archive member `{name}`")))?;
    }
    let end = out.write_all(&[0; 2 * BLOCK as usize]).and_then(|()| out.flush());
    end.map_err(Error::io("write the end of the archive"))
}

fn index(images: &[Named]) -> Vec<u8> {
    let entries: Vec<_> = images.iter().flat_map(Named::entries).collect();
    index_json(entries.iter().map(AnyDescriptor::new).collect())
}

fn write_member(out: &mut dyn Write, blobs: &(impl Blobs + ?Sized), name: &str, member: &Member) -> io::Result<()> {
    let size = match member {
        Member::Directory => 0,
        Member::Bytes(bytes) => bytes.len() as u64,
        Member::Blob { size, .. } => *size,
    };
    out.write_all(header(name, size)?.as_bytes())?;
    match member {
        Member::Directory => {}
        Member::Bytes(bytes) => out.write_all(bytes)?,
        Member::Blob { digest, size } => {
            copy_verified(Some((*digest, *size)), &mut blobs.open(digest)?, out)?;
        }
    }
    let padding = size.next_multiple_of(BLOCK) - size;
    out.write_all(&[0; BLOCK as usize][..padding as usize])
}

fn header(name: &str, size: u64) -> io::Result<tar::Header> {
    // From 8 GiB on the size is binary, which is GNU's extension of ustar and understood by all.
    let mut header = if size < 8 << 30 { tar::Header::new_ustar() } else { tar::Header::new_gnu() };
    let is_directory = name.ends_with('/');
    header.set_path(name)?;
    header.set_entry_type(if is_directory { tar::EntryType::Directory } else { tar::EntryType::Regular });
    header.set_mode(if is_directory { 0o755 } else { 0o644 });
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(header)
}
