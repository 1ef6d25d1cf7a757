//! From a layer directory to a layer blob.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use image::descriptor::{descriptor, digest_of};
use image::layer::{Compression, PackOptions, pack};
use image::{Descriptor, Digest};

use crate::layer::{PackedAs, Source, damaged, layer_name};
use crate::{Error, LayerId, Result, Store};

/// A layer as a blob.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packed {
    pub diff_id: Digest,
    /// Media type, digest and size of the compressed blob, which is in the store.
    pub descriptor: Descriptor,
}

impl Store {
    /// Packs a layer into a blob, or returns what an earlier packing gave. A layer from outside is the blob it came as,
    /// whatever the options: its bytes are never made again.
    pub fn pack(&self, id: &LayerId, options: &PackOptions) -> Result<Packed> {
        self.pack_unless(id, options, &AtomicBool::new(false))
    }

    /// Like [`pack`](Self::pack), but fails soon after `stop` was set.
    pub fn pack_unless(&self, id: &LayerId, options: &PackOptions, stop: &AtomicBool) -> Result<Packed> {
        let key = key_of(options);
        if let Some(packed) = self.packed(id, &key)? {
            return Ok(packed);
        }
        let _alone = self.wait_for(&format!("pack-{id}"))?;
        if let Some(packed) = self.packed(id, &key)? {
            return Ok(packed);
        }
        let packed = self.pack_now(id, options, stop)?;
        let mut meta = self.meta(id)?;
        match meta.packed.iter().find(|earlier| earlier.options == key) {
            Some(earlier) if earlier.diff_id == packed.diff_id && earlier.blob == packed.descriptor => {}
            Some(earlier) => {
                let expected = digest_of(&earlier.blob).map_err(|error| damaged(id, error))?;
                let actual = digest_of(&packed.descriptor).map_err(|error| damaged(id, error))?;
                return Err(Error::PackedDiffers { id: id.clone(), expected, actual });
            }
            None => {
                let (diff_id, blob) = (packed.diff_id, packed.descriptor.clone());
                let plain = options.clamp_mtime.is_none();
                meta.packed.push(PackedAs { options: key, plain, diff_id, blob });
                self.put_meta(id, &meta)?;
            }
        }
        self.put_diff_id(&packed.diff_id, id)?;
        Ok(packed)
    }

    /// Returns what an earlier packing gave, if the blob is still here.
    fn packed(&self, id: &LayerId, key: &str) -> Result<Option<Packed>> {
        let meta = self.meta(id)?;
        if let Some(Source { diff_id, blob }) = meta.source {
            let digest = digest_of(&blob).map_err(|error| damaged(id, error))?;
            if !self.has_blob(&digest) {
                return Err(Error::MissingSource { id: id.clone(), blob: digest });
            }
            return Ok(Some(Packed { diff_id, descriptor: blob }));
        }
        let earlier = meta.packed.into_iter().find(|packed| packed.options == key);
        let here = |packed: &PackedAs| digest_of(&packed.blob).is_ok_and(|digest| self.has_blob(&digest));
        Ok(earlier.filter(here).map(|packed| Packed { diff_id: packed.diff_id, descriptor: packed.blob }))
    }

    fn pack_now(&self, id: &LayerId, options: &PackOptions, stop: &AtomicBool) -> Result<Packed> {
        let index = self.index(id)?;
        let name = format!("{}/tree", layer_name(id));
        let tree = self.dir().open_dir(&name).map_err(self.dir().fails("open", &name))?;
        let mut writer = self.blob_writer()?.trusting();
        let packed = pack(&index, tree.as_fd(), Stoppable { out: &mut writer, stop }, options)
            .map_err(|source| Error::pack(id, self.dir().full(&name), source))?;
        writer.finish_as(&packed.digest, packed.size)?;
        let media_type = options.compression.layer_media_type();
        Ok(Packed { diff_id: packed.diff_id, descriptor: descriptor(media_type, packed.digest, packed.size) })
    }
}

/// Fails instead of writing once it was told to stop.
struct Stoppable<'a, W> {
    out: W,
    stop: &'a AtomicBool,
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("it was stopped"));
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Spells out the options that the bytes depend on.
fn key_of(options: &PackOptions) -> String {
    let compression = match options.compression {
        Compression::None => "none".to_owned(),
        // Behind the dot: what else of the compressor was changed.
        Compression::Gzip { level } => format!("gzip-{level}.2"),
        Compression::Zstd { level } => format!("zstd-{level}"),
    };
    match options.clamp_mtime {
        Some(time) => format!("{compression} clamp-{time}"),
        None => compression,
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
