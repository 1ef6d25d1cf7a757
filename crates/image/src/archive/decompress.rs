//! Telling how an archive is compressed.

use std::io::{self, BufRead, BufReader, Read};

use crate::media_type::LayerEncoding;

/// Returns a reader of what is in `archive`, compressed or not.
pub(super) fn detect<'a>(archive: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut archive = BufReader::with_capacity(128 << 10, archive);
    let encoding = LayerEncoding::sniff(archive.fill_buf()?);
    decode(encoding, archive)
}

/// Returns a reader of what `compressed` holds.
pub(super) fn decode<'a>(encoding: LayerEncoding, compressed: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match encoding {
        LayerEncoding::Plain => Box::new(compressed),
        // Gzip may have several members: parallel compressors write them.
        LayerEncoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(compressed)),
        LayerEncoding::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(compressed)?),
    })
}
