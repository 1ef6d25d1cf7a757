//! Blobs: bytes under their digest, exactly as received or emitted.

use std::fs::File;
use std::io::{self, Read, Write};

use image::Digest;
use image::blobs::{BlobSink, Blobs};
use sha2::Digest as _;

use crate::{Error, Result, Store, fault};

pub(crate) const BLOBS: &str = "blobs/sha256";

const BUFFER: usize = 128 << 10;

pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("{BLOBS}/{}", digest.hex())
}

impl Store {
    /// True if the blob is there.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.dir().exists(&blob_name(digest))
    }

    /// Returns the size of a blob in bytes, `None` if it is not there.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.dir().stat(&blob_name(digest))?.map(|stat| u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        self.dir().open_file(&blob_name(digest))?.ok_or(Error::MissingBlob(*digest))
    }

    /// Reads a whole small blob (manifest, config); refuses more than `limit` bytes; verifies the digest.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let size = self.blob_size(digest)?.ok_or(Error::MissingBlob(*digest))?;
        if size > limit {
            return Err(Error::BlobTooLarge { digest: *digest, size, limit });
        }
        let bytes = self.dir().read(&blob_name(digest), limit)?.ok_or(Error::MissingBlob(*digest))?;
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(self.drop_damaged(digest, format!("its bytes have the digest {actual}")));
        }
        Ok(bytes)
    }

    /// Stores a blob, hashing as it is read; it gets its name only if `expected` (digest and size) holds. If the expected
    /// blob is there already, `data` is not read.
    pub fn put_blob(&self, expected: Option<(Digest, u64)>, data: &mut dyn Read) -> Result<(Digest, u64)> {
        if let Some((digest, size)) = expected
            && self.blob_size(&digest)? == Some(size)
        {
            return Ok((digest, size));
        }
        let mut writer = self.blob_writer()?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = match data.read(&mut buffer) {
                Ok(0) => return writer.finish(expected),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Source(error)),
            };
            // What is longer than announced could go on until the disk is full.
            if let Some((digest, size)) = expected.filter(|(_, size)| writer.size + count as u64 > *size) {
                return Err(Error::WrongBlob { digest, reason: format!("it has more than the expected {size} bytes") });
            }
            let failed = self.dir().fails("write", &writer.temporary);
            writer.write_all(&buffer[..count]).map_err(failed)?;
        }
    }

    /// Begins a blob whose bytes come piece by piece; dropped before [`BlobWriter::finish`], it leaves nothing.
    pub fn blob_writer(&self) -> Result<BlobWriter> {
        let temporary = self.temporary()?;
        let file = self.dir().create(&temporary)?;
        Ok(BlobWriter { store: self.clone(), temporary, file, hash: Some(sha2::Sha256::new()), size: 0 })
    }

    /// Removes a blob; false if it was not there. For a collector that holds the store alone.
    pub fn remove_blob(&self, digest: &Digest) -> Result<bool> {
        self.dir().unlink(&blob_name(digest))
    }

    /// Returns the digests of all blobs, sorted.
    pub fn blobs(&self) -> Result<Vec<Digest>> {
        let names = self.dir().list(BLOBS)?;
        Ok(names.iter().filter_map(|name| format!("sha256:{name}").parse().ok()).collect())
    }

    /// Takes a damaged blob away, so that it is fetched or made again, and returns the error to report.
    pub(crate) fn drop_damaged(&self, digest: &Digest, reason: String) -> Error {
        tracing::warn!(%digest, reason, "a damaged blob is dropped");
        match self.discard(&blob_name(digest)) {
            Ok(_) => Error::DamagedBlob { digest: *digest, reason },
            Err(error) => error,
        }
    }

    /// Reads a blob through; the reason if its bytes are not its own.
    pub(crate) fn check_blob(&self, digest: &Digest) -> Result<Option<String>> {
        let name = blob_name(digest);
        let mut file = self.open_blob(digest)?;
        let mut hash = sha2::Sha256::new();
        copy_into(&mut file, &mut hash).map_err(self.dir().fails("read", &name))?;
        let actual = Digest::from_bytes(hash.finalize().into());
        Ok((actual != *digest).then(|| format!("its bytes have the digest {actual}")))
    }
}

/// Reads everything into a hash and returns how much it was.
pub(crate) fn copy_into(data: &mut impl Read, hash: &mut sha2::Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        match data.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                hash.update(&buffer[..count]);
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A blob being written.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    temporary: String,
    file: File,
    /// `None` if somebody else hashes.
    hash: Option<sha2::Sha256>,
    size: u64,
}

impl BlobWriter {
    /// Returns how many bytes were written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Gives the blob its name, if it is as `expected`.
    pub fn finish(mut self, expected: Option<(Digest, u64)>) -> Result<(Digest, u64)> {
        let hash = self.hash.take().unwrap_or_default();
        let actual = (Digest::from_bytes(hash.finalize().into()), self.size);
        check_expected(expected, actual)?;
        self.finish_as(&actual.0, actual.1)?;
        Ok(actual)
    }

    /// Leaves hashing to the caller, who does so anyway: end with [`finish_as`](Self::finish_as).
    pub(crate) fn trusting(mut self) -> Self {
        self.hash = None;
        self
    }

    /// Gives the blob the name that the caller knows it to have.
    pub(crate) fn finish_as(mut self, digest: &Digest, size: u64) -> Result<()> {
        debug_assert_eq!(size, self.size);
        self.store.name(&self.temporary, &blob_name(digest))?;
        self.temporary.clear();
        Ok(())
    }
}

pub(crate) fn check_expected(expected: Option<(Digest, u64)>, actual: (Digest, u64)) -> Result<()> {
    let Some((digest, size)) = expected.filter(|expected| *expected != actual) else { return Ok(()) };
    let reason = if size != actual.1 {
        format!("it has {} bytes, expected are {size}", actual.1)
    } else {
        format!("its bytes have the digest {}", actual.0)
    };
    Err(Error::WrongBlob { digest, reason })
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fault::point()?;
        let count = self.file.write(bytes)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&bytes[..count]);
        }
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.temporary.is_empty() {
            let _ = self.store.dir().unlink(&self.temporary);
        }
    }
}

impl Blobs for Store {
    /// The bytes are verified on the way: the read that would report the end reports the damage.
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        let file = self.open_blob(digest)?;
        Ok(Box::new(Verified { store: self.clone(), digest: *digest, file, hash: sha2::Sha256::new() }))
    }

    fn size(&self, digest: &Digest) -> io::Result<u64> {
        Ok(self.blob_size(digest)?.ok_or(Error::MissingBlob(*digest))?)
    }

    /// What has a name was verified, or made here; what a power loss may have harmed is verified again when the store is opened.
    fn file(&self, digest: &Digest) -> io::Result<Option<File>> {
        Ok(Some(self.open_blob(digest)?))
    }
}

impl BlobSink for Store {
    fn put(&self, expected: Option<(Digest, u64)>, data: &mut dyn Read) -> io::Result<(Digest, u64)> {
        Ok(self.put_blob(expected, data)?)
    }
}

struct Verified {
    store: Store,
    digest: Digest,
    file: File,
    hash: sha2::Sha256,
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hash.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() {
            let actual = Digest::from_bytes(self.hash.clone().finalize().into());
            if actual != self.digest {
                let reason = format!("its bytes have the digest {actual}");
                return Err(self.store.drop_damaged(&self.digest, reason).into());
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
#[path = "blob_tests.rs"]
mod tests;
