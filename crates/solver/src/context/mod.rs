//! Build contexts: a directory of the caller, read beneath its descriptor, with a stat index that spares reading what
//! has not changed.
//!
//! Only what a copy can select is visited. `.dockerignore` prunes before stat. Within one build every path is looked at
//! once, so that all steps see one state.

mod beneath;
mod node;
mod queue;
mod read;
mod stat_index;
mod walk;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dockerfile::ignore::{Ignore, ParentHits};
use image::{Entry, LayerPath, Timestamp};
use plan::ContextName;
use rustix::fs::{Mode, OFlags};
use rustix::time::ClockId;
use store::Store;

use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, plain_root};
use crate::key::Hasher;
use node::{Listing, Node, NodeKind};
use stat_index::StatIndex;

/// The contexts of one build by name.
#[derive(Debug, Default)]
pub struct Contexts(BTreeMap<ContextName, Context>);

impl Contexts {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a context, or replaces the one of that name.
    pub fn insert(&mut self, name: ContextName, context: Context) {
        self.0.insert(name, context);
    }

    /// True if there is a context of that name.
    pub fn contains(&self, name: &ContextName) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the context of that name.
    pub fn get(&self, name: &ContextName) -> Option<&Context> {
        self.0.get(name)
    }

    /// Returns the context that a plan needs.
    pub(crate) fn need(&self, name: &ContextName) -> Result<&Context> {
        self.get(name).ok_or_else(|| {
            let name = match name {
                ContextName::Main => "context".to_owned(),
                ContextName::Named(name) => name.clone(),
            };
            SolveErrorKind::NoContext { name }
        })
    }

    /// Writes the stat indexes that have something new. One that cannot be written costs time in the next build, no more.
    pub(crate) fn save(&self) {
        for context in self.0.values() {
            let _ = context.save();
        }
    }
}

impl FromIterator<(ContextName, Context)> for Contexts {
    fn from_iter<T: IntoIterator<Item = (ContextName, Context)>>(contexts: T) -> Self {
        Self(contexts.into_iter().collect())
    }
}

/// One build context.
#[derive(Debug)]
pub struct Context(Option<Directory>);

#[derive(Debug)]
struct Directory {
    root: PathBuf,
    fd: OwnedFd,
    ignore: Ignore,
    store: Store,
    /// Names the stat index: from the path, so that each checkout has its own.
    id: String,
    /// False for a directory that is there for one build alone: no index is kept.
    remembered: bool,
    known: StatIndex,
    /// By the clock that files get their times from. What changed since then may change again unseen.
    started: Timestamp,
    seen: Mutex<Seen>,
}

/// What was looked at so far.
#[derive(Debug, Default)]
struct Seen {
    listed: HashMap<LayerPath, Arc<Listing>>,
    /// Paths looked at one by one, in directories that are not listed.
    single: HashMap<LayerPath, Option<Arc<Node>>>,
}

impl Context {
    /// Opens the directory `root`. `ignore` hides paths of it; the stat index is kept in `store`.
    pub fn open(root: &Path, ignore: Ignore, store: &Store) -> Result<Self, SolveErrorKind> {
        // The coarse clock is the one file systems use: a fine one would be ahead of them.
        let now = rustix::time::clock_gettime(ClockId::RealtimeCoarse);
        let started = Timestamp { seconds: now.tv_sec, nanoseconds: u32::try_from(now.tv_nsec).unwrap_or_default() };
        Self::open_at(root, ignore, store, started)
    }

    /// Opens a directory that was made for this build: nothing about it is remembered.
    pub fn transient(root: &Path, ignore: Ignore, store: &Store) -> Result<Self, SolveErrorKind> {
        let mut context = Self::open(root, ignore, store)?;
        if let Some(directory) = &mut context.0 {
            directory.remembered = false;
        }
        Ok(context)
    }

    fn open_at(root: &Path, ignore: Ignore, store: &Store, started: Timestamp) -> Result<Self, SolveErrorKind> {
        let fail = |source| SolveErrorKind::Context { action: "open", path: root.display().to_string(), source };
        let root = std::fs::canonicalize(root).map_err(fail)?;
        let fail = |source: rustix::io::Errno| fail(source.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&root, flags, Mode::empty()).map_err(fail)?;
        let mut hasher = Hasher::new("context");
        hasher.bytes(root.as_os_str().as_encoded_bytes());
        let id = blake3::Hash::from_bytes(hasher.finish()).to_hex()[..32].to_owned();
        // A damaged index is as good as none.
        let known = store.context_index(&id)?.and_then(StatIndex::decode).unwrap_or_default();
        let seen = Mutex::default();
        Ok(Self(Some(Directory { root, fd, ignore, store: store.clone(), id, remembered: true, known, started, seen })))
    }

    /// Returns the patterns that hide paths; `None` for a context without files.
    pub fn ignore(&self) -> Option<&Ignore> {
        self.0.as_ref().map(|directory| &directory.ignore)
    }

    /// Returns a context without files.
    pub fn empty() -> Self {
        Self(None)
    }

    /// Returns the directory as it was opened; `None` for an empty context.
    pub(crate) fn root(&self) -> Option<&Path> {
        self.0.as_ref().map(|directory| &*directory.root)
    }

    /// Names where the context is: one directory has the same name in every build. Empty where there is nothing to tell.
    pub(crate) fn place(&self) -> &str {
        self.0.as_ref().filter(|directory| directory.remembered).map_or("", |directory| &directory.id)
    }

    fn save(&self) -> Result<()> {
        let Some(directory) = &self.0 else { return Ok(()) };
        if !directory.remembered {
            return Ok(());
        }
        let seen = directory.seen();
        if let Some(bytes) = stat_index::encode(&directory.known, &seen, directory.started) {
            directory.store.put_context_index(&directory.id, &bytes)?;
        }
        Ok(())
    }
}

impl Directory {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what the ignore patterns say of the children of `path`, and whether `path` itself is ignored.
    fn hits(&self, path: &LayerPath) -> (bool, ParentHits) {
        let (mut ignored, mut hits) = (false, self.ignore.root());
        let mut at = LayerPath::root();
        for name in path.components() {
            at = at.join(name);
            (ignored, hits) = self.ignore.matches(&text(&at), &hits);
        }
        (ignored, hits)
    }

    /// True if nothing can be seen of `path`, which is ignored: not even a way to something below it.
    fn is_hidden(&self, path: &LayerPath, ignored: bool, directory: bool) -> bool {
        ignored && !(directory && self.ignore.may_include_below(&text(path)))
    }

    /// Returns what stands at `path`, which is not the root.
    fn node(&self, path: &LayerPath) -> Result<Option<Arc<Node>>> {
        let Some(parent) = path.parent() else { return Ok(None) };
        {
            let seen = self.seen();
            if let Some(listing) = seen.listed.get(&parent) {
                return Ok(listing.find(path.file_name()));
            }
            if let Some(node) = seen.single.get(path) {
                return Ok(node.clone());
            }
        }
        let node = self.stat(path)?.map(Arc::new);
        self.seen().single.insert(path.clone(), node.clone());
        Ok(node)
    }

    fn is_of_root(&self, path: &LayerPath) -> Result<bool> {
        if *path == LayerPath::root() {
            let stat = rustix::fs::fstat(&self.fd).map_err(fail("stat", path))?;
            return Ok((stat.st_uid, stat.st_gid) == (0, 0));
        }
        Ok(self.node(path)?.is_some_and(|node| node.of_root))
    }

    fn stat(&self, path: &LayerPath) -> Result<Option<Node>> {
        let (ignored, _) = if self.ignore.is_empty() { (false, self.ignore.root()) } else { self.hits(path) };
        let Some(mut node) = beneath::stat(&self.fd, path).map_err(fail("stat", path))? else { return Ok(None) };
        node.ignored = ignored;
        if self.is_hidden(path, ignored, node.kind == NodeKind::Directory) {
            return Ok(None);
        }
        let parent = path.parent().unwrap_or_default();
        if let Some(fact) = self.known.find(&parent, &node) {
            node.know(fact, true);
        }
        Ok(Some(node))
    }
}

fn fail(action: &'static str, path: &LayerPath) -> impl FnOnce(rustix::io::Errno) -> SolveErrorKind {
    move |error| SolveErrorKind::Context { action, path: text(path).into_owned(), source: error.into() }
}

fn text(path: &LayerPath) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(path.as_bytes())
}

impl Files for Context {
    fn look(&self, path: &LayerPath) -> Result<Option<Entry>> {
        let Some(directory) = self.0.as_ref().filter(|_| !path.is_root()) else {
            return Ok(path.is_root().then(plain_root));
        };
        let Some(node) = directory.node(path)? else { return Ok(None) };
        if node.kind == NodeKind::Symlink {
            directory.learn(path, &node)?;
        }
        Ok(Some(node.entry(path.clone())))
    }

    fn entry(&self, path: &LayerPath) -> Result<Option<Entry>> {
        let Some(directory) = &self.0 else { return Files::look(self, path) };
        if path.is_root() {
            return directory.root_entry().map(Some);
        }
        let Some(node) = directory.node(path)? else { return Ok(None) };
        directory.learn(path, &node)?;
        Ok(Some(node.entry(path.clone())))
    }

    fn children(&self, path: &LayerPath) -> Result<Vec<Entry>> {
        let Some(directory) = &self.0 else { return Ok(Vec::new()) };
        let listing = directory.listing(path)?;
        Ok(listing.nodes.iter().map(|node| node.entry(path.join(&node.name))).collect())
    }

    fn below(&self, path: &LayerPath) -> Result<Vec<Entry>> {
        match &self.0 {
            Some(directory) => directory.below(path),
            None => Ok(Vec::new()),
        }
    }

    fn open(&self, path: &LayerPath) -> Result<File> {
        let Some(directory) = &self.0 else { return Err(crate::files::missing(path)) };
        let socket = directory.node(path)?.is_some_and(|node| node.kind == NodeKind::Socket);
        directory.open_file(path, socket)
    }

    fn hides(&self, path: &LayerPath) -> bool {
        let Some(directory) = self.0.as_ref().filter(|directory| !directory.ignore.is_empty()) else { return false };
        directory.ignore.is_ignored(&text(path)) && matches!(beneath::stat(&directory.fd, path), Ok(Some(_)))
    }

    fn is_immutable(&self) -> bool {
        false
    }
}

impl Context {
    /// Adds what decides all that a copy sees below `path`, a directory, if the stat index knows it: while that does not
    /// change, neither does anything that follows. False if something is new, has changed, or is gone.
    pub(crate) fn hash_known(&self, path: &LayerPath, hasher: &mut Hasher) -> Result<bool> {
        let Some(directory) = &self.0 else { return Ok(false) };
        let Some(id) = directory.known.id() else { return Ok(false) };
        let node = if path.is_root() { None } else { Some(directory.node(path)?) };
        let is_directory = node.is_none_or(|node| node.is_some_and(|node| node.kind == NodeKind::Directory));
        if !is_directory || !directory.is_known(path)? {
            return Ok(false);
        }
        hasher.bytes(id);
        hasher.bytes(path.as_bytes());
        hasher.number(directory.ignore.patterns().len() as u64);
        for (pattern, negated) in directory.ignore.patterns() {
            hasher.text(pattern);
            hasher.byte(negated.into());
        }
        Ok(true)
    }

    /// True if everything at and below `path` that was looked at is still as it was then.
    pub(crate) fn is_still(&self, path: &LayerPath) -> Result<bool> {
        self.0.as_ref().map_or(Ok(true), |directory| directory.is_still(path))
    }

    /// True if what is at `path` can be mounted as it is: nothing below it is kept from view, and all of it is root's, as
    /// a copy of it would be.
    pub(crate) fn shows_as_it_is(&self, path: &LayerPath, is_directory: bool) -> Result<bool> {
        let Some(directory) = &self.0 else { return Ok(true) };
        if !directory.is_of_root(path)? {
            return Ok(false);
        }
        if !is_directory {
            return Ok(true);
        }
        directory.list_below(path)?;
        let seen = directory.seen();
        let differs = |listing: &Listing| listing.hides || !listing.nodes.iter().all(|node| node.of_root);
        Ok(!seen.listed.iter().any(|(at, listing)| at.strip_prefix(path).is_some() && differs(listing)))
    }
}

#[cfg(test)]
mod tests;
