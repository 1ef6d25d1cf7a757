//! Copying the data of one file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering};

use image::ContentHash;
use rustix::io::Errno;

/// False once a file system has refused to share blocks between files.
static CLONES: AtomicBool = AtomicBool::new(true);

const BUFFER: usize = 256 << 10;

/// The smallest hole that is kept.
const HOLE: usize = 4 << 10;

/// Copies a file, sharing its blocks where the file system can. `known`: size and hash of data that cannot change.
pub(super) fn copy_data(
    mut from: File,
    to: &mut File,
    known: Option<(u64, ContentHash)>,
    buffer: &mut Vec<u8>,
) -> io::Result<(u64, ContentHash)> {
    let large = known.is_none_or(|(size, _)| size > 4096);
    if large && CLONES.load(Ordering::Relaxed) {
        match rustix::fs::ioctl_ficlone(&*to, &from) {
            Ok(()) => {
                // What was cloned is ours: it no longer changes while it is hashed.
                return match known {
                    Some(known) => Ok(known),
                    None => hash(to.try_clone()?, buffer),
                };
            }
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => CLONES.store(false, Ordering::Relaxed),
            Err(_) => {}
        }
    }
    if is_sparse(&from)? {
        let copied = copy_sparse(&mut from, to, buffer)?;
        return if known.is_none_or(|known| known.0 == copied.0) {
            Ok(known.unwrap_or(copied))
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        };
    }
    match known {
        Some(known) => {
            let copied = io::copy(&mut from, to)?;
            if copied == known.0 { Ok(known) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        }
        None => copy_and_hash(&mut from, Some(to), buffer),
    }
}

fn hash(mut file: File, buffer: &mut Vec<u8>) -> io::Result<(u64, ContentHash)> {
    io::Seek::rewind(&mut file)?;
    copy_and_hash(&mut file, None, buffer)
}

/// True if the file has holes.
fn is_sparse(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    // stat(2): a block has 512 bytes.
    Ok(metadata.blocks().saturating_mul(512) < metadata.len())
}

/// Copies a file with holes: blocks of zeros are not written.
fn copy_sparse(from: &mut File, to: &mut File, buffer: &mut Vec<u8>) -> io::Result<(u64, ContentHash)> {
    let copied = read_and_hash(from, buffer, |offset, bytes| {
        let blocks = bytes.chunks(HOLE).zip(0..);
        let mut written = blocks.filter(|(block, _)| block.iter().any(|&byte| byte != 0));
        written.try_for_each(|(block, number)| to.write_all_at(block, offset + number * HOLE as u64))
    })?;
    to.set_len(copied.0)?;
    Ok(copied)
}

/// Reads `from` to its end, and returns how much it was and the hash of it.
pub(crate) fn copy_and_hash(
    from: &mut impl Read,
    mut to: Option<&mut File>,
    buffer: &mut Vec<u8>,
) -> io::Result<(u64, ContentHash)> {
    read_and_hash(from, buffer, |_, bytes| to.as_mut().map_or(Ok(()), |to| to.write_all(bytes)))
}

fn read_and_hash(
    from: &mut impl Read,
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<(u64, ContentHash)> {
    buffer.resize(BUFFER, 0);
    let mut hasher = blake3::Hasher::new();
    let mut size = 0;
    loop {
        let read = match from.read(buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..read]);
        each(size, &buffer[..read])?;
        size += read as u64;
    }
    Ok((size, ContentHash(*hasher.finalize().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_stay_holes() {
        let directory = tempfile::tempdir().unwrap();
        let source = File::create_new(directory.path().join("source")).unwrap();
        source.set_len(64 << 20).unwrap();
        source.write_all_at(b"in the middle", 32 << 20).unwrap();
        source.write_all_at(b"in the end", (64 << 20) - 5).unwrap();
        let expected = blake3::hash(&std::fs::read(directory.path().join("source")).unwrap());
        for known in [None, Some(((64 << 20) + 5, ContentHash(*expected.as_bytes())))] {
            let mut target = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(directory.path().join("target"))
                .unwrap();
            let from = File::open(directory.path().join("source")).unwrap();
            let copied = copy_data(from, &mut target, known, &mut Vec::new()).unwrap();
            assert_eq!(copied, ((64 << 20) + 5, ContentHash(*expected.as_bytes())));
            assert!(target.metadata().unwrap().blocks() * 512 < 1 << 20);
            assert_eq!(blake3::hash(&std::fs::read(directory.path().join("target")).unwrap()), expected);
        }
    }
}
