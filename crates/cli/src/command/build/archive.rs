//! A build context that comes as an archive, or as nothing but a Dockerfile.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use image::layer::{ApplyOptions, Expansion, Format, Ids, MemberKind, Names, TarReader, apply, decompress};
use image::{Index, Kind};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use store::{Scratch, Store};

use crate::error::Failure;

/// The size of the header of a tar member.
const HEADER: usize = 512;

/// What came.
pub(super) enum Arrived<R> {
    /// The files of an archive, until they are dropped, and the time of the newest.
    Archive(Scratch, Option<i64>),
    /// Something else: a Dockerfile, still to be read.
    Text(io::Chain<Cursor<Vec<u8>>, R>),
}

/// Unpacks `input` if it is an archive (recognized by content: tar, plain or with gzip, bzip2, xz or zstd).
pub(super) fn receive<R: Read + Send + 'static>(
    mut input: R,
    what: &str,
    store: &Store,
) -> Result<Arrived<R>, Failure> {
    let mut start = Vec::with_capacity(HEADER);
    let read = (&mut input).take(HEADER as u64).read_to_end(&mut start);
    read.map_err(|error| Failure::from_error(&error).context(format!("failed to read {what}")))?;
    let archive = is_archive(&start);
    let whole = Cursor::new(start).chain(input);
    if !archive {
        return Ok(Arrived::Text(whole));
    }
    let scratch = store.scratch()?;
    let unpacked = unpack(whole, scratch.path());
    let index = unpacked.map_err(|failure| failure.context(format!("failed to unpack {what}")))?;
    let files = index.entries().iter().filter(|entry| matches!(entry.kind, Kind::File { .. }));
    let newest = files.map(|entry| entry.metadata.mtime.seconds).max();
    Ok(Arrived::Archive(scratch, newest))
}

fn is_archive(start: &[u8]) -> bool {
    if Format::sniff(start) != Format::Plain {
        return true;
    }
    // The end of an archive, which an empty one begins with, is no text either.
    start.len() == HEADER
        && (start.iter().all(|&b| b == 0) || TarReader::new(start).next_member().is_ok_and(|m| m.is_some()))
}

/// Returns the time of the newest file of an archive; `None` if it is something else, or cannot be read to its end.
pub(super) fn newest(file: impl Read + Send + 'static) -> Option<i64> {
    let mut archive = TarReader::new(decompress(file, Expansion::default()).ok()?);
    let mut newest = None;
    while let Some(member) = archive.next_member().ok()? {
        if matches!(member.kind, MemberKind::File | MemberKind::Hardlink) {
            newest = newest.max(Some(member.mtime.seconds));
        }
    }
    newest
}

/// Owners do not count in a context, so none is set.
fn unpack(archive: impl Read + Send + 'static, directory: &Path) -> Result<Index, Failure> {
    let (overlay, _) = store::layer_flavor();
    let options = ApplyOptions { overlay, ids: Ids::Ignore, names: Names::Archive, ..ApplyOptions::default() };
    Ok(apply(decompress(archive, Expansion::default())?, File::open(directory)?.as_fd(), &[], &options)?)
}

/// Opens a file of an unpacked archive; no link in it leads out of it.
pub(super) fn open(root: &Path, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let root: OwnedFd = File::open(root)?.into();
    let file = File::from(rustix::fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Returns a path that is meant within an archive, from its root.
pub(super) fn within(path: &str) -> PathBuf {
    Path::new(path).components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir)).collect()
}
