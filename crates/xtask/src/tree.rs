//! File trees read from tars, for tests and for comparing builders: entry by entry, without what may differ.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tar::EntryType;

/// Times from here on (2010) are those of the checkout or of the build, and are not part of a tree.
const RECENT: u64 = 1_262_304_000;

/// What stands at a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    pub kind: char,
    pub mode: u32,
    pub owner: (u64, u64),
    /// Size and digest, a link's target, or a device's numbers.
    pub data: String,
    pub xattrs: BTreeMap<String, String>,
    /// Seconds, when older than any checkout.
    pub mtime: Option<u64>,
}

/// Entries by path, without a slash at either end.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tree(pub BTreeMap<String, Entry>);

impl Tree {
    /// Reads a whole file system.
    pub fn read(tar: impl Read) -> Result<Self> {
        let mut tree = Self::default();
        tree.apply(tar)?;
        Ok(tree)
    }

    /// Lays a layer over the tree; whiteouts remove (image-spec layer.md, Whiteouts).
    pub fn apply(&mut self, tar: impl Read) -> Result<()> {
        let mut fresh = BTreeMap::new();
        for entry in tar::Archive::new(tar).entries()? {
            let mut entry = entry?;
            let path = clean(&String::from_utf8_lossy(&entry.path_bytes()));
            if path.is_empty() || entry.header().entry_type() == EntryType::XGlobalHeader {
                continue;
            }
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if name == ".wh..wh..opq" {
                self.remove_below(parent);
            } else if let Some(hidden) = name.strip_prefix(".wh.") {
                let hidden = if parent.is_empty() { hidden.to_owned() } else { format!("{parent}/{hidden}") };
                self.0.remove(&hidden);
                self.remove_below(&hidden);
            } else {
                let read = read(&mut entry).with_context(|| path.clone())?;
                fresh.insert(path, read);
            }
        }
        for (path, entry) in fresh {
            if entry.kind != 'd' {
                self.remove_below(&path);
            }
            self.0.insert(path, entry);
        }
        self.name_hard_links();
        Ok(())
    }

    fn remove_below(&mut self, directory: &str) {
        let prefix = format!("{directory}/");
        self.0.retain(|path, _| !path.starts_with(&prefix));
    }

    /// The first name of a file carries its content, whichever came first in the tar.
    fn name_hard_links(&mut self) {
        let links: Vec<(String, String)> =
            self.0.iter().filter(|(_, e)| e.kind == 'h').map(|(p, e)| (p.clone(), e.data.clone())).collect();
        for (path, target) in links {
            if path < target
                && let (Some(file), Some(link)) = (self.0.remove(&target), self.0.remove(&path))
            {
                for other in self.0.values_mut().filter(|e| e.kind == 'h' && e.data == target) {
                    other.data.clone_from(&path);
                }
                self.0.insert(path.clone(), file);
                self.0.insert(target, Entry { data: path, ..link });
            }
        }
    }

    /// Returns one line for each entry that `base` has not, or has otherwise; `-` marks what is gone.
    pub fn added(&self, base: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, entry) in &self.0 {
            let standing = base.0.get(path);
            if standing.is_none_or(|s| !s.same(entry)) {
                lines.push(format!("{path} {}", entry.describe()));
            }
        }
        lines.extend(base.0.keys().filter(|path| !self.0.contains_key(*path)).map(|path| format!("{path} - removed")));
        lines.sort();
        lines
    }
}

impl Entry {
    /// Equal but for the time a directory of the base got when something was put into it.
    fn same(&self, other: &Self) -> bool {
        let timeless = |e: &Self| Self { mtime: None, ..e.clone() };
        timeless(self) == timeless(other) && (self.kind == 'd' || self.mtime == other.mtime)
    }

    fn describe(&self) -> String {
        let mut line = format!("{} {:04o} {}:{}", self.kind, self.mode, self.owner.0, self.owner.1);
        if !self.data.is_empty() {
            let _ = write!(line, " {}", self.data);
        }
        for (name, value) in &self.xattrs {
            let _ = write!(line, " {name}={value}");
        }
        if let Some(mtime) = self.mtime {
            let _ = write!(line, " mtime={mtime}");
        }
        line
    }
}

/// Lexically: no leading `./` or `/`, no trailing slash.
fn clean(path: &str) -> String {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

fn read(entry: &mut tar::Entry<'_, impl Read>) -> Result<Entry> {
    let mut xattrs = BTreeMap::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        if let Some(name) = extension.key().unwrap_or_default().strip_prefix("SCHILY.xattr.") {
            xattrs
                .insert(name.to_owned(), String::from_utf8_lossy(extension.value_bytes()).escape_default().to_string());
        }
    }
    let header = entry.header();
    let (kind, owner, mtime) = (header.entry_type(), (header.uid()?, header.gid()?), header.mtime()?);
    let mode = header.mode()? & 0o7777;
    let device = |header: &tar::Header| -> Result<String> {
        Ok(format!("{}:{}", header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
    };
    let target = entry.link_name_bytes().map(|t| String::from_utf8_lossy(&t).into_owned()).unwrap_or_default();
    let (kind, data) = match kind {
        EntryType::Directory => ('d', String::new()),
        EntryType::Symlink => ('l', format!("-> {target}")),
        EntryType::Link => ('h', clean(&target)),
        EntryType::Char => ('c', device(header)?),
        EntryType::Block => ('b', device(header)?),
        EntryType::Fifo => ('p', String::new()),
        _ => {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            ('f', format!("{} sha256:{}", bytes.len(), hex(&Sha256::digest(&bytes))))
        }
    };
    // The mode of a link means nothing, and what a second name says is said by the first.
    let mode = if matches!(kind, 'l' | 'h') { 0o777 } else { mode };
    let (owner, xattrs) = if kind == 'h' { ((0, 0), BTreeMap::new()) } else { (owner, xattrs) };
    let mtime = (mtime < RECENT && kind != 'h').then_some(mtime);
    Ok(Entry { kind, mode, owner, data, xattrs, mtime })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
