//! Downloads that can be interrupted: a blob grows under `tmp/partial/`, locked by who writes it, and stays there if
//! that ends too early.

use std::io::{self, Seek, Write};

use image::Digest;
use sha2::Digest as _;

use crate::blob::{blob_name, check_expected, copy_into};
use crate::lock::{Held, lock};
use crate::{Result, Store, fault};

/// The part of a blob that has arrived so far; write the rest to it.
#[derive(Debug)]
pub struct PartialBlob {
    store: Store,
    digest: Digest,
    name: String,
    file: Held,
    hash: sha2::Sha256,
    size: u64,
}

/// What [`Store::try_partial_blob`] finds.
#[derive(Debug)]
pub enum Download {
    /// The blob is in the store.
    Here,
    /// Another thread or process is downloading it.
    Busy,
    /// It is the caller's to download.
    Begin(PartialBlob),
}

impl Store {
    /// Begins or goes on with a download. Waits while another thread or process downloads the same blob; `None` if the
    /// blob is in the store (by then).
    pub fn partial_blob(&self, digest: &Digest) -> Result<Option<PartialBlob>> {
        loop {
            match self.download(digest, true)? {
                Download::Here => return Ok(None),
                Download::Busy => {}
                Download::Begin(partial) => return Ok(Some(partial)),
            }
        }
    }

    /// Like [`partial_blob`](Self::partial_blob), but does not wait.
    pub fn try_partial_blob(&self, digest: &Digest) -> Result<Download> {
        self.download(digest, false)
    }

    fn download(&self, digest: &Digest, wait: bool) -> Result<Download> {
        let name = format!("tmp/partial/{}", digest.hex());
        loop {
            if self.has_blob(digest) {
                return Ok(Download::Here);
            }
            let file = self.dir().open_or_create(&name)?;
            if !lock(&file, wait).map_err(self.dir().fails("lock", &name))? {
                return Ok(Download::Busy);
            }
            // The holder before may have renamed or removed the file that was waited for.
            let held = rustix::fs::fstat(&file).map_err(self.dir().fails("examine", &name))?;
            if self.dir().stat(&name)?.is_none_or(|named| (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino)) {
                continue;
            }
            let mut file = Held::new(file);
            // Or renamed it before this one was made.
            if self.has_blob(digest) {
                self.dir().unlink(&name)?;
                return Ok(Download::Here);
            }
            let mut hash = sha2::Sha256::new();
            let size = copy_into(file.file(), &mut hash).map_err(self.dir().fails("read", &name))?;
            return Ok(Download::Begin(PartialBlob { store: self.clone(), digest: *digest, name, file, hash, size }));
        }
    }
}

impl PartialBlob {
    /// Returns the digest the whole is to have.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns how many bytes are there: where the rest begins.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Forgets what is there, for a server that sends only the whole.
    pub fn restart(&mut self) -> Result<()> {
        let emptied =
            fault::point().and_then(|()| self.file.file().set_len(0)).and_then(|()| self.file.file().rewind());
        emptied.map_err(self.store.dir().fails("empty", &self.name))?;
        self.hash = sha2::Sha256::new();
        self.size = 0;
        Ok(())
    }

    /// Gives the blob its name if the whole is right; if not, what is there is thrown away.
    pub fn finish(mut self, size: u64) -> Result<()> {
        let actual = Digest::from_bytes(std::mem::take(&mut self.hash).finalize().into());
        if let Err(error) = check_expected(Some((self.digest, size)), (actual, self.size)) {
            self.store.dir().unlink(&self.name)?;
            return Err(error);
        }
        self.store.name(&self.name, &blob_name(&self.digest))
    }
}

impl Write for PartialBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fault::point()?;
        let count = self.file.file().write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "partial_tests.rs"]
mod tests;
