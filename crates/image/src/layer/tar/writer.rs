//! Writing a tar: the same entry always gives the same bytes.
//!
//! A plain ustar header where everything fits; what does not fit goes into PAX records before it, sorted by keyword, and
//! nothing else does. Numeric owners without names, whole seconds, no access or change times.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use ::tar::{EntryType, Header};

use super::super::{Entry, Kind, LayerPath, Metadata};
use super::{BLOCK, padding, pax};
use crate::digest::ContentHash;

/// An entry that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("failed to read {path}")]
    Read { path: LayerPath, source: io::Error },
    #[error("{path} is not what it was when it was indexed")]
    Changed { path: LayerPath },
    #[error("{path} cannot be written to a tar: {what}")]
    Unrepresentable { path: LayerPath, what: &'static str },
    #[error("failed to write the archive")]
    Write(#[source] io::Error),
}

/// The most that eleven octal digits hold.
const MOST_SIZE: u64 = 0o777_7777_7777;
/// The most that seven hold.
const MOST_ID: u64 = 0o777_7777;

/// Writes entries as members of a tar, in the order in which they are given.
#[derive(Debug)]
pub struct TarWriter<W> {
    out: W,
    clamp_mtime: Option<i64>,
    header: Vec<u8>,
    buffer: Vec<u8>,
}

/// What goes into one header.
struct Fields<'a> {
    path: &'a [u8],
    kind: EntryType,
    size: u64,
    link: &'a [u8],
    device: (u32, u32),
    metadata: &'a Metadata,
}

impl<W: Write> TarWriter<W> {
    /// Writes to `out`, which should be buffered: headers are short.
    pub fn new(out: W) -> Self {
        Self { out, clamp_mtime: None, header: Vec::new(), buffer: vec![0; 128 << 10] }
    }

    /// No member is to be younger than `seconds` (`SOURCE_DATE_EPOCH`).
    #[must_use]
    pub fn clamp_mtime(mut self, seconds: Option<i64>) -> Self {
        self.clamp_mtime = seconds;
        self
    }

    /// Writes `entry`; `open` gives the data if it is a file, which must be what the entry says. The root has no member
    /// of its own, but may be opaque.
    pub fn append<R: Read>(
        &mut self,
        entry: &Entry,
        open: impl FnOnce(&LayerPath) -> io::Result<R>,
    ) -> Result<(), WriteError> {
        let path = &entry.path;
        if path.is_root() && !matches!(entry.kind, Kind::Directory { .. }) {
            return Err(WriteError::Unrepresentable { path: path.clone(), what: "it is the root, and no directory" });
        }
        let plain = |kind| Fields {
            path: path.as_bytes(),
            kind,
            size: 0,
            link: b"",
            device: (0, 0),
            metadata: &entry.metadata,
        };
        match &entry.kind {
            Kind::File { size, content } => {
                let data = open(path).map_err(|source| WriteError::Read { path: path.clone(), source })?;
                self.header(path, &Fields { size: *size, ..plain(EntryType::Regular) })?;
                self.data(path, *size, Some(content), data)
            }
            Kind::Directory { opaque } => self.directory(path, plain(EntryType::Directory), *opaque),
            Kind::Hardlink { target } => {
                // The file's own member has the attributes.
                let metadata = &Metadata { xattrs: Vec::new(), ..entry.metadata.clone() };
                let fields = Fields { metadata, ..plain(EntryType::Link) };
                self.header(path, &Fields { link: target.as_bytes(), ..fields })
            }
            Kind::Symlink { target } => self.header(path, &Fields { link: target, ..plain(EntryType::Symlink) }),
            Kind::CharDevice { major, minor } => {
                self.header(path, &Fields { device: (*major, *minor), ..plain(EntryType::Char) })
            }
            Kind::BlockDevice { major, minor } => {
                self.header(path, &Fields { device: (*major, *minor), ..plain(EntryType::Block) })
            }
            Kind::Fifo => self.header(path, &plain(EntryType::Fifo)),
            Kind::Whiteout => {
                let Some(parent) = path.parent() else { return Ok(()) };
                self.marker(path, &parent, &[b".wh.", path.file_name()].concat())
            }
        }
    }

    /// Writes a file that no index knows: `size` bytes of `data`.
    pub fn append_file(
        &mut self,
        path: &LayerPath,
        metadata: &Metadata,
        size: u64,
        data: impl Read,
    ) -> Result<(), WriteError> {
        let (kind, link, device) = (EntryType::Regular, &b""[..], (0, 0));
        self.header(path, &Fields { path: path.as_bytes(), kind, size, link, device, metadata })?;
        self.data(path, size, None, data)
    }

    /// Ends the archive and returns what it was written to.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.out.write_all(&[0; 2 * BLOCK]).map_err(WriteError::Write)?;
        Ok(self.out)
    }

    fn directory(&mut self, path: &LayerPath, fields: Fields<'_>, opaque: bool) -> Result<(), WriteError> {
        if !path.is_root() {
            let name = [path.as_bytes(), b"/"].concat();
            self.header(path, &Fields { path: &name, ..fields })?;
        }
        if opaque { self.marker(path, path, b".wh..wh..opq") } else { Ok(()) }
    }

    /// Writes the empty file that stands for a whiteout (image-spec layer.md, Whiteouts).
    fn marker(&mut self, path: &LayerPath, directory: &LayerPath, name: &[u8]) -> Result<(), WriteError> {
        let (kind, link, device) = (EntryType::Regular, &b""[..], (0, 0));
        let metadata = &Metadata::default();
        let marker = directory.join(name);
        self.header(path, &Fields { path: marker.as_bytes(), kind, size: 0, link, device, metadata })
    }

    fn header(&mut self, path: &LayerPath, fields: &Fields<'_>) -> Result<(), WriteError> {
        self.header.clear();
        push_member(&mut self.header, fields, self.clamp_mtime)
            .map_err(|what| WriteError::Unrepresentable { path: path.clone(), what })?;
        self.out.write_all(&self.header).map_err(WriteError::Write)
    }

    /// Copies `size` bytes and no more, and fills the block. With a hash they must be just those.
    fn data(
        &mut self,
        path: &LayerPath,
        size: u64,
        content: Option<&ContentHash>,
        mut data: impl Read,
    ) -> Result<(), WriteError> {
        let changed = || WriteError::Changed { path: path.clone() };
        let mut hasher = blake3::Hasher::new();
        let mut left = size;
        loop {
            // One byte more than is left, to see whether the file has grown.
            let most = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX).min(self.buffer.len());
            match data.read(&mut self.buffer[..most]) {
                Ok(0) if left == 0 => break,
                Ok(0) => return Err(changed()),
                Ok(read) => {
                    left = left.checked_sub(read as u64).ok_or_else(changed)?;
                    if content.is_some() {
                        hasher.update(&self.buffer[..read]);
                    }
                    self.out.write_all(&self.buffer[..read]).map_err(WriteError::Write)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(WriteError::Read { path: path.clone(), source }),
            }
        }
        if content.is_some_and(|content| hasher.finalize() != content.0) {
            return Err(changed());
        }
        self.out.write_all(&[0; BLOCK][..padding(size) as usize]).map_err(WriteError::Write)
    }
}

/// Appends the header of a member, after its PAX records if it needs any.
fn push_member(out: &mut Vec<u8>, fields: &Fields<'_>, clamp_mtime: Option<i64>) -> Result<(), &'static str> {
    let Metadata { mode, uid, gid, mtime, xattrs } = fields.metadata;
    let mtime = clamp_mtime.map_or(mtime.seconds, |clamp| mtime.seconds.min(clamp));
    let mut records = Records::default();
    for (name, value) in xattrs {
        records.xattr(name, value)?;
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(fields.kind);
    header.set_mode(*mode);
    header.set_uid(records.number("uid", (*uid).into(), MOST_ID));
    header.set_gid(records.number("gid", (*gid).into(), MOST_ID));
    header.set_size(records.number("size", fields.size.into(), MOST_SIZE));
    header.set_mtime(records.number("mtime", mtime.into(), MOST_SIZE));
    let split = split_path(fields.path);
    records.name("path", fields.path, split.is_some());
    records.name("linkpath", fields.link, fields.link.len() <= 100);
    set_names(&mut header, split, fields);
    set_device(&mut header, fields.device)?;
    if let Some(data) = records.data() {
        push_extension(out, fields.path, &data);
    }
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    Ok(())
}

/// What does not fit into a header, sorted by keyword.
#[derive(Default)]
struct Records {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    binary: bool,
}

impl Records {
    fn xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if name.is_empty() || name.contains(&0) {
            return Err("it has an extended attribute without a proper name");
        }
        self.records.insert(pax::xattr_key(name), value.to_vec());
        Ok(())
    }

    /// Returns what to write into the header: `number`, or 0 if that is more than `most` or negative.
    fn number(&mut self, key: &str, number: i128, most: u64) -> u64 {
        match u64::try_from(number) {
            Ok(plain) if plain <= most => plain,
            _ => {
                self.records.insert(key.into(), number.to_string().into());
                0
            }
        }
    }

    /// Text that is not ASCII is UTF-8 for sure only in a record. Other bytes are left as they are where they fit.
    fn name(&mut self, key: &str, name: &[u8], fits: bool) {
        let utf8 = std::str::from_utf8(name).is_ok();
        if !fits || (utf8 && !name.is_ascii()) {
            self.records.insert(key.into(), name.to_vec());
            self.binary |= !utf8;
        }
    }

    fn data(mut self) -> Option<Vec<u8>> {
        if self.binary {
            // pax(1), Extended Header Keywords: names in this header are in no known encoding.
            self.records.insert("hdrcharset".into(), "BINARY".into());
        }
        let mut data = Vec::new();
        for (key, value) in &self.records {
            pax::push_record(&mut data, key, value);
        }
        (!data.is_empty()).then_some(data)
    }
}

/// Splits a path into the two fields of a ustar header; `None` if it does not fit.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    // A name must be left after the slash, even if the path ends in another.
    let last = path.len() - 2;
    let slash = path[..=last.min(155)].iter().rposition(|&b| b == b'/')?;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (!prefix.is_empty() && name.len() <= 100).then_some((prefix, name))
}

fn set_names(header: &mut Header, split: Option<(&[u8], &[u8])>, fields: &Fields<'_>) {
    let (prefix, name) = split.unwrap_or((b"", fields.path));
    if let Some(ustar) = header.as_ustar_mut() {
        put(&mut ustar.prefix, prefix);
        put(&mut ustar.name, name);
        put(&mut ustar.linkname, fields.link);
    }
}

fn set_device(header: &mut Header, (major, minor): (u32, u32)) -> Result<(), &'static str> {
    if u64::from(major.max(minor)) > MOST_ID {
        return Err("its device number is too large");
    }
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.set_device_major(major);
        ustar.set_device_minor(minor);
    }
    Ok(())
}

/// Copies as much as there is room for.
fn put(field: &mut [u8], name: &[u8]) {
    let len = name.len().min(field.len());
    field[..len].copy_from_slice(&name[..len]);
}

/// Appends the extended header with its records.
fn push_extension(out: &mut Vec<u8>, path: &[u8], records: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(records.len() as u64);
    let base = path.strip_suffix(b"/").unwrap_or(path).rsplit(|&b| b == b'/').next().unwrap_or_default();
    if let Some(ustar) = header.as_ustar_mut() {
        put(&mut ustar.name, &[b"PaxHeaders.0/", base].concat());
        ustar.set_device_major(0);
        ustar.set_device_minor(0);
    }
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(records);
    out.extend_from_slice(&[0; BLOCK][..padding(records.len() as u64) as usize]);
}
