//! Merging the indexes of layers, the lowest first, into one that hides below it what they hide together.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::super::{Entry, Index, Kind, LayerPath, Lower, Metadata};

/// What stands at a path of the merged layers.
#[derive(Debug)]
pub(super) struct Place {
    /// `None` for a directory that no layer describes, since it only has something in it.
    pub(super) entry: Option<Entry>,
    /// The topmost layer that has it, by number from the bottom.
    pub(super) layer: usize,
}

impl Place {
    pub(super) fn is_directory(&self) -> bool {
        self.entry.as_ref().is_none_or(|entry| matches!(entry.kind, Kind::Directory { .. }))
    }

    pub(super) fn is_opaque(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.kind == Kind::Directory { opaque: true })
    }
}

/// By path: a directory comes before what is in it.
pub(super) type Places = BTreeMap<LayerPath, Place>;

pub(super) fn merge(layers: &[&Index], below: &dyn Lower) -> Places {
    let mut places = Places::new();
    for (layer, index) in layers.iter().enumerate() {
        for entry in index.entries() {
            make_parents(&mut places, layer, &entry.path);
            put(&mut places, layer, entry);
        }
    }
    drop_idle_whiteouts(&mut places, below);
    name_files(&mut places, layers);
    places
}

/// Makes directories of what stands above an entry of `layer`.
fn make_parents(places: &mut Places, layer: usize, path: &LayerPath) {
    for parent in std::iter::successors(path.parent(), LayerPath::parent) {
        match places.get_mut(&parent) {
            // Seen with another entry of this layer, and so was what is above it.
            Some(place) if place.layer == layer && place.is_directory() => return,
            Some(place) if place.is_directory() => place.layer = layer,
            Some(_) => {
                // What it replaces hides what is below, and so must it.
                let metadata = Metadata { mode: 0o755, ..Metadata::default() };
                let entry = Entry { path: parent.clone(), kind: Kind::Directory { opaque: true }, metadata };
                places.insert(parent, Place { entry: Some(entry), layer });
            }
            None => drop(places.insert(parent, Place { entry: None, layer })),
        }
    }
}

fn put(places: &mut Places, layer: usize, entry: &Entry) {
    let mut entry = entry.clone();
    let before = places.get(&entry.path);
    match &mut entry.kind {
        Kind::Directory { opaque } if !*opaque => {
            *opaque = before.is_some_and(|before| !before.is_directory() || before.is_opaque());
        }
        _ if before.is_some_and(Place::is_directory) => remove_below(places, &entry.path),
        _ => {}
    }
    places.insert(entry.path.clone(), Place { entry: Some(entry), layer });
}

fn remove_below(places: &mut Places, directory: &LayerPath) {
    let after = (Bound::Excluded(directory), Bound::Unbounded);
    let below: Vec<LayerPath> = places
        .range::<LayerPath, _>(after)
        .map(|(path, _)| path)
        .take_while(|path| path.starts_with(directory))
        .cloned()
        .collect();
    for path in below {
        places.remove(&path);
    }
}

/// Removes the whiteouts that hide nothing.
fn drop_idle_whiteouts(places: &mut Places, below: &dyn Lower) {
    let is_whiteout = |place: &Place| place.entry.as_ref().is_some_and(|entry| entry.kind == Kind::Whiteout);
    let is_opaque = |path: LayerPath| places.get(&path).is_some_and(Place::is_opaque);
    let is_cut_off = |path: &LayerPath| std::iter::successors(path.parent(), LayerPath::parent).any(is_opaque);
    let is_idle = |path: &LayerPath| is_cut_off(path) || below.lookup(path).is_none();
    let idle = places.iter().filter(|(path, place)| is_whiteout(place) && is_idle(path));
    let idle: Vec<LayerPath> = idle.map(|(path, _)| path.clone()).collect();
    for path in idle {
        places.remove(&path);
    }
}

/// Makes the least name of each file that is still there the file, for those whose least name is hidden.
fn name_files(places: &mut Places, layers: &[&Index]) {
    let mut hidden: Vec<(LayerPath, (usize, LayerPath))> = Vec::new();
    for (path, place) in places.iter() {
        let Some(Entry { kind: Kind::Hardlink { target }, .. }) = &place.entry else { continue };
        let shows = places.get(target).is_some_and(|file| {
            file.layer == place.layer && file.entry.as_ref().is_some_and(|e| matches!(e.kind, Kind::File { .. }))
        });
        if !shows {
            hidden.push((path.clone(), (place.layer, target.clone())));
        }
    }
    let mut first: HashMap<(usize, LayerPath), LayerPath> = HashMap::new();
    for (path, file) in hidden {
        let Some(entry) = places.get_mut(&path).and_then(|place| place.entry.as_mut()) else { continue };
        match first.get(&file) {
            Some(first) => entry.kind = Kind::Hardlink { target: first.clone() },
            None => {
                if let Some(data) = layers[file.0].get(&file.1) {
                    entry.kind = data.kind.clone();
                }
                first.insert(file, path);
            }
        }
    }
}

#[cfg(test)]
mod tests;
