//! Looking up what stands at a path of several layers on top of each other.

use std::cell::RefCell;

use super::scan::Lower;
use super::{Entry, Index, Kind, LayerPath};

/// Layers on top of each other, seen as one tree, the way overlayfs shows them.
#[derive(Debug)]
pub struct Stack<'a> {
    layers: Vec<&'a Index>,
    /// For the directory looked into last and those above it: what each layer has there. Look-ups come directory by
    /// directory, so this is nearly always right.
    visible: RefCell<Vec<(LayerPath, Vec<Part<'a>>)>>,
}

/// What one layer has at a directory and below.
#[derive(Clone, Copy, Debug)]
struct Part<'a> {
    layer: &'a Index,
    subtree: &'a [Entry],
}

impl<'a> Stack<'a> {
    /// Stacks `layers`, given from the top down.
    pub fn new(layers: impl IntoIterator<Item = &'a Index>) -> Self {
        Self { layers: layers.into_iter().collect(), visible: RefCell::default() }
    }

    /// Returns what is seen at `path`. A hard link is seen as the file it names.
    pub fn get(&self, path: &LayerPath) -> Option<Entry> {
        let parts = match path.parent() {
            Some(parent) => self.visible(&parent),
            None => self.root(),
        };
        let (layer, entry) = parts.iter().find_map(|part| Some((part.layer, find(part.subtree, path)?)))?;
        match &entry.kind {
            Kind::Whiteout => None,
            Kind::Hardlink { target } => {
                let file = layer.get(target)?;
                Some(Entry { path: path.clone(), ..file.clone() })
            }
            _ => Some(entry.clone()),
        }
    }

    /// Returns what the layers have at the directory `path` and below, those left out whose part is hidden.
    fn visible(&self, path: &LayerPath) -> Vec<Part<'a>> {
        let mut visible = self.visible.borrow_mut();
        while visible.last().is_some_and(|(directory, _)| !path.starts_with(directory)) {
            visible.pop();
        }
        let mut parts = visible.last().map_or_else(|| self.root(), |(_, parts)| parts.clone());
        let known = visible.last().map_or(0, |(directory, _)| directory.depth());
        let mut directory = visible.last().map_or_else(LayerPath::root, |(directory, _)| directory.clone());
        for name in path.components().skip(known) {
            directory = directory.join(name);
            parts = below(&parts, &directory);
            visible.push((directory.clone(), parts.clone()));
        }
        parts
    }

    fn root(&self) -> Vec<Part<'a>> {
        let all: Vec<_> = self.layers.iter().map(|&layer| Part { layer, subtree: layer.entries() }).collect();
        below(&all, &LayerPath::root())
    }
}

impl Lower for Stack<'_> {
    fn lookup(&self, path: &LayerPath) -> Option<Entry> {
        self.get(path)
    }
}

fn find<'a>(entries: &'a [Entry], path: &LayerPath) -> Option<&'a Entry> {
    entries.binary_search_by(|entry| entry.path.cmp(path)).ok().map(|at| &entries[at])
}

/// Narrows `parts` to `directory`. What is no directory, or an opaque one, hides the layers below it.
fn below<'a>(parts: &[Part<'a>], directory: &LayerPath) -> Vec<Part<'a>> {
    let mut narrowed = Vec::new();
    for part in parts {
        let start = part.subtree.partition_point(|entry| entry.path < *directory);
        let len = part.subtree[start..].partition_point(|entry| entry.path.starts_with(directory));
        let subtree = &part.subtree[start..start + len];
        let kind = subtree.first().filter(|entry| entry.path == *directory).map(|entry| &entry.kind);
        if !matches!(kind, None | Some(Kind::Directory { .. })) {
            break;
        }
        if !subtree.is_empty() {
            narrowed.push(Part { layer: part.layer, subtree });
        }
        if matches!(kind, Some(Kind::Directory { opaque: true })) {
            break;
        }
    }
    narrowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::ContentHash;
    use crate::layer::Metadata;

    fn index(entries: &[(&str, Kind)]) -> Index {
        let entry = |(path, kind): &(&str, Kind)| Entry {
            path: LayerPath::new(path.as_bytes()).unwrap(),
            kind: kind.clone(),
            metadata: Metadata::default(),
        };
        entries.iter().map(entry).collect()
    }

    fn file(size: u64) -> Kind {
        Kind::File { size, content: ContentHash([0; 32]) }
    }

    const DIRECTORY: Kind = Kind::Directory { opaque: false };
    const OPAQUE: Kind = Kind::Directory { opaque: true };

    #[track_caller]
    fn check(layers: &[&Index], path: &str, expected: Option<Kind>) {
        let path = LayerPath::new(path.as_bytes()).unwrap();
        let stack = Stack::new(layers.iter().copied());
        assert_eq!(stack.get(&path).map(|entry| (entry.path, entry.kind)), expected.map(|kind| (path, kind)));
    }

    #[test]
    fn the_topmost_layer_that_has_it_wins() {
        let bottom = index(&[("a", DIRECTORY), ("a/x", file(1)), ("a/y", file(2))]);
        let top = index(&[("a", DIRECTORY), ("a/x", file(3))]);
        check(&[&top, &bottom], "a/x", Some(file(3)));
        check(&[&top, &bottom], "a/y", Some(file(2)));
        check(&[&top, &bottom], "a/z", None);
        check(&[&top, &bottom], "a/x/z", None);
    }

    #[test]
    fn whiteouts_files_and_opaque_directories_hide_what_is_below() {
        let bottom = index(&[("a", DIRECTORY), ("a/b", DIRECTORY), ("a/b/x", file(1)), ("c", file(2))]);
        check(&[&index(&[("a", Kind::Whiteout)]), &bottom], "a/b/x", None);
        check(&[&index(&[("a", file(3))]), &bottom], "a/b/x", None);
        check(&[&index(&[("a", OPAQUE)]), &bottom], "a/b/x", None);
        check(&[&index(&[("a", OPAQUE)]), &bottom], "a", Some(OPAQUE));
        check(&[&index(&[("", OPAQUE)]), &bottom], "c", None);
        check(&[&index(&[("c", Kind::Whiteout)]), &bottom], "c", None);
    }

    #[test]
    fn a_layer_may_lack_the_parents_of_what_it_has() {
        let bottom = index(&[("a", DIRECTORY), ("a/x", file(1))]);
        let top = index(&[("a/b/y", file(2))]);
        check(&[&top, &bottom], "a/b/y", Some(file(2)));
        check(&[&top, &bottom], "a/x", Some(file(1)));
        check(&[&top, &bottom], "a", Some(DIRECTORY));
    }

    #[test]
    fn a_hard_link_is_the_file_of_its_own_layer() {
        let bottom = index(&[("a", file(1)), ("b", Kind::Hardlink { target: LayerPath::new(b"a").unwrap() })]);
        check(&[&index(&[("a", file(2))]), &bottom], "b", Some(file(1)));
    }

    #[test]
    fn look_ups_may_come_in_any_order() {
        let bottom =
            index(&[("a", DIRECTORY), ("a/b", DIRECTORY), ("a/b/x", file(1)), ("a.b", DIRECTORY), ("a.b/x", file(2))]);
        let stack = Stack::new([&bottom]);
        let kind = |path: &str| stack.get(&LayerPath::new(path.as_bytes()).unwrap()).map(|entry| entry.kind);
        for _ in 0..2 {
            assert_eq!(kind("a/b/x"), Some(file(1)));
            assert_eq!(kind("a.b/x"), Some(file(2)));
            assert_eq!(kind("a/b"), Some(DIRECTORY));
            assert_eq!(kind("a/y/z"), None);
            assert_eq!(kind("a/b/x"), Some(file(1)));
        }
    }
}
