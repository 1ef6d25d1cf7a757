//! From a layer blob to a layer directory.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use image::descriptor::digest_of;
use image::layer::{ApplyError, ApplyOptions, Expansion, Ids, Index, OverlayXattr, ReadAhead, apply, decompress};
use image::{Descriptor, Digest};
use sha2::Digest as _;

use crate::blob::copy_into;
use crate::flat::Part;
use crate::layer::{LayerDraft, Source};
use crate::{Error, LayerId, Result, Store, fault};

impl Store {
    /// Unpacks a layer blob, which must be here, into a layer directory and verifies its diff ID. `parents`: the layers
    /// below, lowest first (hard links may lead there). Of several threads and processes that unpack one layer, one
    /// does, and the others wait for it.
    pub fn unpack(&self, blob: &Descriptor, diff_id: &Digest, parents: &[LayerId]) -> Result<LayerId> {
        if let Some(id) = self.layer_of_diff_id(diff_id)? {
            return Ok(id);
        }
        let _alone = self.wait_for(&format!("diff-{}", diff_id.hex()))?;
        if let Some(id) = self.layer_of_diff_id(diff_id)? {
            return Ok(id);
        }
        let digest = digest_of(blob).map_err(|_| invalid(blob))?;
        let draft = self.new_layer()?;
        let result = self.apply_blob(&draft, &digest, parents);
        let index = match result {
            Ok((index, actual)) if actual == *diff_id => index,
            Ok((_, actual)) => {
                let wrong = Error::WrongDiffId { blob: digest, expected: *diff_id, actual };
                return Err(self.blame_blob(&digest, wrong));
            }
            Err(Failed::Apply(source)) => {
                let failed = disk_error(&draft, &source).unwrap_or(Error::Unpack { blob: digest, source });
                return Err(self.blame_blob(&digest, failed));
            }
            Err(Failed::Store(error)) => return Err(error),
        };
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        let source = Source { diff_id: *diff_id, blob: blob.clone() };
        let layer = draft.commit_as(LayerId::of_diff_id(diff_id), index, created, Some(source))?;
        Ok(layer.id().clone())
    }

    /// Decompresses on one thread, hashes and applies on another: every byte is touched once.
    fn apply_blob(&self, draft: &LayerDraft, blob: &Digest, parents: &[LayerId]) -> Result<(Index, Digest), Failed> {
        let file = self.open_blob(blob)?;
        let tree = open_tree(draft.tree())?;
        let trees = self.open_trees(parents)?;
        let parents: Vec<_> = trees.iter().rev().map(AsFd::as_fd).collect();
        let (overlay, ids) = layer_flavor();
        let options = ApplyOptions { overlay, ids, ..ApplyOptions::default() };
        let read = |source| Error::io("read", self.dir().full(&crate::blob::blob_name(blob)), source);
        let plain = decompress(file, Expansion::default()).map_err(read)?;
        let mut tar = Hashing { input: ReadAhead::new(plain).map_err(read)?, hash: sha2::Sha256::new() };
        let index = apply(&mut tar, tree.as_fd(), &parents, &options)?;
        copy_into(&mut tar.input, &mut tar.hash).map_err(read)?;
        Ok((index, Digest::from_bytes(tar.hash.finalize().into())))
    }

    fn open_trees(&self, layers: &[LayerId]) -> Result<Vec<OwnedFd>> {
        let open = |part: &Part| {
            let name = part.tree();
            self.dir().open_dir(&name).map_err(self.dir().fails("open", &name))
        };
        // Layers that have not been pulled do not matter as long as nothing leads there.
        let here: Vec<LayerId> = layers.iter().filter(|id| self.has_layer(id)).cloned().collect();
        self.flat_parts(&here)?.iter().map(open).collect()
    }

    /// A layer that cannot be unpacked is the fault of the image, unless the blob is not what was stored.
    fn blame_blob(&self, blob: &Digest, error: Error) -> Error {
        match self.check_blob(blob) {
            Ok(Some(reason)) => self.drop_damaged(blob, reason),
            _ => error,
        }
    }
}

enum Failed {
    Apply(ApplyError),
    Store(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<ApplyError> for Failed {
    fn from(error: ApplyError) -> Self {
        Self::Apply(error)
    }
}

/// Returns the error that says what to do about a disk that is full.
fn disk_error(draft: &LayerDraft, error: &ApplyError) -> Option<Error> {
    let ApplyError::Io { source, .. } = error else { return None };
    let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let code = source.raw_os_error().filter(|_| full)?;
    Some(Error::io("unpack a layer to", draft.tree(), io::Error::from_raw_os_error(code)))
}

fn open_tree(path: &std::path::Path) -> Result<OwnedFd> {
    let opened = fault::point().and_then(|()| std::fs::File::open(path));
    Ok(opened.map_err(|error| Error::io("open", path, error))?.into())
}

fn invalid(blob: &Descriptor) -> Error {
    Error::InvalidName { what: "digest", name: blob.digest().to_string() }
}

/// Hashes what is read through it.
struct Hashing<R> {
    input: R,
    hash: sha2::Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

/// The inode of the initial user namespace (Linux, `PROC_USER_INIT_INO`).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// Returns how this process has to write layers: with which attributes of overlay, and whether files on disk can have
/// the owners that the image says. It follows from the user namespace it is in.
pub fn layer_flavor() -> (OverlayXattr, Ids) {
    let namespace = rustix::fs::stat("/proc/self/ns/user").map_or(INITIAL_USER_NAMESPACE, |stat| stat.st_ino);
    let is_root = rustix::process::geteuid().is_root();
    if namespace == INITIAL_USER_NAMESPACE {
        return if is_root { (OverlayXattr::Trusted, Ids::Keep) } else { (OverlayXattr::User, Ids::Ignore) };
    }
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let ids: u64 = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
    (OverlayXattr::User, if is_root && ids > 1 { Ids::Keep } else { Ids::Ignore })
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
