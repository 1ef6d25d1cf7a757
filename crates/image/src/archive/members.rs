//! One pass over an archive.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::blobs::BlobSink;
use crate::digest::unhex;
use crate::layer::{Data, Expansion, Member, MemberKind, TarError, TarReader, decompress};
use crate::manifest::MAX_MANIFEST;
use crate::{Digest, Error, LayerPath};

/// How many members an archive may have: each takes memory until the end.
const MAX_MEMBERS: usize = 100_000;

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
    /// Reads an archive, plain or compressed, and puts every file that may be needed into `sink`.
    pub(super) fn read(archive: impl Read + Send, sink: &(impl BlobSink + ?Sized)) -> Result<Self, Error> {
        let archive = decompress(archive, Expansion::default()).map_err(Error::io("read the archive"))?;
        let mut tar = TarReader::new(archive);
        let mut members = Self::default();
        for count in 0.. {
            let Some(member) = tar.next_member().map_err(|error| unreadable(error, count))? else { break };
            if count == MAX_MEMBERS {
                return Err(Error::NotAnArchive(format!("it has more than {MAX_MEMBERS} members")));
            }
            members.add(&member, &mut tar.data(), sink)?;
        }
        // Whoever writes to a pipe wants to be read to the end. What stands there does not matter: blobs are verified.
        drop(tar.drain());
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

    fn add(
        &mut self,
        member: &Member,
        data: &mut Data<'_, impl Read>,
        sink: &(impl BlobSink + ?Sized),
    ) -> Result<(), Error> {
        let path = LayerPath::new(&member.path).ok_or_else(|| refused(member, "climbs out of the archive"))?;
        let target = match member.kind {
            MemberKind::File => return self.file(member, path, data, sink),
            MemberKind::Symlink => resolve(&path.parent().unwrap_or_default(), &member.link),
            MemberKind::Hardlink => LayerPath::new(&member.link),
            _ => return Ok(()),
        };
        self.links.insert(path, target.ok_or_else(|| refused(member, "is a link out of the archive"))?);
        Ok(())
    }

    fn file(
        &mut self,
        member: &Member,
        path: LayerPath,
        data: &mut Data<'_, impl Read>,
        sink: &(impl BlobSink + ?Sized),
    ) -> Result<(), Error> {
        match path.as_bytes() {
            b"index.json" => self.index = Some(document(member, data)?),
            b"manifest.json" => self.manifest = Some(document(member, data)?),
            b"repositories" => self.is_ancient = true,
            b"oci-layout" => {}
            _ if is_junk(&path) || (blob_digest(&path).is_some() && self.files.contains_key(&path)) => {}
            _ => {
                let expected = blob_digest(&path).map(|digest| (digest, member.size));
                let put = sink.put(expected, data).map_err(Error::io(reading(member)))?;
                self.files.insert(path, put);
            }
        }
        Ok(())
    }
}

/// Reads a document that is looked at when all is there.
fn document(member: &Member, data: &mut impl Read) -> Result<Vec<u8>, Error> {
    let (size, limit) = (member.size, MAX_MANIFEST as u64);
    if size > limit {
        return Err(Error::TooLarge { what: format!("archive member `{}`", name(member)), size, limit });
    }
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).map_err(Error::io(reading(member)))?;
    Ok(bytes)
}

fn name(member: &Member) -> String {
    String::from_utf8_lossy(&member.path).into_owned()
}

fn reading(member: &Member) -> String {
    format!("read archive member `{}`", name(member))
}

fn refused(member: &Member, reason: &str) -> Error {
    Error::Member { name: name(member), reason: reason.to_owned() }
}

fn unreadable(error: TarError, count: usize) -> Error {
    match error {
        // The checksum of the first header is the only magic number of a tar.
        TarError::Malformed { .. } | TarError::Truncated if count == 0 => {
            Error::NotAnArchive(format!("it is not a tar: {error}"))
        }
        TarError::Read(source) => Error::Io { what: "read the archive".to_owned(), source },
        error => Error::Io { what: "read the archive".to_owned(), source: io::Error::other(error) },
    }
}

/// Returns the digest that a name in `blobs/` promises.
fn blob_digest(path: &LayerPath) -> Option<Digest> {
    let hex = path.as_bytes().strip_prefix(b"blobs/sha256/")?;
    unhex(std::str::from_utf8(hex).ok()?).map(Digest::from_bytes)
}

/// What nobody refers to: blobs of other algorithms, and the per-layer files of Docker's first archives.
fn is_junk(path: &LayerPath) -> bool {
    let other_blob = path.as_bytes().starts_with(b"blobs/") && blob_digest(path).is_none();
    let below_root = path.parent().is_some_and(|parent| !parent.is_root());
    other_blob || (below_root && matches!(path.file_name(), b"VERSION" | b"json"))
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
