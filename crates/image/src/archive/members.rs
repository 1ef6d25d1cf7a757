//! One pass over an archive.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

use crate::blobs::BlobSink;
use crate::digest::unhex;
use crate::manifest::MAX_MANIFEST;
use crate::{Digest, Error, LayerPath};

/// How many members an archive may have: each takes memory until the end.
const MAX_MEMBERS: usize = 100_000;

/// How long the headers of one member may be. They may hold a path or a comment of any length, which is read at once.
const MAX_HEADERS: u64 = 1 << 20;

/// How many links may lead from one name to the next.
const MAX_LINKS: usize = 8;

/// What an archive holds. Files other than those named here are blobs by now.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// `index.json` of a layout.
    pub(super) index: Option<Vec<u8>>,
    /// `manifest.json` of Docker.
    pub(super) manifest: Option<Vec<u8>>,
    /// There is a `repositories`, all that Docker's first archives have.
    pub(super) is_ancient: bool,
    files: BTreeMap<LayerPath, (Digest, u64)>,
    links: BTreeMap<LayerPath, LayerPath>,
}

impl Members {
    /// Reads an archive to its end and puts every file that may be needed into `sink`.
    pub(super) fn read(archive: impl Read, sink: &(impl BlobSink + ?Sized)) -> Result<Self, Error> {
        let budget = Rc::new(Cell::new(0));
        let mut archive = tar::Archive::new(Budgeted { inner: archive, budget: Rc::clone(&budget) });
        let mut entries = archive.entries().map_err(Error::io("read the archive"))?;
        let mut members = Self::default();
        for count in 0.. {
            budget.set(MAX_HEADERS);
            let Some(entry) = entries.next() else { break };
            budget.set(u64::MAX);
            let mut entry = entry.map_err(|error| unreadable(error, count))?;
            if count == MAX_MEMBERS {
                return Err(Error::NotAnArchive(format!("it has more than {MAX_MEMBERS} members")));
            }
            members.add(&mut entry, sink)?;
            // What was not taken is read here: the reader would count it to the next header.
            io::copy(&mut entry, &mut io::sink()).map_err(Error::io("read the archive"))?;
        }
        Ok(members)
    }

    /// Returns digest and size of the file called `name`, through links.
    pub(super) fn find(&self, name: &str) -> Option<(Digest, u64)> {
        let mut path = LayerPath::new(name.as_bytes())?;
        for _ in 0..MAX_LINKS {
            if let Some(found) = self.files.get(&path) {
                return Some(*found);
            }
            path = self.links.get(&path)?.clone();
        }
        None
    }

    fn add(&mut self, entry: &mut tar::Entry<'_, impl Read>, sink: &(impl BlobSink + ?Sized)) -> Result<(), Error> {
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refused = |reason: &str| Error::Member { name: name.clone(), reason: reason.to_owned() };
        let path = LayerPath::new(name.as_bytes()).ok_or_else(|| refused("climbs out of the archive"))?;
        match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                self.file(&name, path, entry, sink)
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let parent = path.parent().unwrap_or_default();
                let target = resolve(&parent, &target).ok_or_else(|| refused("is a link out of the archive"))?;
                self.links.insert(path, target);
                Ok(())
            }
            tar::EntryType::Link => {
                let target = entry.link_name_bytes().and_then(|target| LayerPath::new(&target));
                self.links.insert(path, target.ok_or_else(|| refused("is a link out of the archive"))?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn file(
        &mut self,
        name: &str,
        path: LayerPath,
        data: &mut tar::Entry<'_, impl Read>,
        sink: &(impl BlobSink + ?Sized),
    ) -> Result<(), Error> {
        match path.as_bytes() {
            b"index.json" => self.index = Some(document(name, data)?),
            b"manifest.json" => self.manifest = Some(document(name, data)?),
            b"repositories" => self.is_ancient = true,
            b"oci-layout" => {}
            _ if is_junk(&path) || (blob_digest(&path).is_some() && self.files.contains_key(&path)) => {}
            _ => {
                let size = data.size();
                let expected = blob_digest(&path).map(|digest| (digest, size));
                let put = sink.put(expected, data);
                let (digest, actual) = put.map_err(Error::io(format!("read archive member `{name}`")))?;
                if actual != size {
                    let reason = format!("ends after {actual} of {size} bytes: the archive is truncated");
                    return Err(Error::Member { name: name.to_owned(), reason });
                }
                self.files.insert(path, (digest, size));
            }
        }
        Ok(())
    }
}

/// Reads a document that is looked at when all is there.
fn document(name: &str, data: &mut tar::Entry<'_, impl Read>) -> Result<Vec<u8>, Error> {
    let (size, limit) = (data.size(), MAX_MANIFEST as u64);
    if size > limit {
        return Err(Error::TooLarge { what: format!("archive member `{name}`"), size, limit });
    }
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).map_err(Error::io(format!("read archive member `{name}`")))?;
    if (bytes.len() as u64) < size {
        let reason = format!("ends after {} of {size} bytes: the archive is truncated", bytes.len());
        return Err(Error::Member { name: name.to_owned(), reason });
    }
    Ok(bytes)
}

/// Returns the digest that a name in `blobs/` promises.
fn blob_digest(path: &LayerPath) -> Option<Digest> {
    let hex = path.as_bytes().strip_prefix(b"blobs/sha256/")?;
    unhex(std::str::from_utf8(hex).ok()?).map(Digest::from_bytes)
}

/// What nobody refers to: blobs of other algorithms, and the per-layer files of Docker's first archives.
fn is_junk(path: &LayerPath) -> bool {
    let bytes = path.as_bytes();
    (bytes.starts_with(b"blobs/") && blob_digest(path).is_none())
        || bytes.ends_with(b"/VERSION")
        || bytes.ends_with(b"/json")
}

/// Resolves the target of a symbolic link in `parent`; `None` if it leads out of the archive.
fn resolve(parent: &LayerPath, target: &[u8]) -> Option<LayerPath> {
    if target.starts_with(b"/") {
        return None;
    }
    let mut path = parent.clone();
    for part in target.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => path = path.parent()?,
            _ if part.contains(&0) => return None,
            _ => path = path.join(part),
        }
    }
    Some(path)
}

fn unreadable(error: io::Error, count: usize) -> Error {
    match error.kind() {
        // The checksum of the first header is the only magic number of a tar.
        io::ErrorKind::Other | io::ErrorKind::InvalidData if count == 0 => {
            Error::NotAnArchive(format!("it is not a tar: {error}"))
        }
        _ => Error::Io { what: "read the archive".to_owned(), source: error },
    }
}

/// A reader that refuses to give more than its budget.
struct Budgeted<R> {
    inner: R,
    budget: Rc<Cell<u64>>,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let budget = self.budget.get();
        if budget == 0 && !buffer.is_empty() {
            let message = format!("the headers of a member have more than {MAX_HEADERS} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let most = usize::try_from(budget).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        self.budget.set(budget.saturating_sub(count as u64));
        Ok(count)
    }
}
