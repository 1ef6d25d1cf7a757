//! The seam to where blobs are kept: a store, a directory, memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

use sha2::Digest as _;

use crate::Digest;

/// Where blobs are read from.
pub trait Blobs {
    /// Opens a blob. An absent one is [`io::ErrorKind::NotFound`].
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>>;

    /// Returns the size of a blob in bytes. An absent one is [`io::ErrorKind::NotFound`].
    fn size(&self, digest: &Digest) -> io::Result<u64>;

    /// Returns the file that is the blob, if it was verified when it was put there and need not be again.
    fn file(&self, digest: &Digest) -> io::Result<Option<File>> {
        let _ = digest;
        Ok(None)
    }
}

/// Where blobs are put.
pub trait BlobSink {
    /// Keeps all bytes of `data` and returns their digest and size. If these differ from `expected`, nothing is kept
    /// and the error is [`io::ErrorKind::InvalidData`].
    fn put(&self, expected: Option<(Digest, u64)>, data: &mut dyn Read) -> io::Result<(Digest, u64)>;
}

/// Reads a small blob whole; larger than `limit` is an error, whatever the blob's own size says.
pub fn read_small(blobs: &(impl Blobs + ?Sized), digest: &Digest, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    blobs.open(digest)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Copies `data` to `out` and checks it against `expected`: what every [`BlobSink`] does.
pub fn copy_verified(
    expected: Option<(Digest, u64)>,
    data: &mut dyn Read,
    out: &mut dyn Write,
) -> io::Result<(Digest, u64)> {
    let mut data = Verified::new(data, expected);
    let mut buffer = vec![0; 128 << 10];
    loop {
        match data.read(&mut buffer) {
            Ok(0) => return Ok(data.digest_and_size()),
            Ok(count) => out.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Hashes what is read through it and checks it against what is expected: a longer blob as soon as it is longer, so
/// that a stream without end does not fill a disk, anything else at its end.
#[derive(Clone, Debug)]
pub struct Verified<R> {
    data: R,
    expected: Option<(Digest, u64)>,
    hash: sha2::Sha256,
    size: u64,
}

impl<R: Read> Verified<R> {
    /// Reads `data`, which should have this digest and size.
    pub fn new(data: R, expected: Option<(Digest, u64)>) -> Self {
        Self { data, expected, hash: sha2::Sha256::new(), size: 0 }
    }

    /// Returns digest and size of what has been read so far.
    pub fn digest_and_size(&self) -> (Digest, u64) {
        (Digest::from_bytes(self.hash.clone().finalize().into()), self.size)
    }

    fn check_end(&self) -> io::Result<()> {
        let Some((digest, expected)) = self.expected else { return Ok(()) };
        let (actual, size) = self.digest_and_size();
        if size < expected {
            return Err(invalid(format!("blob {digest} ends after {size} of {expected} bytes")));
        }
        if digest != actual {
            return Err(invalid(format!("blob {digest} is damaged: its bytes have the digest {actual}")));
        }
        Ok(())
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.data.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.check_end()?;
        }
        self.hash.update(&buffer[..count]);
        self.size += count as u64;
        match self.expected {
            Some((digest, expected)) if self.size > expected => {
                Err(invalid(format!("blob {digest} has more than the expected {expected} bytes")))
            }
            _ => Ok(count),
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Blobs in memory, for tests and for documents made on the way.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<BTreeMap<Digest, std::sync::Arc<[u8]>>>);

impl MemoryBlobs {
    /// Returns an empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a blob and returns its digest.
    pub fn insert(&self, bytes: impl Into<Vec<u8>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.lock().insert(digest, bytes.into());
        digest
    }

    /// Forgets a blob.
    pub fn remove(&self, digest: &Digest) {
        self.lock().remove(digest);
    }

    /// Returns the bytes of a blob.
    pub fn get(&self, digest: &Digest) -> Option<std::sync::Arc<[u8]>> {
        self.lock().get(digest).cloned()
    }

    /// Returns the digests of all blobs, sorted.
    pub fn digests(&self) -> Vec<Digest> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, std::sync::Arc<[u8]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, digest: &Digest) -> io::Result<std::sync::Arc<[u8]>> {
        self.get(digest).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no blob {digest}")))
    }
}

impl Blobs for MemoryBlobs {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.find(digest)?)))
    }

    fn size(&self, digest: &Digest) -> io::Result<u64> {
        Ok(self.find(digest)?.len() as u64)
    }
}

impl BlobSink for MemoryBlobs {
    fn put(&self, expected: Option<(Digest, u64)>, data: &mut dyn Read) -> io::Result<(Digest, u64)> {
        let mut bytes = Vec::new();
        let actual = copy_verified(expected, data, &mut bytes)?;
        self.lock().insert(actual.0, bytes.into());
        Ok(actual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(expected: (Digest, u64), reason: &str) {
        let blobs = MemoryBlobs::new();
        let error = blobs.put(Some(expected), &mut &b"abc"[..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(reason) && error.to_string().contains(&expected.0.to_string()), "{error}");
        assert_eq!(blobs.digests(), []);
    }

    #[test]
    fn what_is_put_is_verified() {
        let digest = Digest::of(b"abc");
        check_refused((digest, 2), "more than the expected 2 bytes");
        check_refused((digest, 4), "ends after 3 of 4 bytes");
        check_refused((Digest::of(b"abd"), 3), "is damaged");
    }

    #[test]
    fn what_was_put_is_read_back() {
        let blobs = MemoryBlobs::new();
        let digest = Digest::of(b"abc");
        assert_eq!(blobs.open(&digest).err().map(|e| e.kind()), Some(io::ErrorKind::NotFound));
        assert_eq!(blobs.put(None, &mut &b"abc"[..]).unwrap(), (digest, 3));
        assert_eq!(blobs.put(Some((digest, 3)), &mut &b"abc"[..]).unwrap(), (digest, 3));
        assert_eq!(blobs.size(&digest).unwrap(), 3);
        assert_eq!(read_small(&blobs, &digest, 3).unwrap(), b"abc");
        assert_eq!(read_small(&blobs, &digest, 2).unwrap_err().to_string(), "larger than 2 bytes");
    }
}
