//! Reading a stream of whatever compression.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

/// How a stream is compressed, by its first bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Format {
    /// None of the others.
    Plain,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Format {
    /// Returns the format of a stream that starts with `bytes`; six are enough.
    pub fn sniff(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // A frame, or one to be skipped (RFC 8878, 3.1.2), with which seekable formats may start.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// How much may come out of how little.
#[derive(Clone, Copy, Debug)]
pub struct Expansion {
    /// Up to here nothing is asked.
    pub free: u64,
    /// Beyond, at most this many bytes for each one that went in.
    pub ratio: u64,
}

impl Default for Expansion {
    /// The best that deflate can do is 1,032; real layers stay below 100.
    fn default() -> Self {
        Self { free: 1 << 30, ratio: 1_000 }
    }
}

/// The most memory that a decoder may want: xz at level 9 takes 65 MiB, zstd at level 22 128.
const WINDOW_LOG: u32 = 27;
const XZ_MEMORY: u64 = 256 << 20;

const BUFFER: usize = 256 << 10;

/// Returns what `input` holds, decompressed; an error for what is no longer believable.
pub fn decompress<'a>(input: impl Read + Send + 'a, expansion: Expansion) -> io::Result<Box<dyn Read + Send + 'a>> {
    let taken = Arc::new(AtomicU64::new(0));
    let mut input = Counted { input, count: Arc::clone(&taken) };
    let start = peek(&mut input)?;
    let format = Format::sniff(&start);
    let input = BufReader::with_capacity(BUFFER, io::Cursor::new(start).chain(input));
    if format == Format::Plain {
        return Ok(Box::new(input));
    }
    let decoder: Box<dyn Read + Send + 'a> = match format {
        // Never the decoder of one member: what is packed here has one for each block.
        Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Format::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Format::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        }
        Format::Plain => Box::new(input),
    };
    Ok(Box::new(Bounded { decoder, expansion, taken, given: 0 }))
}

/// Takes the first six bytes off `input`, fewer only if there are no more.
fn peek(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(6);
    input.take(6).read_to_end(&mut start)?;
    Ok(start)
}

struct Counted<R> {
    input: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

struct Bounded<R> {
    decoder: R,
    expansion: Expansion,
    taken: Arc<AtomicU64>,
    given: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.given += read as u64;
        let most = self.taken.load(Ordering::Relaxed).saturating_mul(self.expansion.ratio);
        if self.given > self.expansion.free && self.given > most {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "expands beyond all measure"));
        }
        Ok(read)
    }
}

/// Reads ahead on a thread of its own, so that decompressing and using overlap.
#[derive(Debug)]
pub struct ReadAhead {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: io::Cursor<Vec<u8>>,
}

/// How far ahead: chunks of [`BUFFER`] bytes.
const CHUNKS: usize = 8;

impl ReadAhead {
    /// Starts reading `input`. The thread ends with the input, or soon after `self` is dropped.
    pub fn new(mut input: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(CHUNKS);
        let read = move || {
            loop {
                let chunk = read_chunk(&mut input);
                let last = !chunk.as_ref().is_ok_and(|chunk| !chunk.is_empty());
                if sender.send(chunk).is_err() || last {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("read-ahead".into()).spawn(read)?;
        Ok(Self { chunks, chunk: io::Cursor::default() })
    }
}

/// Reads a whole chunk, shorter only at the end.
fn read_chunk(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(BUFFER);
    input.take(BUFFER as u64).read_to_end(&mut chunk)?;
    Ok(chunk)
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.fill_buf()?.is_empty() {
            // After an empty chunk or an error the thread is gone: the end stays the end.
            self.chunk = io::Cursor::new(self.chunks.recv().unwrap_or_else(|_| Ok(Vec::new()))?);
        }
        self.chunk.read(buffer)
    }
}
