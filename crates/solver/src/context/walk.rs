//! Walking a context: directories listed and files hashed by a few threads that end with the walk.

use std::collections::HashMap;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use dockerfile::ignore::ParentHits;
use image::layer::Xattrs;
use image::{Entry, Kind, LayerPath};
use rustix::fs::{FileType, OFlags, RawDir};
use rustix::io::Errno;

use super::node::{Fact, Listing, Node, NodeKind};
use super::{Directory, beneath, text};
use crate::error::{Result, SolveErrorKind};

/// With fewer paths than this, a second thread costs more than it gives.
const WORTH_A_THREAD: usize = 192;

impl Directory {
    /// Returns everything below `path` with its facts, in order. An ignored directory is there only for what is below it.
    pub(super) fn below(&self, path: &LayerPath) -> Result<Vec<Entry>> {
        self.list_below(path)?;
        let found = self.ordered(path);
        let unknown: Vec<_> = found.iter().filter(|(_, node)| node.fact.get().is_none()).collect();
        self.learn_all(&unknown)?;
        let mut entries: Vec<Entry> = found.iter().map(|(path, node)| node.entry(path.clone())).collect();
        link(&found, &mut entries);
        Ok(entries)
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
        let mut listing = self.list(path, &hits)?;
        self.keep_singles(path, &mut listing.nodes);
        let listing = Arc::new(listing);
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
        let directory = beneath::open(&self.fd, path, flags).map_err(self.fail("open", path))?;
        let names = names(&directory).map_err(self.fail("read", path))?;
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
            let Some(mut node) = stat(&directory, &name).map_err(self.fail("stat", &path.join(&name)))? else {
                continue;
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
        Ok(Listing { nodes, hides, outdates: known.leaves_some() })
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

    fn learn_all(&self, unknown: &[&(LayerPath, Arc<Node>)]) -> Result<()> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut buffer = Vec::new();
            while let Some((path, node)) = unknown.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.learn_with(path, node, &mut buffer) {
                    next.store(unknown.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(())
        };
        let bytes: u64 = unknown.iter().map(|(_, node)| node.size).sum();
        let threads = if bytes > 1 << 20 || unknown.len() > 32 { crate::cores().min(unknown.len()) } else { 1 };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut result = work();
            for other in others {
                result = result.and(other.join().unwrap_or(Err(SolveErrorKind::Canceled)));
            }
            result
        })
    }

    /// Reads what only reading tells of a node.
    pub(super) fn learn(&self, path: &LayerPath, node: &Node) -> Result<()> {
        self.learn_with(path, node, &mut Vec::new())
    }

    fn learn_with(&self, path: &LayerPath, node: &Node, buffer: &mut Vec<u8>) -> Result<()> {
        if node.fact.get().is_some() {
            return Ok(());
        }
        let mut fact = Fact::default();
        match node.kind {
            NodeKind::File => {
                let file = self.open_file(path, false)?;
                fact.xattrs = xattrs(&file).map_err(self.fail("read the attributes of", path))?;
                let (size, content) = crate::write::copy_and_hash(&mut &file, None, buffer).map_err(|source| {
                    SolveErrorKind::Context { action: "read", path: text(path).into_owned(), source }
                })?;
                (fact.size, fact.content) = (size, content.0);
            }
            NodeKind::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let directory = beneath::open(&self.fd, path, flags).map_err(self.fail("open", path))?;
                fact.xattrs = xattrs(&directory).map_err(self.fail("read the attributes of", path))?;
            }
            NodeKind::Symlink => {
                let parent = path.parent().unwrap_or_default();
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                let parent = beneath::open(&self.fd, &parent, flags).map_err(self.fail("open", path))?;
                let target = rustix::fs::readlinkat(&parent, path.file_name(), Vec::new());
                fact.target = target.map_err(self.fail("read the link", path))?.into_bytes().into();
            }
            NodeKind::CharDevice | NodeKind::BlockDevice | NodeKind::Fifo | NodeKind::Socket => {}
        }
        // Another thread may have been faster; then its fact stands.
        let _ = node.fact.set(fact);
        Ok(())
    }

    pub(super) fn open_file(&self, path: &LayerPath, socket: bool) -> Result<File> {
        if socket {
            return rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty())
                .map(File::from)
                .map_err(self.fail("open", path));
        }
        // Not to wait for a writer, should a fifo stand there by now.
        let fd = beneath::open(&self.fd, path, OFlags::RDONLY | OFlags::NONBLOCK).map_err(self.fail("open", path))?;
        Ok(File::from(fd))
    }

    /// Returns the root of the context; the name and the place of it are the caller's.
    pub(super) fn root_entry(&self) -> Result<Entry> {
        let root = LayerPath::root();
        let mut node = beneath::node(&self.fd, b".").map_err(self.fail("stat", &root))?;
        let xattrs = xattrs(&self.fd).map_err(self.fail("read the attributes of", &root))?;
        node.know(Fact { xattrs, ..Fact::default() }, false);
        Ok(node.entry(root))
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

/// Makes all names of one file but the first into hard links to that.
fn link(found: &[(LayerPath, Arc<Node>)], entries: &mut [Entry]) {
    let mut first: HashMap<((u32, u32), u64), &LayerPath> = HashMap::new();
    for ((path, node), entry) in found.iter().zip(entries) {
        if node.kind != NodeKind::File || node.links < 2 {
            continue;
        }
        match first.get(&(node.device, node.inode)) {
            Some(&target) => entry.kind = Kind::Hardlink { target: target.clone() },
            None => drop(first.insert((node.device, node.inode), path)),
        }
    }
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

fn stat(directory: &OwnedFd, name: &[u8]) -> Result<Option<Node>, Errno> {
    match beneath::node(directory, name) {
        // Gone since the directory was read.
        Err(Errno::NOENT) => Ok(None),
        result => result.map(Some),
    }
}

/// Returns the attributes that are worth copying: not those of the machine's own security policy, of its overlays or of
/// a desktop.
fn xattrs(fd: impl AsFd) -> Result<Xattrs, Errno> {
    let mut list = [0u8; 4096];
    let mut large = Vec::new();
    let names = match rustix::fs::flistxattr(&fd, &mut list[..]) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(len) => &list[..len],
        Err(Errno::RANGE) => {
            large.resize(64 << 10, 0);
            let len = rustix::fs::flistxattr(&fd, &mut large[..])?;
            &large[..len]
        }
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for name in names.split(|&b| b == 0).filter(|name| is_copied(name)) {
        let mut value = vec![0; 64 << 10];
        match rustix::fs::fgetxattr(&fd, name, &mut value[..]) {
            Ok(len) => found.push((Box::from(name), Box::from(&value[..len]))),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn is_copied(name: &[u8]) -> bool {
    let own =
        name.starts_with(b"user.") && !name.starts_with(b"user.overlay.") && !name.starts_with(b"user.com.apple.");
    own || name == b"security.capability"
}

/// Directories still to be listed.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    pending: Vec<LayerPath>,
    busy: usize,
    found: usize,
    error: Option<SolveErrorKind>,
}

impl Queue {
    fn new(path: LayerPath) -> Self {
        let state = State { pending: vec![path], busy: 0, found: 0, error: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes a directory; waits for one while others may still find some.
    fn next(&self) -> Option<LayerPath> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(path) = state.pending.pop() {
                state.busy += 1;
                return Some(path);
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, result: Result<(usize, Vec<LayerPath>)>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy -= 1;
        match result {
            Ok((found, directories)) if state.error.is_none() => {
                state.found += found;
                state.pending.extend(directories.into_iter().rev());
            }
            Ok(_) => {}
            Err(error) => {
                state.pending.clear();
                state.error.get_or_insert(error);
            }
        }
        self.changed.notify_all();
    }

    fn is_worth_a_thread(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.found >= WORTH_A_THREAD && state.pending.len() > 1
    }

    fn finish(self) -> Result<()> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.error.map_or(Ok(()), Err)
    }
}
