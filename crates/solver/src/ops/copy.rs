//! `COPY` and `ADD`.

use std::sync::Arc;

use image::Index;
use plan::{Copy, CopySource, Input, VertexId};
use store::{LayerDraft, LayerId, RecordKey, Scratch};

use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, Nothing, is_directory};
use crate::files_of;
use crate::key::{Hasher, Key};
use crate::layout::{Attributes, Layout, check_conflicts};
use crate::local::{LocalWorker, OpResult, now};
use crate::ops::archive;
use crate::ops::inputs;
use crate::ops::predict::Predicted;
use crate::probe::Probe;
use crate::select::{Selection, Wanted};
use crate::session::{Root, copy_probe, input_of, passes_through};
use crate::worker::Job;
use crate::write::{Earlier, Writer};

/// A copy made ahead: written, but without a name.
#[derive(Debug)]
pub(crate) struct Prepared {
    key: Key,
    written: Written,
}

#[derive(Debug)]
struct Written {
    draft: LayerDraft,
    layout: Layout,
    sources: Sources,
    faithful: bool,
}

/// What the sources of a copy take.
#[derive(Debug)]
struct Sources {
    trees: Vec<Tree>,
    selections: Vec<Arc<Selection>>,
    patterns: Vec<String>,
    archives: bool,
}

/// Where a source is.
#[derive(Clone, Debug)]
enum Tree {
    Context(plan::ContextName),
    Root(Root),
}

impl Sources {
    fn find(worker: &LocalWorker<'_>, job: Job<'_>, copy: &Copy) -> Result<Self> {
        let mut sources = Self { trees: Vec::new(), selections: Vec::new(), patterns: Vec::new(), archives: false };
        for source in &copy.sources {
            let Some((input, wanted)) = Wanted::source(copy, source) else { continue };
            sources.add(worker, job, input_of(job.vertex(), input)?, wanted)?;
        }
        sources.archives = worker.session.extracts(job.results, job.vertex(), copy)?;
        Ok(sources)
    }

    fn add(&mut self, worker: &LocalWorker<'_>, job: Job<'_>, input: &Input, wanted: Wanted<'_>) -> Result<()> {
        self.selections.push(worker.session.selection(job.results, input, wanted)?);
        self.patterns.push(wanted.pattern.to_owned());
        self.trees.push(match input {
            Input::Context(name) => Tree::Context(name.clone()),
            Input::Empty => Tree::Root(worker.session.need_root(job.results, None)?),
            Input::Vertex(id) => Tree::Root(worker.session.need_root(job.results, Some(*id))?),
        });
        Ok(())
    }

    fn files<'a>(&'a self, worker: &'a LocalWorker<'_>) -> Result<Vec<&'a dyn Files>> {
        let files = self.trees.iter().map(|tree| match tree {
            Tree::Context(name) => Ok(worker.session.contexts.need(name)? as &dyn Files),
            Tree::Root(root) => Ok(root.files()),
        });
        files.collect()
    }
}

pub(crate) fn execute(worker: &LocalWorker<'_>, job: Job<'_>, copy: &Copy, key: Key) -> Result<OpResult> {
    let parent = worker.session.need_root(job.results, job.vertex().parent)?;
    let probe = copy_probe(parent.files(), parent.files(), copy)?;
    let ahead = worker.take_prepared(job.id).filter(|prepared| prepared.key == key);
    let written = match ahead {
        Some(Prepared { written, .. }) => adopt(worker, job, written, probe)?,
        None => write(worker, job, copy, probe, Some(if copy.link { &Nothing } else { parent.files() }))?,
    };
    let Written { draft, layout, sources, faithful } = written;
    if !copy.link {
        let entries = layout.planned.iter().filter(|(_, planned)| !planned.replaces);
        check_conflicts(parent.files(), entries.map(|(path, planned)| (path, planned.is_directory())))?;
    }
    if !sources.archives {
        worker.session.put_fits(job.results, job.vertex(), &key)?;
    }
    let selections: Vec<_> =
        sources.patterns.iter().map(String::as_str).zip(sources.selections.iter().map(|s| s.copied())).collect();
    let inputs = inputs::copy(copy, layout.probe.hash(), &selections);
    sources.selections.iter().try_for_each(|selection| files_of::keep(worker.store(), selection))?;
    let index = Index::new(layout.index());
    Ok(OpResult { key, op: job.vertex().digest, draft, index, faithful, inputs })
}

/// Takes over a copy that was made ahead and fits.
fn adopt(worker: &LocalWorker<'_>, job: Job<'_>, mut written: Written, probe: Probe) -> Result<Written> {
    written.layout.adopt_times(&probe);
    let tree = written.draft.tree().to_owned();
    let writer = Writer {
        tree: &tree,
        sources: &[],
        inline: &[],
        spool: None,
        earlier: None,
        disk: worker.disk,
        cancel: job.stop,
    };
    writer.set_times(&written.layout)?;
    written.layout.probe = probe;
    Ok(written)
}

/// Copies before the parent is done. What fails here because of the parent may not fail in the end, so it is left to
/// [`execute`]; what fails because of the sources always will.
pub(crate) fn prepare(worker: &LocalWorker<'_>, job: Job<'_>, ancestor: Option<VertexId>) -> Result<()> {
    let plan::Op::Copy(copy) = &job.vertex().op else { return Ok(()) };
    let sources = Sources::find(worker, job, copy)?;
    if sources.archives {
        return Ok(());
    }
    match ahead(worker, job, copy, ancestor) {
        Ok(Some(prepared)) => worker.keep_prepared(job.id, prepared),
        Err(SolveErrorKind::Canceled) => return Err(SolveErrorKind::Canceled),
        Ok(None) | Err(_) => {}
    }
    Ok(())
}

fn ahead(worker: &LocalWorker<'_>, job: Job<'_>, copy: &Copy, ancestor: Option<VertexId>) -> Result<Option<Prepared>> {
    let predicted = Predicted::parent(worker, job, ancestor)?;
    let probe = copy_probe(&predicted, predicted.ancestor(), copy)?;
    if passes_through(copy) && probe.at_target().is_some_and(is_directory) {
        return Ok(None);
    }
    let Some(key) = worker.session.copy_key(job.results, job.vertex(), copy, probe.hash())? else { return Ok(None) };
    if !job.vertex().ignore_cache && worker.store().record(&key.record())?.is_some() {
        return Ok(None);
    }
    let written = write(worker, job, copy, probe, None)?;
    Ok(Some(Prepared { key, written }))
}

/// Plans a copy and writes it into a new layer. `parent` is needed for what is [below the destination](passes_through), and to
/// extract archives.
fn write(
    worker: &LocalWorker<'_>,
    job: Job<'_>,
    copy: &Copy,
    probe: Probe,
    parent: Option<&dyn Files>,
) -> Result<Written> {
    let sources = Sources::find(worker, job, copy)?;
    let files = sources.files(worker)?;
    let attributes = Attributes { owner: probe.owner, chmod: copy.chmod.clone(), now: now() };
    let mut layout = Layout::new(probe, attributes);
    let spool = if sources.archives { Some(worker.store().scratch()?) } else { None };
    let into_directory = copy.destination.ends_with('/');
    let mut inline: Vec<&[u8]> = Vec::new();
    let mut tree = 0;
    for source in &copy.sources {
        match source {
            CopySource::Inline { name, bytes } => {
                layout.inline(inline.len(), name, bytes, into_directory)?;
                inline.push(bytes);
            }
            CopySource::Path { as_is, .. } => {
                for taken in &sources.selections[tree].taken {
                    match &spool {
                        Some(spool) if !as_is && worker.session.is_archive(files[tree], taken)? => {
                            extract(&mut layout, files[tree], taken, parent, spool, job)?;
                        }
                        _ => {
                            pass(&mut layout, taken, parent)?;
                            layout.copy(tree, taken, into_directory)?;
                        }
                    }
                }
                tree += 1;
            }
        }
    }
    let earlier = earlier(worker, job, copy)?;
    let draft = worker.store().new_layer()?;
    let directory = draft.tree().to_owned();
    let writer = Writer {
        tree: &directory,
        sources: &files,
        inline: &inline,
        spool: spool.as_ref().map(Scratch::path),
        earlier: earlier.as_ref(),
        disk: worker.disk,
        cancel: job.stop,
    };
    let faithful = writer.write(&mut layout)?;
    drop(files);
    Ok(Written { draft, layout, sources, faithful })
}

/// Returns the layer that the op gave last, of the same contexts. Where the cache is to be ignored, so is that.
fn earlier(worker: &LocalWorker<'_>, job: Job<'_>, copy: &Copy) -> Result<Option<Earlier>> {
    if job.vertex().ignore_cache {
        return Ok(None);
    }
    let id = worker.store().fact(&last(worker, job, copy)?)?;
    let id = id.as_deref().and_then(|id| std::str::from_utf8(id).ok()).and_then(LayerId::parse);
    let layer = id.and_then(|id| worker.store().layer(&id).ok());
    Ok(layer.and_then(|layer| Earlier::open(&layer)))
}

/// Remembers the layer for [`earlier`].
pub(crate) fn remember(worker: &LocalWorker<'_>, job: Job<'_>, copy: &Copy, layer: &LayerId) -> Result<()> {
    Ok(worker.store().put_fact(&last(worker, job, copy)?, layer.as_str().as_bytes())?)
}

/// A hint by place, not by content: it saves work, and whatever it names is compared with what is wanted.
fn last(worker: &LocalWorker<'_>, job: Job<'_>, copy: &Copy) -> Result<RecordKey> {
    let mut hasher = Hasher::new("last layer");
    hasher.bytes(&job.vertex().digest.0);
    for source in &copy.sources {
        let CopySource::Path { input, .. } = source else { continue };
        if let Input::Context(name) = input_of(job.vertex(), *input)? {
            hasher.text(worker.session.contexts.need(name)?.place());
        }
    }
    Ok(hasher.record())
}

/// Tells the layout which directories on the way to what is taken the parent has.
fn pass(layout: &mut Layout, taken: &crate::select::Taken, parent: Option<&dyn Files>) -> Result<()> {
    let Some(parent) = parent else { return Ok(()) };
    for path in taken.on_the_way.iter().filter_map(|path| path.strip_prefix(&taken.root.path)) {
        let path = layout.probe.target.join_path(&path);
        if let Some(entry) = parent.look(&path)?.filter(is_directory) {
            layout.passed.insert(path, entry.metadata);
        }
    }
    Ok(())
}

fn extract(
    layout: &mut Layout,
    files: &dyn Files,
    taken: &crate::select::Taken,
    parent: Option<&dyn Files>,
    spool: &Scratch,
    job: Job<'_>,
) -> Result<()> {
    let parent = parent.ok_or(SolveErrorKind::Plan("an archive is extracted ahead"))?;
    let archive = archive::Archive { file: files.open(&taken.root.path)?, name: taken.root.path.to_string() };
    archive.extract(layout, parent, spool.path(), job.stop)
}
