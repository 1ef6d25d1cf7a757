//! The compressors, a block at a time.

use std::io;

use super::Compression;

/// Compresses one block after the other.
pub(super) enum Codec {
    None(Vec<u8>),
    Gzip(libdeflater::Compressor, Vec<u8>),
    Zstd(zstd::bulk::Compressor<'static>, Vec<u8>),
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").finish_non_exhaustive()
    }
}

impl Codec {
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(Vec::new()),
            Compression::Gzip { level } => {
                let level = i32::try_from(level).ok().and_then(|level| libdeflater::CompressionLvl::new(level).ok());
                let level = level.ok_or_else(|| io::Error::other("there is no such level of gzip"))?;
                Self::Gzip(libdeflater::Compressor::new(level), Vec::new())
            }
            Compression::Zstd { level } => Self::Zstd(zstd::bulk::Compressor::new(level)?, Vec::new()),
        })
    }

    pub(super) fn compress(&mut self, block: &[u8]) -> io::Result<&[u8]> {
        let (out, len) = match self {
            Self::None(out) => {
                out.clear();
                out.extend_from_slice(block);
                (out, block.len())
            }
            Self::Gzip(codec, out) => {
                // libdeflate writes no name, no time, and 255 ("unknown") for the system: nothing of this machine.
                out.resize(codec.gzip_compress_bound(block.len()), 0);
                let len = codec.gzip_compress(block, out).map_err(io::Error::other)?;
                (out, len)
            }
            Self::Zstd(codec, out) => {
                out.clear();
                out.reserve(zstd::zstd_safe::compress_bound(block.len()));
                let len = codec.compress_to_buffer(block, out)?;
                (out, len)
            }
        };
        Ok(&out[..len])
    }
}
