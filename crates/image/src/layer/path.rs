//! Paths inside a layer.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path relative to the root of a file tree, proven not to leave it: no leading or trailing slash, no empty, `.` or
/// `..` component, no NUL. The root itself is the empty path.
///
/// Orders by component, so that a directory comes right before everything below it.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct LayerPath(Box<[u8]>);

impl LayerPath {
    /// The root of the tree.
    pub fn root() -> Self {
        Self::default()
    }

    /// Takes `path` as it stands, after dropping leading `/` and `./`, and trailing slashes; `None` if a component is
    /// `..` or a byte is NUL. Empty and `.` components are dropped.
    pub fn new(path: &[u8]) -> Option<Self> {
        let mut out = Vec::with_capacity(path.len());
        for part in path.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return None,
                _ if part.contains(&0) => return None,
                _ => {
                    if !out.is_empty() {
                        out.push(b'/');
                    }
                    out.extend_from_slice(part);
                }
            }
        }
        Some(Self(out.into()))
    }

    /// Cleans `path` lexically as if it stood at the root: `..` is clamped there. `None` only for a NUL byte.
    pub fn clamped(path: &[u8]) -> Option<Self> {
        if path.contains(&0) {
            return None;
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                _ => parts.push(part),
            }
        }
        Some(Self(parts.join(&b'/').into()))
    }

    /// Returns the path below `self` named by one component.
    ///
    /// # Panics
    /// If `name` is not a single proper component; names come from directories and from other paths.
    pub fn join(&self, name: &[u8]) -> Self {
        assert!(!name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0));
        let mut out = Vec::with_capacity(self.0.len() + 1 + name.len());
        out.extend_from_slice(&self.0);
        if !out.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(name);
        Self(out.into())
    }

    /// Returns `below` moved from the root to under `self`.
    pub fn join_path(&self, below: &Self) -> Self {
        match (self.is_root(), below.is_root()) {
            (true, _) => below.clone(),
            (_, true) => self.clone(),
            _ => Self([&*self.0, b"/", &*below.0].concat().into()),
        }
    }

    /// Returns what is left of `self` below `ancestor`, `None` if it is not at or below it.
    pub fn strip_prefix(&self, ancestor: &Self) -> Option<Self> {
        if ancestor.is_root() {
            return Some(self.clone());
        }
        match self.0.strip_prefix(&*ancestor.0)? {
            b"" => Some(Self::root()),
            [b'/', rest @ ..] => Some(Self(rest.into())),
            _ => None,
        }
    }

    /// True for the root of the tree.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the directory that holds this path, `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].into()))
    }

    /// Returns the last component, empty for the root.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// Returns the components from the root down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|part| !part.is_empty())
    }

    /// Returns the bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the path for use relative to a directory descriptor: `.` for the root.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(if self.is_root() { b"." } else { &self.0 }))
    }
}

impl Ord for LayerPath {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |&b: &u8| if b == b'/' { 0 } else { u16::from(b) + 1 };
        self.0.iter().map(rank).cmp(other.0.iter().map(rank))
    }
}

impl PartialOrd for LayerPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}
