//! Walking a context: directories listed and files hashed by a few threads that end with the walk.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use dockerfile::ignore::ParentHits;
use image::{Entry, Kind, LayerPath};
use rustix::fs::{FileType, OFlags, RawDir};
use rustix::io::Errno;

use super::node::{Listing, Node, NodeKind};
use super::queue::Queue;
use super::{Directory, beneath, fail, text};
use crate::error::Result;

impl Directory {
    /// Returns everything below `path` with its facts, in order. An ignored directory is there only for what is below it.
    pub(super) fn below(&self, path: &LayerPath) -> Result<Vec<Entry>> {
        self.list_below(path)?;
        let found = self.ordered(path);
        let unknown: Vec<_> = found.iter().filter(|(_, node)| node.fact.get().is_none()).collect();
        self.learn_all(&unknown)?;
        let links = links(&found);
        let mut entries: Vec<Entry> = found.into_iter().map(|(path, node)| node.entry(path)).collect();
        for (at, target) in links {
            entries[at].kind = Kind::Hardlink { target };
        }
        Ok(entries)
    }

    /// True if everything below `path` is as the stat index says.
    pub(super) fn is_known(&self, path: &LayerPath) -> Result<bool> {
        self.list_below(path)?;
        let seen = self.seen();
        let mut below = seen.listed.iter().filter(|(at, _)| at.starts_with(path));
        Ok(below.all(|(_, listing)| listing.is_known))
    }

    fn ordered(&self, path: &LayerPath) -> Vec<(LayerPath, Arc<Node>)> {
        let seen = self.seen();
        let mut found = Vec::new();
        gather(&seen.listed, path, &mut found);
        found
    }

    /// Lists `path` and all directories below it that are not listed yet.
    pub(super) fn list_below(&self, path: &LayerPath) -> Result<()> {
        let queue = Queue::new(path.clone());
        std::thread::scope(|scope| {
            let mut helpers = 1;
            while let Some(path) = queue.next() {
                queue.done(self.list_for_walk(&path));
                if helpers < crate::cores() && queue.is_worth_a_thread() {
                    helpers += 1;
                    scope.spawn(|| {
                        while let Some(path) = queue.next() {
                            queue.done(self.list_for_walk(&path));
                        }
                    });
                }
            }
        });
        queue.finish()
    }

    /// Returns how much was found in a directory, and the directories in it.
    fn list_for_walk(&self, path: &LayerPath) -> Result<(usize, Vec<LayerPath>)> {
        let listing = self.listing(path)?;
        let directories = listing.nodes.iter().filter(|node| node.kind == NodeKind::Directory);
        Ok((listing.nodes.len(), directories.map(|node| path.join(&node.name)).collect()))
    }

    /// Returns the children of a directory.
    pub(super) fn listing(&self, path: &LayerPath) -> Result<Arc<Listing>> {
        if let Some(listing) = self.seen().listed.get(path) {
            return Ok(Arc::clone(listing));
        }
        let hits = self.known_hits(path);
        let Listing { mut nodes, hides, outdates, .. } = self.list(path, &hits)?;
        self.keep_singles(path, &mut nodes);
        let listing = Arc::new(Listing::new(nodes, hides, outdates));
        // Two threads may have listed it; the first is the truth for all.
        Ok(Arc::clone(self.seen().listed.entry(path.clone()).or_insert(listing)))
    }

    fn known_hits(&self, path: &LayerPath) -> ParentHits {
        if self.ignore.is_empty() {
            return self.ignore.root();
        }
        let parent = path.parent().and_then(|parent| self.seen().listed.get(&parent).cloned());
        let known = parent.and_then(|listing| listing.find(path.file_name())?.hits.clone());
        known.unwrap_or_else(|| self.hits(path).1)
    }

    fn list(&self, path: &LayerPath, hits: &ParentHits) -> Result<Listing> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = beneath::open(&self.fd, path, flags).map_err(fail("open", path))?;
        let names = names(&directory).map_err(fail("read", path))?;
        let mut nodes = Vec::with_capacity(names.len());
        let mut hides = false;
        let mut known = self.known.directory(path);
        for (name, file_type) in names {
            let child = (!self.ignore.is_empty()).then(|| path.join(&name));
            let decided = child.as_ref().map(|child| self.ignore.matches(&text(child), hits));
            let ignored = decided.as_ref().is_some_and(|(ignored, _)| *ignored);
            let may_be_directory = matches!(file_type, FileType::Directory | FileType::Unknown);
            if child.as_ref().is_some_and(|child| self.is_hidden(child, ignored, may_be_directory)) {
                hides = true;
                continue;
            }
            let mut node = match beneath::node(&directory, name) {
                // Gone since the directory was read.
                Err((Errno::NOENT, _)) => continue,
                result => result.map_err(|(error, name)| fail("stat", &path.join(&name))(error))?,
            };
            if ignored && node.kind != NodeKind::Directory {
                hides = true;
                continue;
            }
            hides |= ignored;
            node.ignored = ignored;
            node.hits = decided.filter(|_| node.kind == NodeKind::Directory).map(|(_, hits)| hits);
            if let Some(fact) = known.find(&node) {
                node.know(fact, true);
            }
            nodes.push(Arc::new(node));
        }
        Ok(Listing::new(nodes, hides, known.leaves_some()))
    }

    /// What was looked at before stays what it was.
    fn keep_singles(&self, path: &LayerPath, nodes: &mut [Arc<Node>]) {
        let seen = self.seen();
        if seen.single.is_empty() {
            return;
        }
        for node in nodes {
            if let Some(Some(single)) = seen.single.get(&path.join(&node.name))
                && single.kind != NodeKind::Directory
            {
                *node = Arc::clone(single);
            }
        }
    }

    /// True if everything at and below `path` that was looked at is still as it was then.
    pub(super) fn is_still(&self, path: &LayerPath) -> Result<bool> {
        let listed: Vec<_> = {
            let seen = self.seen();
            let below = seen.listed.iter().filter(|(at, _)| at.starts_with(path));
            below.map(|(at, listing)| (at.clone(), Arc::clone(listing))).collect()
        };
        for (at, before) in &listed {
            let now = self.list(at, &self.known_hits(at))?;
            let same = before.nodes.iter().zip(&now.nodes).all(|(before, now)| before.is_still(now));
            if !same || before.nodes.len() != now.nodes.len() {
                return Ok(false);
            }
        }
        let before = self.node(path)?;
        Ok(match (before, self.stat(path)?) {
            (Some(before), Some(now)) => before.is_still(&now),
            (before, now) => before.is_none() && now.is_none(),
        })
    }
}

/// Appends all that is below `path`, without ignored directories in which nothing is left.
fn gather(listed: &HashMap<LayerPath, Arc<Listing>>, path: &LayerPath, found: &mut Vec<(LayerPath, Arc<Node>)>) {
    let Some(listing) = listed.get(path) else { return };
    for node in &listing.nodes {
        let child = path.join(&node.name);
        if node.kind != NodeKind::Directory {
            found.push((child, Arc::clone(node)));
            continue;
        }
        let before = found.len();
        found.push((child.clone(), Arc::clone(node)));
        gather(listed, &child, found);
        if node.ignored && found.len() == before + 1 {
            found.pop();
        }
    }
}

/// Returns which are other names of a file that was found before, and under what name.
fn links(found: &[(LayerPath, Arc<Node>)]) -> Vec<(usize, LayerPath)> {
    let mut first: HashMap<((u32, u32), u64), &LayerPath> = HashMap::new();
    let mut links = Vec::new();
    for (at, (path, node)) in found.iter().enumerate() {
        if node.kind != NodeKind::File || node.links < 2 {
            continue;
        }
        match first.get(&(node.device, node.inode)) {
            Some(&target) => links.push((at, target.clone())),
            None => drop(first.insert((node.device, node.inode), path)),
        }
    }
    links
}

type Name = (Box<[u8]>, FileType);

/// Returns the names in a directory, sorted.
fn names(directory: &OwnedFd) -> Result<Vec<Name>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut entries = RawDir::new(directory.as_fd(), &mut buffer);
    let mut names: Vec<Name> = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((Box::from(name), entry.file_type()));
        }
    }
    names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(names)
}
