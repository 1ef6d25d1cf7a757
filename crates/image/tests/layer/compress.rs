//! Compressing and reading back.

use std::io::{Read, Write};
use std::num::NonZeroUsize;

use image::Digest;
use image::layer::{Compressed, Compression, Compressor, Expansion, Format, ReadAhead, decompress};

/// Bytes that compress somewhat: no block is like another.
fn noise(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out.iter_mut().skip(1).step_by(2).for_each(|b| *b = b'x');
    out
}

fn compress(data: &[u8], compression: Compression, threads: usize) -> (Vec<u8>, Compressed) {
    let mut compressor = Compressor::new(Vec::new(), compression, NonZeroUsize::new(threads));
    // In odd pieces, with flushes between: neither may show.
    for piece in data.chunks(77_777) {
        compressor.write_all(piece).unwrap();
        compressor.flush().unwrap();
    }
    compressor.finish().unwrap()
}

fn plain(blob: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    decompress(blob, Expansion::default()).unwrap().read_to_end(&mut out).unwrap();
    out
}

const ALL: [Compression; 5] = [
    Compression::None,
    Compression::GZIP,
    Compression::Gzip { level: 1 },
    Compression::ZSTD,
    Compression::Zstd { level: 1 },
];

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    for compression in ALL {
        for len in [0, 1, 1 << 20, (1 << 20) + 1, 9_999_999] {
            let data = noise(len);
            let (one, written) = compress(&data, compression, 1);
            for threads in [2, 4, 7] {
                assert!(
                    compress(&data, compression, threads) == (one.clone(), written),
                    "{compression:?} {len} {threads}"
                );
            }
            assert_eq!(written.diff_id, Digest::of(&data));
            assert_eq!(written.digest, Digest::of(&one));
            assert_eq!((written.size, written.uncompressed_size), (one.len() as u64, len as u64));
            assert!(plain(&one) == data, "{compression:?} {len} does not come back");
        }
    }
}

/// Layer digests depend on these bytes: if they change on purpose, every layer gets another digest.
#[test]
fn golden() {
    let data = noise(3 << 20);
    let digest = |compression| compress(&data, compression, 2).1.digest.hex();
    assert_eq!(digest(Compression::GZIP), "9bc8855ca15389622e5be22c66fa2e8c3cc8d08d629c4addc0b6864ef774cf1c");
    assert_eq!(digest(Compression::ZSTD), "4e89bb07218d1ffbafc73399e67df831805744033e642f913b7616282e0cc60a");
}

/// What cannot be compressed is stored, block by block, and it does not take much to be worth a try.
#[test]
fn gzip_leaves_what_cannot_be_compressed() {
    let mut data = vec![0; 3 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut data);
    let (blob, _) = compress(&data, Compression::GZIP, 2);
    let random = blob.len();
    assert!(random > data.len() && random < data.len() + 4096, "{random}");
    assert!(plain(&blob) == data);
    assert_eq!(Digest::of(&blob).hex(), "0b9190e9027cf6316e80b1c84e175703d5da388c35f53284f1263e4c992fff6f");
    // A quarter of the second block is text.
    let text = &mut data[(1 << 20) + 300_000..][..1 << 18];
    text.iter_mut().zip(b"some text ".iter().cycle()).for_each(|(to, from)| *to = *from);
    let (blob, _) = compress(&data, Compression::GZIP, 2);
    assert!(blob.len() < random - (1 << 18) + 10_000, "{} of {random}", blob.len());
    assert!(plain(&blob) == data);
}

#[test]
fn gzip_says_nothing_about_this_machine() {
    let (blob, _) = compress(b"x", Compression::GZIP, 1);
    // Magic, deflate, no flags, no time, no extra flags, unknown system (RFC 1952, 2.3).
    assert_eq!(blob[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
}

#[test]
fn formats_are_told_by_their_first_bytes() {
    let data = noise(100_000);
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&data).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&data).unwrap();
    let blobs = [
        (Format::Plain, data.clone()),
        (Format::Gzip, compress(&data, Compression::GZIP, 1).0),
        (Format::Zstd, compress(&data, Compression::ZSTD, 1).0),
        (Format::Bzip2, bzip2.finish().unwrap()),
        (Format::Xz, xz.finish().unwrap()),
    ];
    for (format, blob) in blobs {
        assert_eq!(Format::sniff(&blob), format);
        assert!(plain(&blob) == data, "{format:?}");
        assert!(plain(&[&blob[..], &blob].concat()) == [&data[..], &data].concat(), "{format:?} twice");
        if format != Format::Plain {
            let cut = &blob[..blob.len() / 2];
            let result = decompress(cut, Expansion::default()).unwrap().read_to_end(&mut Vec::new());
            assert!(result.is_err(), "half of {format:?}");
        }
    }
}

#[test]
fn skippable_frames_of_zstd_are_skipped() {
    let frame = [&[0x51, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"meta"].concat();
    let (blob, _) = compress(b"hello", Compression::ZSTD, 1);
    assert_eq!(plain(&[&frame[..], &blob, &frame].concat()), b"hello");
}

#[test]
fn short_streams_are_plain() {
    for data in [&b""[..], b"\x1f", b"\x1f\x8b", b"BZ", b"hello"] {
        assert_eq!(plain(data), data);
    }
}

#[test]
fn reading_ahead_changes_nothing() {
    let data = noise(3_000_001);
    let mut out = Vec::new();
    ReadAhead::new(std::io::Cursor::new(data.clone())).unwrap().read_to_end(&mut out).unwrap();
    assert!(out == data);
    let (blob, _) = compress(&data, Compression::GZIP, 2);
    let cut = std::io::Cursor::new(blob[..1_000_000].to_vec());
    let mut ahead = ReadAhead::new(decompress(cut, Expansion::default()).unwrap()).unwrap();
    assert!(ahead.read_to_end(&mut Vec::new()).is_err());
    drop(ReadAhead::new(std::io::repeat(0)).unwrap());
}

#[test]
fn a_level_that_does_not_exist() {
    let mut compressor = Compressor::new(Vec::new(), Compression::Gzip { level: 99 }, None);
    compressor.write_all(b"x").unwrap();
    assert_eq!(compressor.finish().unwrap_err().to_string(), "there is no such level of gzip");
}

/// Fails after some bytes, as a full disk does.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(data.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_stops_it() {
    let mut compressor = Compressor::new(Full(1_000_000), Compression::GZIP, NonZeroUsize::new(2));
    let written = compressor.write_all(&noise(20 << 20)).and_then(|()| compressor.finish().map(drop));
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
}
