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

    /// Takes bytes that the caller has found to be a proper path.
    pub(super) fn from_checked(path: &[u8]) -> Self {
        debug_assert!(Self::new(path).is_some_and(|proper| *proper.0 == *path));
        Self(path.into())
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

    /// True at `ancestor` itself and for everything below it.
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        match self.0.strip_prefix(&*ancestor.0) {
            Some(rest) => ancestor.is_root() || matches!(rest, [] | [b'/', ..]),
            None => false,
        }
    }

    /// Returns how many components the path has.
    pub fn depth(&self) -> usize {
        self.components().count()
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
        // A slash ranks below every byte of a name, so that only the first difference matters.
        let rank = |b: u8| if b == b'/' { 0 } else { b };
        match self.0.iter().zip(&*other.0).find(|(a, b)| a != b) {
            Some((a, b)) => rank(*a).cmp(&rank(*b)),
            None => self.0.len().cmp(&other.0.len()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text.as_bytes()).unwrap()
    }

    #[track_caller]
    fn check_new(input: &[u8], expected: Option<&str>) {
        let got = LayerPath::new(input);
        assert_eq!(got.as_ref().map(LayerPath::as_bytes), expected.map(str::as_bytes));
    }

    #[test]
    fn new_takes_what_stays_inside() {
        check_new(b"", Some(""));
        check_new(b"/", Some(""));
        check_new(b"./", Some(""));
        check_new(b"./a//b/./c/", Some("a/b/c"));
        check_new(b"/etc/passwd", Some("etc/passwd"));
        check_new(b"...", Some("..."));
        check_new(b"..", None);
        check_new(b"a/../b", None);
        check_new(b"a/..", None);
        check_new(b"a\0b", None);
    }

    #[test]
    fn clamped_stays_at_the_root() {
        assert_eq!(LayerPath::clamped(b"../../a/../b/./c"), Some(path("b/c")));
        assert_eq!(LayerPath::clamped(b"/.."), Some(LayerPath::root()));
        assert_eq!(LayerPath::clamped(b"a\0"), None);
    }

    #[test]
    fn a_directory_comes_right_before_what_is_below_it() {
        let mut paths: Vec<_> = ["a.b", "a/b", "b", "a", "", "a-", "a/b/c", "a\u{1}", "a/b.c"].map(path).into();
        paths.sort();
        assert_eq!(paths, ["", "a", "a/b", "a/b/c", "a/b.c", "a\u{1}", "a-", "a.b", "b"].map(path));
    }

    #[test]
    fn parts_of_a_path() {
        let p = path("usr/lib/x");
        assert_eq!(p.file_name(), b"x");
        assert_eq!(p.parent(), Some(path("usr/lib")));
        assert_eq!(path("usr").parent(), Some(LayerPath::root()));
        assert_eq!(LayerPath::root().parent(), None);
        assert_eq!(LayerPath::root().file_name(), b"");
        assert_eq!((p.depth(), LayerPath::root().depth()), (3, 0));
        assert_eq!(p.strip_prefix(&path("usr")), Some(path("lib/x")));
        assert_eq!(p.strip_prefix(&path("us")), None);
        assert!(p.starts_with(&p) && p.starts_with(&LayerPath::root()) && !p.starts_with(&path("usr/li")));
        assert_eq!(path("usr").join(b"bin").as_bytes(), b"usr/bin");
        assert_eq!(LayerPath::root().join_path(&p), p);
        assert_eq!(path("a").join_path(&path("b/c")), path("a/b/c"));
        assert_eq!(LayerPath::root().as_path(), Path::new("."));
    }

    fn any_path() -> impl Strategy<Value = LayerPath> {
        proptest::collection::vec("[ab.\u{1}-]{1,2}", 0..4)
            .prop_filter_map("climbs out", |parts| LayerPath::new(parts.join("/").as_bytes()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn order_is_by_component(a in any_path(), b in any_path()) {
            prop_assert_eq!(a.cmp(&b), a.components().cmp(b.components()));
        }

        #[test]
        fn starts_with_agrees_with_strip_prefix(a in any_path(), b in any_path()) {
            prop_assert_eq!(a.starts_with(&b), a.strip_prefix(&b).is_some());
        }
    }
}
