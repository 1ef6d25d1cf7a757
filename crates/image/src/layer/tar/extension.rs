//! What extension headers say about the member after them.

use super::super::{Timestamp, Xattrs};
use super::{pax, sparse};

/// What extension headers say about the next member.
#[derive(Debug, Default)]
pub(super) struct Extension {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Xattrs,
    pub(super) sparse: sparse::Pax,
}

impl Extension {
    /// Takes the records of a PAX header; false if they are improper.
    pub(super) fn take(&mut self, mut records: &[u8]) -> bool {
        while !records.is_empty() {
            let record = pax::next_record(&mut records);
            if !record.is_some_and(|(key, value)| self.record(key, value)) {
                return false;
            }
        }
        self.xattrs.sort_by(|a, b| a.0.cmp(&b.0));
        // Of two with one name the last wins.
        self.xattrs.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                std::mem::swap(later, first);
            }
            same
        });
        true
    }

    /// Takes the long name of a `L` header of GNU tar.
    pub(super) fn take_path(&mut self, name: Vec<u8>) {
        self.path = Some(until_nul(name));
    }

    /// Takes the long target of a `K` header of GNU tar.
    pub(super) fn take_link(&mut self, name: Vec<u8>) {
        self.link = Some(until_nul(name));
    }

    /// Takes one record; false if its value is improper. An empty value takes back what was said before.
    fn record(&mut self, key: &[u8], value: &[u8]) -> bool {
        let number = || if value.is_empty() { Some(None) } else { pax::decimal(value).map(Some) };
        let name = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = name(),
            b"linkpath" => self.link = name(),
            b"size" => return number().map(|size| self.size = size).is_some(),
            b"uid" => return number().map(|uid| self.uid = uid).is_some(),
            b"gid" => return number().map(|gid| self.gid = gid).is_some(),
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => return pax::time(value).map(|mtime| self.mtime = Some(mtime)).is_some(),
            _ => return self.other_record(key, value),
        }
        true
    }

    fn other_record(&mut self, key: &[u8], value: &[u8]) -> bool {
        if let Some(name) = pax::xattr_name(key) {
            let proper = !name.is_empty() && !name.contains(&0);
            self.xattrs.push((name.into(), value.into()));
            return proper;
        }
        self.sparse.record(key, value)
    }
}

fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|&b| b == 0) {
        name.truncate(end);
    }
    name
}
