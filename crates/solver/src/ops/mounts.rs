//! What a command sees of other stages and of contexts.

use std::path::{Path, PathBuf};

use image::{Kind, LayerPath, Metadata};
use plan::{Cache, Input, MountKind, Run, SecretEnv, SecretRef, VertexId};
use store::Scratch;

use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, plain_root};
use crate::layout::{Attributes, Layout};
use crate::local::{LocalWorker, now};
use crate::ops::agent::Forward;
use crate::ops::caches::Caches;
use crate::probe::Probe;
use crate::secret::Secret;
use crate::select::Selection;
use crate::select::Wanted;
use crate::session::input_of;
use crate::worker::Job;
use crate::write::{Writer, dress_root};

/// What a mount showed: its target and the hash of that.
pub(super) type MountReads = Vec<(String, [u8; 32])>;

/// What the mounts of a command come to.
pub(super) struct Mounted {
    pub(super) mounts: Vec<sandbox::Mount>,
    pub(super) reads: MountReads,
    /// What has to last as long as the box.
    pub(super) agents: Vec<Forward>,
}

pub(super) fn mounts(
    worker: &LocalWorker<'_>,
    job: Job<'_>,
    run: &Run,
    caches: &Caches,
    scratches: &mut Vec<Scratch>,
) -> Result<Mounted> {
    let (mut mounts, mut reads, mut agents) = (Vec::new(), Vec::new(), Vec::new());
    for mount in &run.mounts {
        let kind = match &mount.kind {
            MountKind::Tmpfs { size } => sandbox::MountKind::Tmpfs { size: *size, mode: 0o1777 },
            MountKind::Bind { input, path, .. } => {
                let input = input_of(job.vertex(), *input)?;
                let selection = worker.session.selection(job.results, input, Wanted::mount(path))?;
                reads.push((mount.target.clone(), selection.mounted()));
                bind(worker, job, input, path, &selection, mount.read_only, scratches)?
            }
            MountKind::Cache(cache) => {
                if let Some((input, path)) = &cache.base {
                    let input = input_of(job.vertex(), *input)?;
                    let selection = worker.session.selection(job.results, input, Wanted::mount(path))?;
                    reads.push((mount.target.clone(), selection.mounted()));
                }
                let source = caches.path(worker, job, cache)?;
                match cache.subpath.clone() {
                    Some(subpath) => sandbox::MountKind::Beneath { directory: source, subpath },
                    None => sandbox::MountKind::Bind { source, recursive: false },
                }
            }
            MountKind::Secret { secret, mode, uid, gid } => {
                let Some(value) = find_secret(worker, secret)? else { continue };
                let bytes = value.reveal().to_vec();
                sandbox::MountKind::Data { bytes, mode: *mode, uid: *uid, gid: *gid }
            }
            MountKind::Ssh { agent, mode, uid, gid } => {
                let Some(socket) = find_agent(worker, agent)? else { continue };
                let attributes = Metadata { mode: *mode, uid: *uid, gid: *gid, ..plain_root().metadata };
                let forwarded = Forward::start(worker.store().scratch()?, socket, &attributes, worker.disk)?;
                let source = forwarded.path();
                agents.push(forwarded);
                sandbox::MountKind::Bind { source, recursive: false }
            }
        };
        mounts.push(sandbox::Mount { target: mount.target.clone(), read_only: mount.read_only, kind });
    }
    Ok(Mounted { mounts, reads, agents })
}

/// Returns the socket of an SSH agent; `None` if it was not given and need not be.
fn find_agent<'a>(worker: &'a LocalWorker<'_>, agent: &SecretRef) -> Result<Option<&'a Path>> {
    match worker.settings.agents.get(&agent.id) {
        None if agent.required => Err(SolveErrorKind::AgentMissing { id: agent.id.clone(), span: agent.span }),
        found => Ok(found.map(PathBuf::as_path)),
    }
}

/// Returns the value of a secret; `None` if it was not given and need not be.
fn find_secret<'a>(worker: &'a LocalWorker<'_>, secret: &SecretRef) -> Result<Option<&'a Secret>> {
    match worker.settings.secrets.get(&secret.id) {
        None if secret.required => Err(SolveErrorKind::SecretMissing { id: secret.id.clone(), span: secret.span }),
        found => Ok(found),
    }
}

/// Returns the variables that hold secrets.
pub(super) fn secret_env(worker: &LocalWorker<'_>, run: &Run) -> Result<Vec<(String, String)>> {
    let mut env = Vec::new();
    for SecretEnv { name, secret } in &run.secret_env {
        let Some(value) = find_secret(worker, secret)? else { continue };
        let fail = |reason| SolveErrorKind::SecretInVariable {
            id: secret.id.clone(),
            name: name.clone(),
            reason,
            span: secret.span,
        };
        // The error of the conversion would hold the value.
        let value = std::str::from_utf8(value.reveal()).map_err(|_| fail("it is not UTF-8"))?;
        if value.contains('\0') {
            return Err(fail("it contains a null byte"));
        }
        env.push((name.clone(), value.to_owned()));
    }
    Ok(env)
}

fn bind(
    worker: &LocalWorker<'_>,
    job: Job<'_>,
    input: &Input,
    path: &str,
    selection: &Selection,
    read_only: bool,
    scratches: &mut Vec<Scratch>,
) -> Result<sandbox::MountKind> {
    let name = match input {
        Input::Vertex(id) => {
            let lowers = lowers(worker, job, Some(*id), scratches)?;
            return Ok(sandbox::MountKind::Snapshot { lowers, subpath: path.to_owned() });
        }
        Input::Empty => {
            let lowers = lowers(worker, job, None, scratches)?;
            return Ok(sandbox::MountKind::Snapshot { lowers, subpath: path.to_owned() });
        }
        Input::Context(name) => name,
    };
    let context = worker.session.contexts.need(name)?;
    let taken = selection.taken.first().ok_or(SolveErrorKind::Plan("a mount without a path"))?;
    if let Some(root) = context.root().filter(|_| read_only)
        && context.shows_as_it_is(&taken.root.path, taken.is_directory())?
    {
        let source = root.join(taken.root.path.as_path());
        return Ok(sandbox::MountKind::Bind { source, recursive: false });
    }
    let scratch = worker.store().scratch()?;
    let subpath = copy_for_mount(worker, job, context, selection, scratch.path())?;
    let kind = sandbox::MountKind::Snapshot { lowers: vec![scratch.path().to_owned()], subpath };
    scratches.push(scratch);
    Ok(kind)
}

/// Copies what a mount shows of a context, without what is ignored, so that it can be written to. Returns its path there.
pub(super) fn copy_for_mount(
    worker: &LocalWorker<'_>,
    job: Job<'_>,
    context: &dyn Files,
    selection: &Selection,
    tree: &Path,
) -> Result<String> {
    let found = vec![plain_root()];
    let probe = Probe { target: LayerPath::root().join(b"mount"), found, owner: None };
    let mut layout = Layout::new(probe, Attributes { now: now(), ..Attributes::default() });
    for taken in &selection.taken {
        layout.copy(0, taken, false)?;
        if let Some(planned) = layout.planned.get_mut(&LayerPath::root().join(b"mount"))
            && matches!(taken.root.kind, Kind::Directory { .. })
        {
            planned.metadata = Metadata { ..taken.root.metadata.clone() };
        }
    }
    let writer = Writer {
        tree,
        sources: &[context],
        inline: &[],
        spool: None,
        earlier: None,
        disk: worker.disk,
        cancel: job.stop,
    };
    writer.write(&mut layout)?;
    Ok("/mount".to_owned())
}

/// True if what was mounted of contexts is still what the key was made of: they are live directories, and somebody may
/// have saved a file meanwhile.
pub(super) fn mounts_are_still(worker: &LocalWorker<'_>, job: Job<'_>, run: &Run) -> Result<bool> {
    for mount in &run.mounts {
        let (MountKind::Bind { input, path, .. } | MountKind::Cache(Cache { base: Some((input, path)), .. })) =
            &mount.kind
        else {
            continue;
        };
        let Input::Context(name) = input_of(job.vertex(), *input)? else { continue };
        let selection = worker.session.context_selection(name, Wanted::mount(path))?;
        let context = worker.session.contexts.need(name)?;
        for taken in &selection.taken {
            if !context.is_still(&taken.root.path)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Returns the directories of a stack, topmost first; an empty one where there is nothing.
pub(super) fn lowers(
    worker: &LocalWorker<'_>,
    job: Job<'_>,
    id: Option<VertexId>,
    scratches: &mut Vec<Scratch>,
) -> Result<Vec<PathBuf>> {
    let layers = worker.session.layers(job.results, id)?.ok_or(SolveErrorKind::Plan("base layers are missing"))?;
    let mut lowers = worker.store().lowers(&layers)?;
    if lowers.is_empty() {
        let scratch = worker.store().scratch()?;
        dress_root(scratch.path(), &plain_root().metadata, worker.disk)?;
        lowers.push(scratch.path().to_owned());
        scratches.push(scratch);
    }
    Ok(lowers)
}
