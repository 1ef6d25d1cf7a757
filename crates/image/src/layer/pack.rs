//! Packing a layer: its index and its files become a tar, compressed, the same bytes each time.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags};

use super::compress::{Compression, Compressor};
use super::fs::{DirCache, io_error};
use super::tar::{TarWriter, WriteError};
use super::{Index, LayerPath};
use crate::digest::Digest;

/// How to pack a layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackOptions {
    pub compression: Compression,
    /// No member is to be younger than this (`SOURCE_DATE_EPOCH`).
    pub clamp_mtime: Option<i64>,
    /// How many threads compress, as many as there are processors if `None`. The bytes do not depend on it.
    pub threads: Option<NonZeroUsize>,
}

/// What has been written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packed {
    /// Of the tar.
    pub diff_id: Digest,
    /// Of the compressed tar, whose length is `size`.
    pub digest: Digest,
    pub size: u64,
    pub uncompressed_size: u64,
    pub media: Compression,
}

/// Packs the layer that `index` describes; the data of its files is read from `tree`.
pub fn pack(index: &Index, tree: BorrowedFd<'_>, out: impl Write, options: &PackOptions) -> Result<Packed, WriteError> {
    let mut directories = DirCache::new(tree);
    pack_with(index, |path| open_file(&mut directories, path), out, options)
}

/// Packs the layer that `index` describes; `open` gives the data of a file.
pub fn pack_with<R: Read>(
    index: &Index,
    open: impl FnMut(&LayerPath) -> io::Result<R>,
    out: impl Write,
    options: &PackOptions,
) -> Result<Packed, WriteError> {
    let compressor = Compressor::new(out, options.compression, options.threads);
    // A block at a time: headers are short.
    let writer = TarWriter::new(BufWriter::with_capacity(64 << 10, compressor)).clamp_mtime(options.clamp_mtime);
    let out = write_index(writer, index, open)?;
    let compressor = out.into_inner().map_err(|error| WriteError::Write(error.into_error()))?;
    let (_, written) = compressor.finish().map_err(WriteError::Write)?;
    Ok(Packed {
        diff_id: written.diff_id,
        digest: written.digest,
        size: written.size,
        uncompressed_size: written.uncompressed_size,
        media: options.compression,
    })
}

/// Writes the layer that `index` describes as a plain tar; the data of its files is read from `tree`.
pub fn write_tar<W: Write>(
    index: &Index,
    tree: BorrowedFd<'_>,
    out: W,
    clamp_mtime: Option<i64>,
) -> Result<W, WriteError> {
    let mut directories = DirCache::new(tree);
    write_index(TarWriter::new(out).clamp_mtime(clamp_mtime), index, |path| open_file(&mut directories, path))
}

fn write_index<W: Write, R: Read>(
    mut writer: TarWriter<W>,
    index: &Index,
    mut open: impl FnMut(&LayerPath) -> io::Result<R>,
) -> Result<W, WriteError> {
    for entry in index.entries() {
        writer.append(entry, &mut open)?;
    }
    writer.finish()
}

fn open_file(directories: &mut DirCache<'_>, path: &LayerPath) -> io::Result<File> {
    let parent = directories.get(&path.parent().unwrap_or_default()).map_err(io_error)?;
    // Not blocking: what was a file could be a fifo by now.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, path.file_name(), flags, Mode::empty()).map_err(io_error)?;
    Ok(file.into())
}
