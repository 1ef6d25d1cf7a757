//! The compressors, a block at a time.

use std::io;

use super::Compression;

/// Compresses one block after the other.
pub(super) enum Codec {
    None(Vec<u8>),
    Gzip(Box<Gzip>, Vec<u8>),
    Zstd(zstd::bulk::Compressor<'static>, Vec<u8>),
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").finish_non_exhaustive()
    }
}

/// How much of a block is tried, and in how many pieces.
const SAMPLE: usize = 8 << 10;
const SAMPLES: usize = 8;

/// What compresses at the level that was asked for, at the lowest one, and not at all.
pub(super) struct Gzip {
    chosen: libdeflater::Compressor,
    quick: libdeflater::Compressor,
    none: libdeflater::Compressor,
}

fn gzip(level: i32) -> io::Result<libdeflater::Compressor> {
    let level = libdeflater::CompressionLvl::new(level);
    let level = level.map_err(|_| io::Error::other("there is no such level of gzip"))?;
    Ok(libdeflater::Compressor::new(level))
}

impl Gzip {
    /// False if not one of the samples of a block loses a thirty-second of its size: archives, pictures and what is
    /// encrypted take as long as text does and give nothing. Part of layer digests.
    fn is_worthwhile(&mut self, block: &[u8], scratch: &mut Vec<u8>) -> io::Result<bool> {
        if block.len() < SAMPLES * SAMPLE {
            return Ok(true);
        }
        scratch.resize(self.quick.deflate_compress_bound(SAMPLE).max(scratch.len()), 0);
        let step = (block.len() - SAMPLE) / (SAMPLES - 1);
        for sample in (0..SAMPLES).map(|at| &block[at * step..][..SAMPLE]) {
            let len = self.quick.deflate_compress(sample, scratch).map_err(io::Error::other)?;
            if len < SAMPLE - SAMPLE / 32 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Codec {
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(Vec::new()),
            Compression::Gzip { level } => {
                let level = i32::try_from(level).map_err(io::Error::other)?;
                Self::Gzip(Box::new(Gzip { chosen: gzip(level)?, quick: gzip(1)?, none: gzip(0)? }), Vec::new())
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
            Self::Gzip(gzip, out) => {
                let codec = if gzip.is_worthwhile(block, out)? { &mut gzip.chosen } else { &mut gzip.none };
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
