//! Merging layers directory by directory, the way overlayfs does: the topmost layer that has a name decides, and only
//! directories go on to the layers below.

use image::{Entry, Kind, LayerPath};

/// What one layer has below a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// Its place in the stack, lowest 0.
    pub(super) layer: usize,
    pub(super) below: &'a [Entry],
}

/// What stands at a path.
#[derive(Clone, Debug)]
pub(super) struct Found<'a> {
    /// `None` for a directory that no layer describes but some have something in.
    pub(super) entry: Option<&'a Entry>,
    /// The layer of the entry.
    pub(super) layer: usize,
    /// For a directory: what the layers have in it, top first.
    pub(super) parts: Vec<Part<'a>>,
}

/// Returns the root of a stack of layers, lowest first.
pub(super) fn root<'a>(layers: impl DoubleEndedIterator<Item = &'a [Entry]> + ExactSizeIterator) -> Found<'a> {
    let all = layers.enumerate().rev().map(|(layer, below)| Part { layer, below });
    look(&LayerPath::root(), all).unwrap_or(Found { entry: None, layer: 0, parts: Vec::new() })
}

/// Returns what stands at `path` in a directory that holds `parts`.
pub(super) fn child<'a>(path: &LayerPath, parts: &[Part<'a>]) -> Option<Found<'a>> {
    let narrowed = parts.iter().map(|part| {
        let start = part.below.partition_point(|entry| entry.path < *path);
        let rest = &part.below[start..];
        Part { layer: part.layer, below: &rest[..subtree_len(rest, path)] }
    });
    look(path, narrowed)
}

/// Returns all that stands in the directory `path`, which holds `parts`, sorted.
pub(super) fn children<'a>(path: &LayerPath, parts: &[Part<'a>]) -> Vec<(LayerPath, Found<'a>)> {
    let mut rest = parts.to_vec();
    let mut out = Vec::new();
    loop {
        let next = rest.iter().filter_map(|part| child_of(path, part.below.first()?)).min();
        let Some(next) = next else { return out };
        let at_next = rest.iter_mut().map(|part| {
            let (here, after) = part.below.split_at(subtree_len(part.below, &next));
            part.below = after;
            Part { layer: part.layer, below: here }
        });
        if let Some(found) = look(&next, at_next) {
            out.push((next, found));
        }
    }
}

/// Merges what the layers have at `path` and below it, top first.
fn look<'a>(path: &LayerPath, subtrees: impl Iterator<Item = Part<'a>>) -> Option<Found<'a>> {
    let mut found: Option<(&Entry, usize)> = None;
    let mut parts: Vec<Part<'a>> = Vec::new();
    // All are asked for, even those that do not matter any more: the caller may move on in them.
    let mut hidden = false;
    for Part { layer, below } in subtrees {
        let own = below.first().filter(|entry| entry.path == *path);
        match own.map(|entry| (entry, &entry.kind)) {
            _ if hidden => {}
            Some((entry, Kind::Directory { opaque })) => {
                found = found.or(Some((entry, layer)));
                parts.push(Part { layer, below: &below[1..] });
                hidden = *opaque;
            }
            Some((entry, kind)) => {
                // What is no directory decides only if nothing above it made one of it.
                if parts.is_empty() && *kind != Kind::Whiteout {
                    found = Some((entry, layer));
                }
                hidden = true;
            }
            None if below.is_empty() => {}
            None => parts.push(Part { layer, below }),
        }
    }
    match found {
        None if parts.is_empty() => None,
        Some((entry, layer)) => Some(Found { entry: Some(entry), layer, parts }),
        None => Some(Found { entry: None, layer: 0, parts }),
    }
}

fn subtree_len(entries: &[Entry], path: &LayerPath) -> usize {
    entries.partition_point(|entry| entry.path.starts_with(path))
}

/// Returns the child of `directory` that `entry` is or is below.
fn child_of(directory: &LayerPath, entry: &Entry) -> Option<LayerPath> {
    let rest = entry.path.strip_prefix(directory)?;
    Some(directory.join(rest.components().next()?))
}
