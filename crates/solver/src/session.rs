//! Looking results up: from what an op reads to its key, from the key to the record. Nothing runs and nothing is
//! fetched here, and no thread outlives a call.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use dockerfile::Span;
use image::layer::{Format, TarReader};
use image::{Kind, LayerPath};
use plan::{ContextName, Copy, CopySource, Input, MountKind, Op, Run, Vertex, VertexId, Workdir};
use store::{LayerId, Record, RecordKey, Store, Tree};

use crate::context::Contexts;
use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, Nothing, is_directory};
use crate::key::{Hasher, Key, Reads};
use crate::layout::check_conflicts;
use crate::owner::{self, Owner};
use crate::probe::Probe;
use crate::results::Results;
use crate::select::{Selection, Taken, select, select_path};

/// What a look-up found.
#[derive(Debug)]
pub enum Found {
    /// The result is known.
    Hit(Key, Record),
    /// The op has to run.
    Miss(Key),
    /// Only the bytes of a base image that is not here can tell.
    Lacks,
}

/// The places where things are, and what was looked up there already.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) store: &'a Store,
    pub(crate) contexts: &'a Contexts,
    /// What patterns take of contexts: all ops of a build see the same.
    selections: Mutex<HashMap<(ContextName, String, Purpose), Arc<Selection>>>,
}

/// What a selection is for: it decides what is hashed of it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Purpose {
    Copy,
    /// `ADD`: it also matters whether a file is an archive.
    Add,
    Mount,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Add => "add",
            Self::Mount => "mount",
        }
    }

    fn of(copy: &Copy) -> Self {
        if copy.unpack { Self::Add } else { Self::Copy }
    }
}

/// The hash of a selection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Selected {
    hash: [u8; 32],
    /// Something in it will be extracted.
    archives: bool,
}

/// The hash of a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Probed {
    hash: [u8; 32],
    /// A directory is at the destination.
    directory: bool,
}

/// The whole tree of a parent or an input.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    Nothing(Nothing),
    Tree(Tree),
}

impl Root {
    pub(crate) fn files(&self) -> &dyn Files {
        match self {
            Self::Nothing(nothing) => nothing,
            Self::Tree(tree) => tree,
        }
    }
}

impl<'a> Session<'a> {
    pub(crate) fn new(store: &'a Store, contexts: &'a Contexts) -> Self {
        Self { store, contexts, selections: Mutex::default() }
    }

    /// Looks the result of a vertex up, whose parent and inputs are done.
    pub(crate) fn look_up(&self, results: &Results<'_>, id: VertexId) -> Result<Found> {
        let vertex = results.vertex(id);
        let Some(key) = self.key(results, vertex, vertex.parent)? else { return Ok(Found::Lacks) };
        if vertex.ignore_cache {
            return Ok(Found::Miss(key));
        }
        let Some(record) = self.store.record(&key.record())? else { return Ok(Found::Miss(key)) };
        match self.fits(results, vertex, &key, &record)? {
            true => Ok(Found::Hit(key, record)),
            false => Ok(Found::Lacks),
        }
    }

    /// Returns the key of a vertex on top of `parent`; `None` if only the bytes of a base image can tell.
    pub(crate) fn key(&self, results: &Results<'_>, vertex: &Vertex, parent: Option<VertexId>) -> Result<Option<Key>> {
        let reads = match &vertex.op {
            Op::Base(_) => return Err(SolveErrorKind::Plan("a base image has no key")),
            Op::Run(run) => self.run_reads(results, vertex, run)?,
            Op::Copy(copy) => self.copy_reads(results, vertex, copy, parent)?,
            Op::Workdir(workdir) => self.workdir_reads(results, workdir, parent)?,
        };
        Ok(reads.map(|reads| Key::new(&vertex.digest, &reads)))
    }

    fn run_reads(&self, results: &Results<'_>, vertex: &Vertex, run: &Run) -> Result<Option<Vec<Reads>>> {
        let mut reads = vec![Reads::All(results.content(vertex.parent))];
        for mount in &run.mounts {
            let MountKind::Bind { input, path } = &mount.kind else { continue };
            let selected = self.selected(results, input_of(vertex, *input)?, path, Purpose::Mount, Span::default())?;
            let Some(selected) = selected else { return Ok(None) };
            reads.push(Reads::Selection(selected.hash));
        }
        Ok(Some(reads))
    }

    fn copy_reads(
        &self,
        results: &Results<'_>,
        vertex: &Vertex,
        copy: &Copy,
        parent: Option<VertexId>,
    ) -> Result<Option<Vec<Reads>>> {
        // Sources first: a path that is missing is to be told before any base image is fetched.
        let Some((mut reads, archives)) = self.source_reads(results, vertex, copy)? else { return Ok(None) };
        let Some(probed) = self.probed(results, parent, &copy.destination, copy.chown.as_deref())? else {
            return Ok(None);
        };
        reads.push(Reads::Probe(probed.hash));
        if archives && probed.directory {
            // What is extracted goes through the links and directories that are below the destination.
            reads.push(Reads::All(results.content(parent)));
        }
        Ok(Some(reads))
    }

    /// Returns the key that a copy without archives has where its destination is like that.
    pub(crate) fn copy_key(
        &self,
        results: &Results<'_>,
        vertex: &Vertex,
        copy: &Copy,
        probe: [u8; 32],
    ) -> Result<Option<Key>> {
        let Some((mut reads, _)) = self.source_reads(results, vertex, copy)? else { return Ok(None) };
        reads.push(Reads::Probe(probe));
        Ok(Some(Key::new(&vertex.digest, &reads)))
    }

    /// Returns what a copy reads of its sources, and whether there are archives among them.
    fn source_reads(&self, results: &Results<'_>, vertex: &Vertex, copy: &Copy) -> Result<Option<(Vec<Reads>, bool)>> {
        let mut reads = Vec::with_capacity(copy.sources.len() + 2);
        let mut archives = false;
        for source in &copy.sources {
            let CopySource::Path { input, pattern, span } = source else { continue };
            let selected = self.selected(results, input_of(vertex, *input)?, pattern, Purpose::of(copy), *span)?;
            let Some(selected) = selected else { return Ok(None) };
            reads.push(Reads::Selection(selected.hash));
            archives |= selected.archives;
        }
        Ok(Some((reads, archives)))
    }

    fn workdir_reads(
        &self,
        results: &Results<'_>,
        workdir: &Workdir,
        parent: Option<VertexId>,
    ) -> Result<Option<Vec<Reads>>> {
        let probed = self.probed(results, parent, &workdir.path, Some(workdir_owner(workdir)))?;
        Ok(probed.map(|probed| vec![Reads::Probe(probed.hash)]))
    }

    /// Returns the hash of what an input's pattern takes.
    fn selected(
        &self,
        results: &Results<'_>,
        input: &Input,
        pattern: &str,
        purpose: Purpose,
        span: Span,
    ) -> Result<Option<Selected>> {
        match input {
            Input::Context(name) => {
                let context = self.contexts.need(name)?;
                let selection = self.context_selection(name, pattern, purpose, span)?;
                self.hash(context, &selection, purpose).map(Some)
            }
            Input::Empty => {
                let selection = select_for(&Nothing, pattern, purpose, span)?;
                self.hash(&Nothing, &selection, purpose).map(Some)
            }
            Input::Vertex(id) => self.tree_selected(results, *id, pattern, purpose, span),
        }
    }

    fn tree_selected(
        &self,
        results: &Results<'_>,
        id: VertexId,
        pattern: &str,
        purpose: Purpose,
        span: Span,
    ) -> Result<Option<Selected>> {
        let mut hasher = Hasher::new("selection fact");
        hasher.bytes(&results.content(Some(id)).0);
        hasher.text(purpose.name());
        hasher.text(pattern);
        let fact = hasher.record();
        if let Some((hash, archives)) = self.store.fact(&fact)?.as_deref().and_then(read_fact) {
            return Ok(Some(Selected { hash, archives }));
        }
        let Some(root) = self.root(results, Some(id))? else { return Ok(None) };
        let selection = select_for(root.files(), pattern, purpose, span)?;
        let selected = self.hash(root.files(), &selection, purpose)?;
        self.store.put_fact(&fact, &write_fact(&selected.hash, selected.archives))?;
        Ok(Some(selected))
    }

    fn hash(&self, files: &dyn Files, selection: &Selection, purpose: Purpose) -> Result<Selected> {
        let hash = match purpose {
            Purpose::Mount => selection.mounted(),
            Purpose::Copy | Purpose::Add => selection.copied(),
        };
        let mut archives = false;
        if purpose == Purpose::Add {
            for taken in &selection.taken {
                archives |= self.is_archive(files, taken)?;
            }
        }
        Ok(Selected { hash, archives })
    }

    /// Returns what a pattern takes of a context; the same every time.
    pub(crate) fn context_selection(
        &self,
        name: &ContextName,
        pattern: &str,
        purpose: Purpose,
        span: Span,
    ) -> Result<Arc<Selection>> {
        let key = (name.clone(), pattern.to_owned(), purpose);
        let lock = || self.selections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(selection) = lock().get(&key) {
            return Ok(Arc::clone(selection));
        }
        let selection = Arc::new(select_for(self.contexts.need(name)?, pattern, purpose, span)?);
        Ok(Arc::clone(lock().entry(key).or_insert(selection)))
    }

    /// Returns what a pattern takes of an input whose bytes are here.
    pub(crate) fn selection(
        &self,
        results: &Results<'_>,
        input: &Input,
        pattern: &str,
        purpose: Purpose,
        span: Span,
    ) -> Result<Arc<Selection>> {
        match input {
            Input::Context(name) => self.context_selection(name, pattern, purpose, span),
            Input::Empty => select_for(&Nothing, pattern, purpose, span).map(Arc::new),
            Input::Vertex(id) => {
                let root = self.need_root(results, Some(*id))?;
                select_for(root.files(), pattern, purpose, span).map(Arc::new)
            }
        }
    }

    /// True if `ADD` extracts what was taken: a regular file, compressed or not, whose first header is one of a tar
    /// (reference: section 7).
    pub(crate) fn is_archive(&self, files: &dyn Files, taken: &Taken) -> Result<bool> {
        let Kind::File { size, content } = taken.root.kind else { return Ok(false) };
        if size == 0 {
            return Ok(false);
        }
        let mut hasher = Hasher::new("archive fact");
        hasher.bytes(&content.0);
        let fact = hasher.record();
        if let Some([answer]) = self.store.fact(&fact)?.as_deref() {
            return Ok(*answer == 1);
        }
        let answer = looks_like_archive(files.open(&taken.root.path)?);
        self.store.put_fact(&fact, &[u8::from(answer)])?;
        Ok(answer)
    }

    fn probed(
        &self,
        results: &Results<'_>,
        parent: Option<VertexId>,
        destination: &str,
        owner: Option<&str>,
    ) -> Result<Option<Probed>> {
        let mut hasher = Hasher::new("probe fact");
        hasher.bytes(&results.content(parent).0);
        hasher.text(destination);
        hasher.byte(owner.is_some().into());
        hasher.text(owner.unwrap_or_default());
        let fact = hasher.record();
        if let Some((hash, directory)) = self.store.fact(&fact)?.as_deref().and_then(read_fact) {
            return Ok(Some(Probed { hash, directory }));
        }
        let Some(root) = self.root(results, parent)? else { return Ok(None) };
        let probe = probe(root.files(), destination, owner)?;
        let probed = Probed { hash: probe.hash(), directory: probe.at_target().is_some_and(is_directory) };
        self.store.put_fact(&fact, &write_fact(&probed.hash, probed.directory))?;
        Ok(Some(probed))
    }

    /// Checks that a known layer may stand on this parent: a copy must not replace a directory with a file, nor a file with
    /// a directory. That is no part of the key, so that it need not be known for every parent. False if only the bytes of a
    /// base image can tell.
    fn fits(&self, results: &Results<'_>, vertex: &Vertex, key: &Key, record: &Record) -> Result<bool> {
        let Op::Copy(copy) = &vertex.op else { return Ok(true) };
        if self.extracts(results, vertex, copy)? {
            // What is extracted replaces what is there. Its key holds the whole parent, or nothing is there.
            return Ok(true);
        }
        let probed = self.probed(results, vertex.parent, &copy.destination, copy.chown.as_deref())?;
        if !probed.is_some_and(|probed| probed.directory) {
            return Ok(true);
        }
        let fact = fits_fact(results, vertex, key);
        if self.store.fact(&fact)?.is_some() {
            return Ok(true);
        }
        let Some(root) = self.root(results, vertex.parent)? else { return Ok(false) };
        let index = self.store.layer(&record.layer)?.index()?;
        check_conflicts(root.files(), index.entries().iter().map(|entry| (&entry.path, is_directory(entry))))?;
        self.store.put_fact(&fact, &[1])?;
        Ok(true)
    }

    /// True if one of the sources is an archive.
    pub(crate) fn extracts(&self, results: &Results<'_>, vertex: &Vertex, copy: &Copy) -> Result<bool> {
        let sources = if copy.unpack { &*copy.sources } else { &[] };
        for source in sources {
            let CopySource::Path { input, pattern, span } = source else { continue };
            let selected = self.selected(results, input_of(vertex, *input)?, pattern, Purpose::Add, *span)?;
            if selected.is_some_and(|selected| selected.archives) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Remembers that a new layer fits on its parent.
    pub(crate) fn put_fits(&self, results: &Results<'_>, vertex: &Vertex, key: &Key) -> Result<()> {
        Ok(self.store.put_fact(&fits_fact(results, vertex, key), &[1])?)
    }

    /// Returns the tree after a vertex that is done; `None` if layers of its base image are not here.
    pub(crate) fn root(&self, results: &Results<'_>, id: Option<VertexId>) -> Result<Option<Root>> {
        let Some(layers) = self.layers(results, id)? else { return Ok(None) };
        if layers.is_empty() {
            return Ok(Some(Root::Nothing(Nothing)));
        }
        Ok(Some(Root::Tree(self.store.tree(&layers)?)))
    }

    pub(crate) fn need_root(&self, results: &Results<'_>, id: Option<VertexId>) -> Result<Root> {
        self.root(results, id)?.ok_or(SolveErrorKind::Plan("base layers are missing when an op runs"))
    }

    /// Returns all layers after a vertex that is done, lowest first; `None` if some of its base image are not here.
    pub(crate) fn layers(&self, results: &Results<'_>, id: Option<VertexId>) -> Result<Option<Vec<LayerId>>> {
        let snapshot = results.snapshot(id);
        let mut layers = Vec::with_capacity(snapshot.layers.len() + 8);
        if let Some(base) = snapshot.base.and_then(|base| results.base(base)) {
            for diff_id in base.config.diff_ids() {
                let Some(layer) = self.store.layer_of_diff_id(diff_id)? else { return Ok(None) };
                layers.push(layer);
            }
        }
        layers.extend(snapshot.layers.into_iter().map(|layer| layer.layer));
        Ok(Some(layers))
    }
}

fn select_for(files: &(impl Files + ?Sized), pattern: &str, purpose: Purpose, span: Span) -> Result<Selection> {
    match purpose {
        Purpose::Mount => select_path(files, pattern),
        Purpose::Copy | Purpose::Add => select(files, pattern, span),
    }
}

pub(crate) fn input_of(vertex: &Vertex, input: usize) -> Result<&Input> {
    vertex.inputs.get(input).ok_or(SolveErrorKind::Plan("an op names an input it does not have"))
}

/// `WORKDIR` gives what it makes to the current user.
pub(crate) fn workdir_owner(workdir: &Workdir) -> &str {
    if workdir.user.is_empty() { "0" } else { &workdir.user }
}

/// Probes a tree for the destination of an op.
pub(crate) fn probe(files: &dyn Files, destination: &str, owner: Option<&str>) -> Result<Probe> {
    let owner = owner.map(|owner| owner::parse(owner, files)).transpose()?;
    probe_for(files, destination, owner)
}

/// Like [`probe`], for an owner that is known.
pub(crate) fn probe_for(
    files: &(impl crate::files::Look + ?Sized),
    destination: &str,
    owner: Option<Owner>,
) -> Result<Probe> {
    let path = LayerPath::clamped(destination.as_bytes())
        .ok_or_else(|| SolveErrorKind::InvalidPath { path: destination.to_owned() })?;
    Probe::new(files, &path, owner)
}

fn fits_fact(results: &Results<'_>, vertex: &Vertex, key: &Key) -> RecordKey {
    let mut hasher = Hasher::new("fits fact");
    hasher.bytes(&key.0);
    hasher.bytes(&results.content(vertex.parent).0);
    hasher.record()
}

fn write_fact(hash: &[u8; 32], flag: bool) -> [u8; 33] {
    let mut fact = [u8::from(flag); 33];
    fact[..32].copy_from_slice(hash);
    fact
}

fn read_fact(bytes: &[u8]) -> Option<([u8; 32], bool)> {
    let (hash, flag) = bytes.split_at_checked(32)?;
    match flag {
        [flag @ (0 | 1)] => Some((hash.try_into().ok()?, *flag == 1)),
        _ => None,
    }
}

fn looks_like_archive(mut file: std::fs::File) -> bool {
    let mut start = Vec::with_capacity(512);
    if (&mut file).take(512).read_to_end(&mut start).is_err() {
        return false;
    }
    // Cheap for what is no archive: a tar has its magic, or at least a whole header, in the first block.
    if Format::sniff(&start) == Format::Plain && start.len() < 512 {
        return false;
    }
    let whole = std::io::Cursor::new(start).chain(file);
    let Ok(data) = image::layer::decompress(whole, image::layer::Expansion::default()) else { return false };
    matches!(TarReader::new(data).next_member(), Ok(Some(_)))
}
