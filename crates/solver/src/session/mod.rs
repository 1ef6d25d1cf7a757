//! Looking results up: from what an op reads to its key, from the key to the record. Nothing runs and nothing is
//! fetched here, and no thread outlives a call.

mod selections;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use image::LayerPath;
use plan::{Cache, ContextName, Copy, Input, MountKind, Op, Run, Vertex, VertexId, Workdir};
use store::{LayerId, Record, RecordInput, RecordKey, Store, Tree};

use crate::context::Contexts;
use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, Nothing, is_directory};
use crate::files_of;
use crate::key::{Hasher, Key, Reads};
use crate::layout::check_conflicts;
use crate::ops::inputs;
use crate::owner::{self, Owner};
use crate::probe::Probe;
use crate::results::Results;
use crate::select::{Selection, Wanted};
use selections::Selected;

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

/// By context, and the hash of what is asked of it.
type Selections = HashMap<(ContextName, [u8; 32]), Arc<Selection>>;

/// Hashes of what is read, by what it is called.
type Named<N> = Vec<(N, [u8; 32])>;

/// The places where things are, and what was looked up there already.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) store: &'a Store,
    pub(crate) contexts: &'a Contexts,
    /// What patterns take of contexts: all ops of a build see the same.
    selections: Mutex<Selections>,
    /// The hashes of that.
    selected: Mutex<HashMap<(ContextName, [u8; 32]), Selected>>,
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
        Self { store, contexts, selections: Mutex::default(), selected: Mutex::default() }
    }

    /// Looks the result of a vertex up, whose parent and inputs are done.
    pub(crate) fn look_up(&self, results: &Results<'_>, id: VertexId) -> Result<Found> {
        let vertex = results.vertex(id);
        let Some(key) = self.key(results, vertex, vertex.parent)? else { return Ok(Found::Lacks) };
        if vertex.ignore_cache || must_ask(vertex) {
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
            Op::Source(_) => Some(Vec::new()),
            Op::Run(run) => self.run_reads(results, vertex, run)?,
            Op::Copy(copy) => self.copy_reads(results, vertex, copy, parent)?,
            Op::Workdir(workdir) => self.workdir_reads(results, workdir, parent)?,
        };
        Ok(reads.map(|reads| Key::new(&vertex.digest, &reads)))
    }

    fn run_reads(&self, results: &Results<'_>, vertex: &Vertex, run: &Run) -> Result<Option<Vec<Reads>>> {
        let Some(mounts) = self.mount_reads(results, vertex, run)? else { return Ok(None) };
        let mounts = mounts.into_iter().map(|(_, hash)| Reads::Selection(hash));
        Ok(Some(std::iter::once(Reads::All(results.content(vertex.parent))).chain(mounts).collect()))
    }

    /// Returns what a command reads of what is mounted, by target.
    fn mount_reads(&self, results: &Results<'_>, vertex: &Vertex, run: &Run) -> Result<Option<Named<String>>> {
        let mut reads = Vec::new();
        for mount in &run.mounts {
            let (input, path) = match &mount.kind {
                MountKind::Bind { input, path, .. } => (input, path),
                // What it holds later is in no key; what it is made from is.
                MountKind::Cache(Cache { base: Some((input, path)), .. }) => (input, path),
                MountKind::Cache(_) | MountKind::Tmpfs { .. } | MountKind::Secret { .. } | MountKind::Ssh { .. } => {
                    continue;
                }
            };
            let selected = self.selected(results, input_of(vertex, *input)?, Wanted::mount(path))?;
            let Some(selected) = selected else { return Ok(None) };
            reads.push((mount.target.clone(), selected.hash));
        }
        Ok(Some(reads))
    }

    /// Returns the named parts of a vertex's key, as a record of it would have them; `None` if only the bytes of a base image
    /// can tell.
    pub(crate) fn inputs(&self, results: &Results<'_>, vertex: &Vertex) -> Result<Option<Vec<RecordInput>>> {
        let probe = |probed: Option<Probed>| probed.map(|probed| probed.hash);
        Ok(match &vertex.op {
            Op::Base(_) => None,
            // The rest of what its record has is the server's to tell.
            Op::Source(_) => Some(Vec::new()),
            Op::Run(run) => {
                let mounts = self.mount_reads(results, vertex, run)?;
                mounts.map(|mounts| inputs::run(run, results.content(vertex.parent), &mounts))
            }
            Op::Workdir(workdir) => {
                let probed = self.probed(results, vertex.parent, &workdir.path, Some(workdir_owner(workdir)))?;
                probe(probed).map(|probe| inputs::workdir(workdir, probe))
            }
            Op::Copy(copy) => {
                let Some(probe) = probe(self.copy_probed(results, copy, vertex.parent)?) else { return Ok(None) };
                let Some(selections) = self.named_selections(results, vertex, copy)? else { return Ok(None) };
                Some(inputs::copy(copy, probe, &selections))
            }
        })
    }

    /// Returns what each source takes, and keeps the files of those in a context, whose names a comparison wants.
    fn named_selections<'c>(
        &self,
        results: &Results<'_>,
        vertex: &Vertex,
        copy: &'c Copy,
    ) -> Result<Option<Named<&'c str>>> {
        let mut selections = Vec::new();
        for source in &copy.sources {
            let Some((input, wanted)) = Wanted::source(copy, source) else { continue };
            let input = input_of(vertex, input)?;
            if let Input::Context(name) = input {
                files_of::keep(self.store, &*self.context_selection(name, wanted)?)?;
            }
            let Some(selected) = self.selected(results, input, wanted)? else { return Ok(None) };
            selections.push((wanted.pattern, selected.hash));
        }
        Ok(Some(selections))
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
        let Some(probed) = self.copy_probed(results, copy, parent)? else {
            return Ok(None);
        };
        reads.push(Reads::Probe(probed.hash));
        // What is extracted goes through the links and directories that are below the destination, and directories on the
        // way to what is copied keep what is theirs.
        if probed.directory && (archives && !copy.link || passes_through(copy)) {
            reads.push(Reads::All(results.content(parent)));
        }
        Ok(Some(reads))
    }

    /// Returns the key that a copy without archives and [passed](passes_through) directories has where its destination is like that.
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
            let Some((input, wanted)) = Wanted::source(copy, source) else { continue };
            let selected = self.selected(results, input_of(vertex, input)?, wanted)?;
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

    fn copy_probed(&self, results: &Results<'_>, copy: &Copy, parent: Option<VertexId>) -> Result<Option<Probed>> {
        if !copy.link {
            return self.probed(results, parent, &copy.destination, copy.chown.as_deref());
        }
        let owner = match copy.chown.as_deref() {
            Some(chown) if !owner::is_numeric(chown) => {
                let Some(owner) = self.linked_owner(results, parent, chown)? else { return Ok(None) };
                Some(owner)
            }
            chown => chown.map(|chown| owner::parse(chown, &Nothing)).transpose()?,
        };
        let hash = probe_for(&Nothing, &copy.destination, owner)?.hash();
        Ok(Some(Probed { hash, directory: false }))
    }

    /// Returns the owner that a name means in the parent; `None` if only the bytes of a base image can tell.
    fn linked_owner(&self, results: &Results<'_>, parent: Option<VertexId>, chown: &str) -> Result<Option<Owner>> {
        let mut hasher = Hasher::new("owner fact");
        hasher.bytes(&results.content(parent).0);
        hasher.text(chown);
        let fact = hasher.record();
        if let Some([a, b, c, d, e, f, g, h]) = self.store.fact(&fact)?.as_deref() {
            let (uid, gid) = (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h]));
            return Ok(Some(Owner { uid, gid }));
        }
        let Some(root) = self.root(results, parent)? else { return Ok(None) };
        let owner = owner::parse(chown, root.files())?;
        self.store.put_fact(&fact, &[owner.uid.to_le_bytes(), owner.gid.to_le_bytes()].concat())?;
        Ok(Some(owner))
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
        if copy.link {
            // It replaces whatever is there.
            return Ok(true);
        }
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

    /// Remembers that a new layer fits on its parent.
    pub(crate) fn put_fits(&self, results: &Results<'_>, vertex: &Vertex, key: &Key) -> Result<()> {
        Ok(self.store.put_fact(&fits_fact(results, vertex, key), &[1])?)
    }

    /// Returns the tree after a vertex that is done; `None` if layers of its base image are not here.
    pub(crate) fn root(&self, results: &Results<'_>, id: Option<VertexId>) -> Result<Option<Root>> {
        let layers = self.layers(results, id)?;
        layers.map(|layers| root_of(&layers, |layers| self.store.tree(layers))).transpose()
    }

    /// Does the same for an op that runs, and so may write to the store: looking into a deep stack gets cheaper by that.
    pub(crate) fn need_root(&self, results: &Results<'_>, id: Option<VertexId>) -> Result<Root> {
        let missing = SolveErrorKind::Plan("base layers are missing when an op runs");
        let layers = self.layers(results, id)?.ok_or(missing)?;
        root_of(&layers, |layers| self.store.flat_tree(layers))
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

fn root_of(layers: &[LayerId], tree: impl FnOnce(&[LayerId]) -> store::Result<Tree>) -> Result<Root> {
    if layers.is_empty() { Ok(Root::Nothing(Nothing)) } else { Ok(Root::Tree(tree(layers)?)) }
}

/// True if only a server can tell whether what is known of a source is still so.
pub(crate) fn must_ask(vertex: &Vertex) -> bool {
    matches!(&vertex.op, Op::Source(source) if !source.is_pinned())
}

/// True if a copy may take directories only because something below them is taken: what such a one is like in the end depends on
/// whether the parent has it.
pub(crate) fn passes_through(copy: &Copy) -> bool {
    let comes_back = |pattern: &String| pattern.trim_start().starts_with('!');
    !copy.link && (copy.parents || copy.exclude.iter().any(comes_back))
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

/// Probes what is to be the parent of a copy; `files` know the owners. With `--link` that is an empty root.
pub(crate) fn copy_probe(parent: &(impl crate::files::Look + ?Sized), files: &dyn Files, copy: &Copy) -> Result<Probe> {
    let owner = copy.chown.as_deref().map(|chown| owner::parse(chown, files)).transpose()?;
    if copy.link { probe_for(&Nothing, &copy.destination, owner) } else { probe_for(parent, &copy.destination, owner) }
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
