//! Copying the data of one file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use image::ContentHash;
use rustix::io::Errno;

/// False once a file system has refused to share blocks between files.
static CLONES: AtomicBool = AtomicBool::new(true);

const BUFFER: usize = 256 << 10;

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

/// Reads `from` to its end, and returns how much it was and the hash of it.
pub(crate) fn copy_and_hash(
    from: &mut impl Read,
    mut to: Option<&mut File>,
    buffer: &mut Vec<u8>,
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
        if let Some(to) = &mut to {
            to.write_all(&buffer[..read])?;
        }
        size += read as u64;
    }
    Ok((size, ContentHash(*hasher.finalize().as_bytes())))
}
