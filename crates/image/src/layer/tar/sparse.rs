//! Files with holes, in the four ways GNU tar has written them (GNU tar manual, Storing Sparse Files).

use std::io::Read;

use ::tar::Header;

use super::extension::Extension;
use super::reader::{TarError, TarReader};
use super::{BLOCK, pax};

/// A run of data in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) len: u64,
}

impl Extent {
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

/// Where the data of a file goes.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) size: u64,
    pub(super) extents: Vec<Extent>,
}

/// What PAX headers say about holes. In format 0.0 offsets and lengths are records of their own, in 0.1 one record holds
/// all numbers, in 1.0 they come before the data.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) name: Option<Vec<u8>>,
    size: Option<u64>,
    numbers: Vec<u64>,
    before_data: bool,
}

impl Pax {
    /// Takes one record, if it is about holes; false if its value is improper.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> bool {
        match key {
            b"GNU.sparse.name" => self.name = Some(value.to_vec()),
            b"GNU.sparse.major" => self.before_data = value == b"1",
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.size = pax::decimal(value);
                return self.size.is_some();
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                return pax::decimal(value).map(|number| self.numbers.push(number)).is_some();
            }
            b"GNU.sparse.map" => {
                let numbers = value.split(|&b| b == b',').map(pax::decimal).collect::<Option<_>>();
                self.numbers = numbers.unwrap_or_default();
                return !self.numbers.is_empty();
            }
            _ => {}
        }
        true
    }
}

/// More extents than this are nobody's file.
const MOST_EXTENTS: u64 = 1 << 20;

/// Returns where the data of the member goes, `None` if it has no holes.
pub(super) fn map<R: Read>(
    reader: &mut TarReader<R>,
    header: &Header,
    extension: &mut Extension,
) -> Result<Option<Map>, TarError> {
    let pax = &mut extension.sparse;
    let map = match (header.as_old().linkflag, pax.size) {
        ([b'S'], _) => old(reader, header)?,
        (_, Some(size)) if pax.before_data => Map { size, extents: before_data(reader)? },
        (_, Some(size)) => Map { size, extents: pairs(&pax.numbers) },
        _ => return Ok(None),
    };
    if is_proper(&map, reader.stored) { Ok(Some(map)) } else { reader.malformed("improper map of a sparse file") }
}

fn pairs(numbers: &[u64]) -> Vec<Extent> {
    numbers.chunks(2).map(|pair| Extent { offset: pair[0], len: pair.get(1).copied().unwrap_or(u64::MAX) }).collect()
}

/// True if the extents come one after the other, end inside the file, and hold as much as is stored.
fn is_proper(map: &Map, stored: u64) -> bool {
    let ordered = map.extents.iter().try_fold(0, |end, extent| {
        let next = extent.offset.checked_add(extent.len)?;
        (extent.offset >= end && next <= map.size).then_some(next)
    });
    ordered.is_some() && map.size <= i64::MAX as u64 && map.extents.iter().map(|e| e.len).sum::<u64>() == stored
}

/// Reads the map of the old GNU format, in the header and in blocks right after it.
fn old<R: Read>(reader: &mut TarReader<R>, header: &Header) -> Result<Map, TarError> {
    let Some(gnu) = header.as_gnu() else { return reader.malformed("a sparse file in an unknown format") };
    let (fields, mut extended) = (&header.as_bytes()[386..482], gnu.isextended[0] != 0);
    let size = reader.unsigned(&gnu.realsize)?;
    let mut extents = Vec::new();
    old_extents(reader, fields, &mut extents)?;
    while extended {
        let block = reader.block()?;
        old_extents(reader, &block[..504], &mut extents)?;
        extended = block[504] != 0;
        if extents.len() as u64 > MOST_EXTENTS {
            return reader.malformed("too many holes in a file");
        }
    }
    Ok(Map { size, extents })
}

fn old_extents<R: Read>(reader: &TarReader<R>, fields: &[u8], extents: &mut Vec<Extent>) -> Result<(), TarError> {
    for field in fields.chunks_exact(24).take_while(|field| field[0] != 0 && field[12] != 0) {
        extents.push(Extent { offset: reader.unsigned(&field[..12])?, len: reader.unsigned(&field[12..])? });
    }
    Ok(())
}

/// Reads the map of format 1.0: a count, then offset and length of each extent, a line each, in whole blocks.
fn before_data<R: Read>(reader: &mut TarReader<R>) -> Result<Vec<Extent>, TarError> {
    let mut lines = Lines { block: Vec::new() };
    let count = lines.next(reader)?;
    if count > MOST_EXTENTS {
        return reader.malformed("too many holes in a file");
    }
    (0..count).map(|_| Ok(Extent { offset: lines.next(reader)?, len: lines.next(reader)? })).collect()
}

struct Lines {
    block: Vec<u8>,
}

impl Lines {
    fn next<R: Read>(&mut self, reader: &mut TarReader<R>) -> Result<u64, TarError> {
        loop {
            if let Some(end) = self.block.iter().position(|&b| b == b'\n') {
                let number = pax::decimal(&self.block[..end]);
                self.block.drain(..=end);
                return number.map_or_else(|| reader.malformed("improper map of a sparse file"), Ok);
            }
            if self.block.len() > 20 || reader.stored < BLOCK as u64 {
                return reader.malformed("improper map of a sparse file");
            }
            self.block.extend_from_slice(&reader.block()?);
            reader.stored -= BLOCK as u64;
        }
    }
}
