//! The index on disk.
//!
//! ```text
//! magic "kilnidx" and a version byte │ BLAKE3 of all that follows │ number of entries │ entries
//! entry: bytes shared with the path before │ rest of the path │ kind tag │ its fields │ mode uid gid │ mtime │ xattrs
//! ```
//!
//! Integers are LEB128, signed ones zigzag, byte strings follow their length. Paths share their beginning with the one
//! before, which also makes the order cheap to check: only the first byte that differs counts. An index is read on every
//! warm build, so reading does one allocation for a path and little else.

use super::content::tag;
use super::entry::DamagedIndex;
use super::{Entry, Kind, LayerPath, Metadata, Timestamp};
use crate::digest::ContentHash;

const MAGIC: &[u8; 8] = b"kilnidx\x01";
const HEADER: usize = MAGIC.len() + 32;

/// No entry is shorter: it bounds what the count may claim.
const LEAST_ENTRY: usize = 9;
/// The longest path, and what all paths together may take: shared beginnings could else grow out of little.
const LONGEST_PATH: usize = 1 << 20;
const ALL_PATHS: usize = 4 << 30;

/// Writes `entries`, which are sorted by path.
pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut out = Writer { bytes: Vec::with_capacity(HEADER + 10 + entries.len() * 96) };
    out.bytes.extend_from_slice(MAGIC);
    out.bytes.extend_from_slice(&[0; 32]);
    out.number(entries.len() as u64);
    let mut before: &[u8] = b"";
    for entry in entries {
        let path = entry.path.as_bytes();
        let shared = path.iter().zip(before).take_while(|(a, b)| a == b).count();
        out.number(shared as u64);
        out.string(&path[shared..]);
        out.kind(&entry.kind);
        out.metadata(&entry.metadata);
        before = path;
    }
    let checksum = blake3::hash(&out.bytes[HEADER..]);
    out.bytes[MAGIC.len()..HEADER].copy_from_slice(checksum.as_bytes());
    out.bytes
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn kind(&mut self, kind: &Kind) {
        self.bytes.push(tag(kind));
        match kind {
            Kind::Directory { opaque } => self.bytes.push(u8::from(*opaque)),
            Kind::File { size, content } => {
                self.number(*size);
                self.bytes.extend_from_slice(&content.0);
            }
            Kind::Hardlink { target } => self.string(target.as_bytes()),
            Kind::Symlink { target } => self.string(target),
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                self.number(u64::from(*major));
                self.number(u64::from(*minor));
            }
            Kind::Fifo | Kind::Whiteout => {}
        }
    }

    fn metadata(&mut self, metadata: &Metadata) {
        let Metadata { mode, uid, gid, mtime, xattrs } = metadata;
        self.number(u64::from(*mode));
        self.number(u64::from(*uid));
        self.number(u64::from(*gid));
        self.number(((mtime.seconds << 1) ^ (mtime.seconds >> 63)) as u64);
        self.number(u64::from(mtime.nanoseconds));
        self.number(xattrs.len() as u64);
        for (name, value) in xattrs {
            self.string(name);
            self.string(value);
        }
    }

    fn string(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Entry>, DamagedIndex> {
    let body = checked_body(bytes)?;
    let mut input = Reader { rest: body };
    let count = input.size()?;
    if count > body.len() / LEAST_ENTRY {
        return Err(DamagedIndex("more entries than bytes"));
    }
    let mut entries = Vec::with_capacity(count);
    let mut path = Vec::with_capacity(256);
    let mut budget = ALL_PATHS;
    for first in (0..count).map(|i| i == 0) {
        input.path(&mut path, first)?;
        budget = budget.checked_sub(path.len()).ok_or(DamagedIndex("paths too long"))?;
        let path = LayerPath::from_checked(&path);
        entries.push(Entry { path, kind: input.kind()?, metadata: input.metadata()? });
    }
    if input.rest.is_empty() { Ok(entries) } else { Err(DamagedIndex("bytes after the last entry")) }
}

/// Returns what the checksum covers, once it has been found right.
fn checked_body(bytes: &[u8]) -> Result<&[u8], DamagedIndex> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(DamagedIndex("not an index of this version"));
    };
    let Some((checksum, body)) = rest.split_first_chunk::<32>() else {
        return Err(DamagedIndex("too short"));
    };
    if blake3::hash(body) == *checksum { Ok(body) } else { Err(DamagedIndex("wrong checksum")) }
}

const SHORT: DamagedIndex = DamagedIndex("too short");

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads the next path over the one before it, which must be less.
    fn path(&mut self, path: &mut Vec<u8>, first: bool) -> Result<(), DamagedIndex> {
        let shared = self.size()?;
        let rest = self.string()?;
        if shared > path.len() || shared + rest.len() > LONGEST_PATH {
            return Err(DamagedIndex("path out of bounds"));
        }
        let rank = |b: u8| if b == b'/' { 0 } else { b };
        match (path.get(shared), rest.first()) {
            (None, None) if first => {}
            (None, Some(_)) => {}
            (Some(before), Some(byte)) if rank(*before) < rank(*byte) => {}
            _ => return Err(DamagedIndex("entries out of order")),
        }
        let component = path[..shared].iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        path.truncate(shared);
        path.extend_from_slice(rest);
        if path.is_empty() || is_proper(&path[component..]) { Ok(()) } else { Err(DamagedIndex("improper path")) }
    }

    fn kind(&mut self) -> Result<Kind, DamagedIndex> {
        Ok(match self.byte()? {
            0 => match self.byte()? {
                opaque @ 0..=1 => Kind::Directory { opaque: opaque == 1 },
                _ => return Err(DamagedIndex("improper flag")),
            },
            1 => Kind::File { size: self.number()?, content: ContentHash(*self.array()?) },
            2 => Kind::Hardlink { target: self.target()? },
            3 => Kind::Symlink { target: self.string()?.into() },
            4 => Kind::CharDevice { major: self.small()?, minor: self.small()? },
            5 => Kind::BlockDevice { major: self.small()?, minor: self.small()? },
            6 => Kind::Fifo,
            7 => Kind::Whiteout,
            _ => return Err(DamagedIndex("unknown kind")),
        })
    }

    fn target(&mut self) -> Result<LayerPath, DamagedIndex> {
        let bytes = self.string()?;
        match LayerPath::new(bytes) {
            Some(path) if path.as_bytes() == bytes => Ok(path),
            _ => Err(DamagedIndex("improper path")),
        }
    }

    fn metadata(&mut self) -> Result<Metadata, DamagedIndex> {
        let (mode, uid, gid) = (self.small()?, self.small()?, self.small()?);
        let zigzag = self.number()?;
        let seconds = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let mtime = Timestamp { seconds, nanoseconds: self.small()? };
        let count = self.size()?;
        if count > self.rest.len() {
            return Err(SHORT);
        }
        let mut xattrs = Vec::new();
        for _ in 0..count {
            xattrs.push((self.string()?.into(), self.string()?.into()));
        }
        Ok(Metadata { mode, uid, gid, mtime, xattrs })
    }

    fn string(&mut self) -> Result<&'a [u8], DamagedIndex> {
        let len = self.size()?;
        let (string, rest) = self.rest.split_at_checked(len).ok_or(SHORT)?;
        self.rest = rest;
        Ok(string)
    }

    fn array(&mut self) -> Result<&'a [u8; 32], DamagedIndex> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(SHORT)?;
        self.rest = rest;
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, DamagedIndex> {
        let (byte, rest) = self.rest.split_first().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*byte)
    }

    #[inline]
    fn number(&mut self) -> Result<u64, DamagedIndex> {
        match self.rest {
            // Most are short.
            [byte @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, DamagedIndex> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DamagedIndex("number out of range"))
    }

    fn small(&mut self) -> Result<u32, DamagedIndex> {
        u32::try_from(self.number()?).map_err(|_| DamagedIndex("number out of range"))
    }

    fn size(&mut self) -> Result<usize, DamagedIndex> {
        usize::try_from(self.number()?).map_err(|_| DamagedIndex("number out of range"))
    }
}

/// True for components, joined by slashes, as [`LayerPath`] has them. One pass, for there are many paths.
fn is_proper(path: &[u8]) -> bool {
    // How long the component is so far, and whether it is all dots.
    let (mut len, mut dots) = (0_u32, true);
    for &byte in path {
        match byte {
            0 => return false,
            b'/' if len == 0 || (dots && len <= 2) => return false,
            b'/' => (len, dots) = (0, true),
            _ => (len, dots) = (len.saturating_add(1), dots && byte == b'.'),
        }
    }
    len > 0 && !(dots && len <= 2)
}
