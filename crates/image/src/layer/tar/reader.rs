//! Reading a tar, member by member.

use std::io::{self, BufRead, BufReader, Read};

use ::tar::{EntryType, Header};

use super::super::{Timestamp, Xattrs};
use super::extension::Extension;
use super::numeric::{checksum_matches, numeric};
use super::sparse::{self, Extent};
use super::{BLOCK, padding};

/// A tar that cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    #[error("unexpected end of archive")]
    Truncated,
    #[error("malformed archive at byte {offset}: {what}")]
    Malformed { offset: u64, what: &'static str },
    #[error("unsupported kind of archive member `{}` at byte {offset}", .flag.escape_ascii())]
    Unsupported { offset: u64, flag: u8 },
    #[error(transparent)]
    Read(io::Error),
}

impl From<io::Error> for TarError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Truncated } else { Self::Read(error) }
    }
}

/// What a member is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MemberKind {
    File,
    Directory,
    Hardlink,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
}

/// One member, extension headers already taken into account. Its names are as they stand: nothing has been proven of them.
#[derive(Clone, Debug)]
pub struct Member {
    pub path: Vec<u8>,
    pub kind: MemberKind,
    /// Of a file, holes included.
    pub size: u64,
    pub sparse: bool,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Timestamp,
    /// Sorted by name.
    pub xattrs: Xattrs,
    /// Target of a hard or symbolic link.
    pub link: Vec<u8>,
    /// Of a device.
    pub major: u32,
    pub minor: u32,
}

/// What extension headers before a member may take. GNU tar and Go stop at about as much.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// Reads members one after the other; each must be asked for its data before the next.
#[derive(Debug)]
pub struct TarReader<R> {
    pub(super) input: BufReader<R>,
    /// Bytes read so far.
    pub(super) offset: u64,
    /// Data and padding of the current member that are still to come.
    pub(super) stored: u64,
    padding: u64,
    /// What the current member's data looks like from outside.
    size: u64,
    position: u64,
    extents: Option<std::vec::IntoIter<Extent>>,
    extent: Option<Extent>,
}

impl<R: Read> TarReader<R> {
    /// Reads from `input`, which need not be buffered.
    pub fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(128 << 10, input),
            offset: 0,
            stored: 0,
            padding: 0,
            size: 0,
            position: 0,
            extents: None,
            extent: None,
        }
    }

    /// Returns the next member, `None` at the end of the archive.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        self.skip(self.stored + self.padding)?;
        (self.stored, self.padding) = (0, 0);
        let mut extension = Extension::default();
        while let Some(header) = self.header()? {
            match header.as_old().linkflag[0] {
                b'x' => {
                    let records = self.extension(&header)?;
                    if !extension.take(&records) {
                        return self.malformed("improper extended header");
                    }
                }
                // Global headers hold comments in practice; what they say about members is ignored, as by others who
                // apply layers.
                b'g' | b'V' => drop(self.extension(&header)?),
                b'L' => extension.take_path(self.extension(&header)?),
                b'K' => extension.take_link(self.extension(&header)?),
                _ => return self.member(&header, extension).map(Some),
            }
        }
        Ok(None)
    }

    /// Returns the data of the member read last.
    pub fn data(&mut self) -> Data<'_, R> {
        Data { reader: self }
    }

    /// Reads to the end of the input, beyond the end of the archive, and returns how many bytes that were in all.
    pub fn drain(mut self) -> Result<u64, TarError> {
        let rest = io::copy(&mut self.input, &mut io::sink())?;
        Ok(self.offset + rest)
    }

    /// Returns how many bytes of the archive have been read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn malformed<T>(&self, what: &'static str) -> Result<T, TarError> {
        Err(TarError::Malformed { offset: self.offset, what })
    }

    /// Returns the next header, `None` at two empty blocks or where the input ends between members.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let block = self.block()?;
        if block == [0; BLOCK] {
            // Some writers leave out the second.
            if self.input.fill_buf()?.is_empty() || self.block()? == [0; BLOCK] {
                return Ok(None);
            }
            return self.malformed("an empty block between members");
        }
        let header = Header::from_byte_slice(&block).clone();
        if checksum_matches(&header) { Ok(Some(header)) } else { self.malformed("wrong checksum of a header") }
    }

    pub(super) fn block(&mut self) -> Result<[u8; BLOCK], TarError> {
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block)?;
        self.offset += BLOCK as u64;
        Ok(block)
    }

    /// Reads the data of an extension header.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        let size = self.number(&header.as_old().size)?;
        let Some(size) = size.try_into().ok().filter(|size| *size <= LONGEST_EXTENSION) else {
            return self.malformed("an extension header is too long");
        };
        let mut data = vec![0; size as usize];
        self.input.read_exact(&mut data)?;
        self.offset += size;
        self.skip(padding(size))?;
        Ok(data)
    }

    fn skip(&mut self, len: u64) -> Result<(), TarError> {
        let skipped = io::copy(&mut self.input.by_ref().take(len), &mut io::sink())?;
        self.offset += skipped;
        if skipped == len { Ok(()) } else { Err(TarError::Truncated) }
    }

    fn member(&mut self, header: &Header, mut extension: Extension) -> Result<Member, TarError> {
        let mut path = extension.path.take().unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = self.kind(header, &path)?;
        // Links, directories and devices have no data, whatever size they claim; a listing of GNU tar's does.
        let has_data = kind == MemberKind::File || header.as_old().linkflag == *b"D";
        let stored = match extension.size {
            Some(size) => size,
            None => self.unsigned(&header.as_old().size)?,
        };
        self.stored = if has_data { stored } else { 0 };
        if self.stored > i64::MAX as u64 {
            return self.malformed("size out of range");
        }
        self.padding = padding(self.stored);
        let map = if kind == MemberKind::File { sparse::map(self, header, &mut extension)? } else { None };
        (self.size, self.position) = (map.as_ref().map_or(self.stored, |map| map.size), 0);
        if let Some(name) = extension.sparse.name.take() {
            path = name;
        }
        let sparse = map.is_some();
        self.extents = map.map(|map| map.extents.into_iter());
        self.extent = self.extents.as_mut().and_then(Iterator::next);
        let link = extension.link.take().or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default();
        let (uid, gid) = (self.id(extension.uid, &header.as_old().uid)?, self.id(extension.gid, &header.as_old().gid)?);
        let (major, minor) = self.device(header, kind)?;
        Ok(Member {
            path,
            kind,
            size: if kind == MemberKind::File { self.size } else { 0 },
            sparse,
            mode: self.unsigned(&header.as_old().mode)? as u32 & 0o7777,
            uid,
            gid,
            mtime: match extension.mtime {
                Some(mtime) => mtime,
                None => Timestamp { seconds: self.number(&header.as_old().mtime)?, nanoseconds: 0 },
            },
            xattrs: extension.xattrs,
            link,
            major,
            minor,
        })
    }

    fn kind(&self, header: &Header, path: &[u8]) -> Result<MemberKind, TarError> {
        Ok(match header.entry_type() {
            // Before POSIX, a directory was a file with a slash at the end of its name.
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => MemberKind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => MemberKind::File,
            EntryType::Link => MemberKind::Hardlink,
            EntryType::Symlink => MemberKind::Symlink,
            EntryType::Char => MemberKind::CharDevice,
            EntryType::Block => MemberKind::BlockDevice,
            EntryType::Directory => MemberKind::Directory,
            EntryType::Fifo => MemberKind::Fifo,
            // A directory with a listing of its names as data (tar --incremental).
            _ if header.as_old().linkflag == *b"D" => MemberKind::Directory,
            _ => return Err(TarError::Unsupported { offset: self.offset, flag: header.as_old().linkflag[0] }),
        })
    }

    fn device(&self, header: &Header, kind: MemberKind) -> Result<(u32, u32), TarError> {
        if !matches!(kind, MemberKind::CharDevice | MemberKind::BlockDevice) {
            return Ok((0, 0));
        }
        let fields = match (header.as_ustar(), header.as_gnu()) {
            (Some(ustar), _) => (&ustar.dev_major, &ustar.dev_minor),
            (_, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
            _ => return self.malformed("a device without a number"),
        };
        match (u32::try_from(self.unsigned(fields.0)?), u32::try_from(self.unsigned(fields.1)?)) {
            (Ok(major), Ok(minor)) => Ok((major, minor)),
            _ => self.malformed("device number out of range"),
        }
    }

    fn id(&self, extension: Option<u64>, field: &[u8]) -> Result<u32, TarError> {
        let id = extension.map_or_else(|| self.unsigned(field), Ok)?;
        // The greatest value means "leave as it is" to chown(2).
        match u32::try_from(id) {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => self.malformed("owner out of range"),
        }
    }

    pub(super) fn unsigned(&self, field: &[u8]) -> Result<u64, TarError> {
        let number = self.number(field)?;
        number.try_into().or_else(|_| self.malformed("a number out of range"))
    }

    fn number(&self, field: &[u8]) -> Result<i64, TarError> {
        numeric(field).map_or_else(|| self.malformed("improper number in a header"), Ok)
    }
}

/// The data of a member, holes filled with zeros.
#[derive(Debug)]
pub struct Data<'a, R> {
    reader: &'a mut TarReader<R>,
}

impl<R: Read> Data<'_, R> {
    /// Returns how many bytes are still to come.
    pub fn remaining(&self) -> u64 {
        self.reader.size - self.reader.position
    }
}

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reader = &mut *self.reader;
        let len = usize::try_from(reader.size - reader.position).unwrap_or(usize::MAX).min(buffer.len());
        let read = reader.read_extent(&mut buffer[..len])?;
        reader.position += read as u64;
        if read == 0 && len > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected end of archive"));
        }
        Ok(read)
    }
}

impl<R: Read> TarReader<R> {
    /// Reads within the current extent, or what lies before it.
    fn read_extent(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = |len: u64, buffer: &[u8]| usize::try_from(len).unwrap_or(usize::MAX).min(buffer.len());
        if self.extents.is_none() {
            return self.read_stored(buffer);
        }
        while self.extent.as_ref().is_some_and(|extent| extent.end() <= self.position) {
            self.extent = self.extents.as_mut().and_then(Iterator::next);
        }
        let next = self.extent.as_ref().map_or(self.size, |extent| extent.offset);
        if self.position < next {
            let len = limit(next - self.position, buffer);
            buffer[..len].fill(0);
            return Ok(len);
        }
        let Some(extent) = &self.extent else { return Ok(0) };
        let len = limit(extent.end() - self.position, buffer);
        self.read_stored(&mut buffer[..len])
    }

    pub(super) fn read_stored(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.stored).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.input.read(&mut buffer[..len])?;
        self.stored -= read as u64;
        self.offset += read as u64;
        Ok(read)
    }
}
