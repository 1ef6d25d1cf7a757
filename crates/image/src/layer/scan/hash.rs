//! Reading the files that were found.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use rayon::prelude::*;
use rustix::fs::OFlags;

use super::super::{Kind, LayerPath, Metadata, OverlayXattr, Xattrs, fs};
use super::walk::{Found, marks};
use super::{ScanError, io_failed};
use crate::digest::ContentHash;

/// Below this, more threads cost more than they save.
const FEW_FILES: usize = 128;
const FEW_BYTES: u64 = 4 << 20;

const BUFFER: usize = 128 << 10;

/// Hashes all files in `found`, each inode once, and reads their attributes.
pub(super) fn hash_files(root: BorrowedFd<'_>, overlay: OverlayXattr, found: &mut [Found]) -> Result<(), ScanError> {
    let mut first_names = HashMap::new();
    let mut files = Vec::new();
    let mut bytes = 0;
    for (at, file) in found.iter().enumerate() {
        let Some(Kind::File { size, .. }) = file.kind else { continue };
        if file.inode.is_none_or(|inode| *first_names.entry(inode).or_insert(at) == at) {
            files.push((at, &file.path));
            bytes += size;
        }
    }
    let hash =
        |buffer: &mut Vec<u8>, &(at, path): &(usize, &LayerPath)| Ok((at, hash_file(root, overlay, path, buffer)?));
    let read: Result<Vec<_>, ScanError> = if files.len() <= FEW_FILES && bytes <= FEW_BYTES {
        let mut buffer = vec![0; BUFFER];
        files.iter().map(|file| hash(&mut buffer, file)).collect()
    } else {
        files.par_iter().map_init(|| vec![0; BUFFER], hash).collect()
    };
    for (at, file) in read? {
        file.put(&mut found[at]);
    }
    share_inodes(found, &first_names);
    Ok(())
}

/// Gives the other names of a file what has been read of it under the first.
fn share_inodes(found: &mut [Found], first_names: &HashMap<(u64, u64), usize>) {
    for at in 0..found.len() {
        let first = found[at].inode.and_then(|inode| first_names.get(&inode)).copied();
        if let Some(first) = first.filter(|first| *first != at) {
            found[at].kind = found[first].kind.clone();
            found[at].metadata = found[first].metadata.clone();
        }
    }
}

/// What is in a file.
enum Content {
    File { size: u64, content: ContentHash, xattrs: Xattrs },
    Whiteout,
}

impl Content {
    fn put(self, found: &mut Found) {
        match self {
            Self::File { size, content, xattrs } => {
                found.kind = Some(Kind::File { size, content });
                found.metadata.xattrs = xattrs;
            }
            Self::Whiteout => {
                found.kind = Some(Kind::Whiteout);
                found.metadata = Metadata::default();
                found.inode = None;
            }
        }
    }
}

fn hash_file(
    root: BorrowedFd<'_>,
    overlay: OverlayXattr,
    path: &LayerPath,
    buffer: &mut [u8],
) -> Result<Content, ScanError> {
    // Not blocking: should it be a fifo by now.
    let fd = fs::open_beneath(root, path, OFlags::RDONLY | OFlags::NONBLOCK).map_err(io_failed("open", path))?;
    let marks = marks(path, overlay, |skip| fs::xattrs_of(fd.as_fd(), skip))?;
    if marks.whiteout {
        return Ok(Content::Whiteout);
    }
    let mut file = File::from(fd);
    let mut hasher = blake3::Hasher::new();
    let mut size = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ScanError::Io { doing: "read", path: path.clone(), source }),
        }
    }
    Ok(Content::File { size, content: ContentHash(hasher.finalize().into()), xattrs: marks.xattrs })
}
