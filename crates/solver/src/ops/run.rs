//! `RUN`: a command in a box, and what it changed.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::path::PathBuf;

use dockerfile::Span;
use image::layer::{Lower, ScanOptions, scan};
use image::{Entry, Kind, LayerPath, Metadata};
use plan::{Input, MountKind, Run, RunNetwork, RunSecurity, VertexId};
use sandbox::{Io, Network, Rlimit, Rootfs, Security, Spec, Stdio};
use store::{LayerDraft, Scratch, Tree};

use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, as_file, plain_root};
use crate::key::Key;
use crate::layout::{Attributes, Layout};
use crate::local::{LocalWorker, OpResult, layer_path, now};
use crate::ops::inputs;
use crate::ops::output::Output;
use crate::probe::Probe;
use crate::select::Selection;
use crate::session::{Purpose, Root, input_of};
use crate::worker::Job;
use crate::write::{Writer, dress_root};

/// Bytes of `/dev/shm` (reference: section 8).
const SHM_SIZE: u64 = 64 << 20;

/// Linux: `OVL_MAX_STACK`.
const MOST_LOWERS: usize = 500;

pub(crate) fn execute(worker: &LocalWorker<'_>, job: Job<'_>, run: &Run, key: Key) -> Result<OpResult> {
    let root = worker.session.need_root(job.results, job.vertex().parent)?;
    let draft = worker.store().new_layer()?;
    let metadata = Files::look(root.files(), &LayerPath::root())?.unwrap_or_else(plain_root).metadata;
    dress_root(draft.tree(), &metadata, worker.disk)?;
    let mut scratches = Vec::new();
    let (mounts, reads) = mounts(worker, job, run, &mut scratches)?;
    let spec = spec(worker, job, run, &draft, mounts, &mut scratches)?;
    let stubs = run_box(worker, job, run, &spec)?;
    let index = changes(worker, &root, &draft, &stubs)?;
    let faithful = mounts_are_still(worker, job, run)?;
    let inputs = inputs::run(run, job.content(job.vertex().parent), &reads);
    Ok(OpResult { key, op: job.vertex().digest, draft, index, faithful, inputs })
}

/// True if what was mounted of contexts is still what the key was made of: they are live directories, and somebody may
/// have saved a file meanwhile.
fn mounts_are_still(worker: &LocalWorker<'_>, job: Job<'_>, run: &Run) -> Result<bool> {
    for mount in &run.mounts {
        let MountKind::Bind { input, path } = &mount.kind else { continue };
        let Input::Context(name) = input_of(job.vertex(), *input)? else { continue };
        let selection = worker.session.context_selection(name, path, Purpose::Mount, Span::default())?;
        let context = worker.session.contexts.need(name)?;
        for taken in &selection.taken {
            if !context.is_still(&taken.root.path)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Runs the command to its end, and returns the mount points that were made for it.
fn run_box(worker: &LocalWorker<'_>, job: Job<'_>, run: &Run, spec: &Spec) -> Result<Vec<String>> {
    let fail = |source| SolveErrorKind::Sandbox { argv: run.argv.clone(), source: Box::new(source) };
    let pipe = |source: rustix::io::Errno| {
        fail(sandbox::Error::Setup { doing: "making pipes".to_owned(), source: source.into() })
    };
    let (output, stdout, stderr) = Output::new().map_err(pipe)?;
    let io = Io { stdin: Stdio::Null, stdout: stdout.into(), stderr: stderr.into() };
    let mut child = worker.launcher().and_then(|launcher| launcher.spawn(spec, io)).map_err(fail)?;
    let signaler = child.signaler();
    // A kill that comes too late finds nobody.
    let _guard = job.stop.on_cancel(move || drop(signaler.kill()));
    let tail = output.forward(job.id, |event| job.tell(event));
    let exit = child.wait().map_err(fail)?;
    job.check_canceled()?;
    if !exit.status.success() {
        return Err(SolveErrorKind::Run { argv: run.argv.clone(), status: exit.status, tail });
    }
    Ok(exit.stubs)
}

/// Reads what the command changed.
fn changes(worker: &LocalWorker<'_>, root: &Root, draft: &LayerDraft, stubs: &[String]) -> Result<image::Index> {
    let tree = std::fs::File::open(draft.tree()).map_err(|source| SolveErrorKind::Write {
        action: "open",
        path: draft.tree().to_owned(),
        source,
    })?;
    let ignore = stubs.iter().map(|stub| layer_path(stub)).collect::<Result<_>>()?;
    let options = ScanOptions { overlay: worker.disk.overlay, ids: worker.disk.ids, ignore, remove: true };
    let lower: &dyn Lower = match root {
        Root::Tree(tree) => &Parent(tree),
        Root::Nothing(_) => &Empty,
    };
    Ok(scan(tree.as_fd(), lower, &options).map_err(|error| SolveErrorKind::Scan(Box::new(error)))?.index)
}

struct Parent<'a>(&'a Tree);

impl Lower for Parent<'_> {
    fn lookup(&self, path: &LayerPath) -> Option<Entry> {
        Some(as_file(self.0, self.0.get(path)?))
    }
}

struct Empty;

impl Lower for Empty {
    fn lookup(&self, path: &LayerPath) -> Option<Entry> {
        path.is_root().then(plain_root)
    }
}

fn spec(
    worker: &LocalWorker<'_>,
    job: Job<'_>,
    run: &Run,
    draft: &LayerDraft,
    mut mounts: Vec<sandbox::Mount>,
    scratches: &mut Vec<Scratch>,
) -> Result<Spec> {
    let lowers = lowers(worker, job, job.vertex().parent, scratches)?;
    if let Some(script) = &run.script {
        let kind = sandbox::MountKind::Data { bytes: script.bytes.clone(), mode: 0o755, uid: 0, gid: 0 };
        mounts.push(sandbox::Mount { target: script.path.clone(), read_only: true, kind });
    }
    let (upper, work) = (draft.tree().to_owned(), draft.work().to_owned());
    Ok(Spec {
        rootfs: Rootfs::Overlay { lowers, upper, work, read_only: false },
        mounts,
        argv: run.argv.clone(),
        env: run.env.iter().chain(&run.proxy).cloned().collect(),
        cwd: run.cwd.clone(),
        user: run.user.clone(),
        extra_groups: Vec::new(),
        hostname: run.hostname.clone(),
        network: match run.network {
            RunNetwork::Default => worker.settings.network,
            RunNetwork::None => Network::None,
            RunNetwork::Host => Network::Host,
        },
        security: match run.security {
            RunSecurity::Sandbox => Security::Default { no_new_privs: false },
            RunSecurity::Insecure => Security::Insecure,
        },
        rlimits: run.limits.ulimits.iter().filter_map(|(name, soft, hard)| rlimit(name, *soft, *hard)).collect(),
        hosts: Some(hosts(worker, run)),
        resolv_conf: Some(worker.settings.resolv_conf.clone()),
        shm_size: run.limits.shm_size.unwrap_or(SHM_SIZE),
        terminal: false,
        init: false,
    })
}

/// Returns the directories of a stack, topmost first; an empty one where there is nothing. Empty layers are left out.
fn lowers(
    worker: &LocalWorker<'_>,
    job: Job<'_>,
    id: Option<VertexId>,
    scratches: &mut Vec<Scratch>,
) -> Result<Vec<PathBuf>> {
    let layers = worker.session.layers(job.results, id)?.ok_or(SolveErrorKind::Plan("base layers are missing"))?;
    let mut lowers = Vec::with_capacity(layers.len());
    let mut seen = HashSet::new();
    for id in layers.iter().rev() {
        // Overlay takes each directory once. Where a layer comes twice, the lower one shows nowhere.
        if !seen.insert(id) {
            continue;
        }
        let layer = worker.store().layer(id)?;
        if !layer.index()?.entries().is_empty() {
            lowers.push(layer.tree().to_owned());
        }
    }
    if lowers.len() > MOST_LOWERS {
        return Err(SolveErrorKind::TooManyLayers { layers: lowers.len() });
    }
    if lowers.is_empty() {
        let scratch = worker.store().scratch()?;
        dress_root(scratch.path(), &plain_root().metadata, worker.disk)?;
        lowers.push(scratch.path().to_owned());
        scratches.push(scratch);
    }
    Ok(lowers)
}

/// What a mount showed: its target and the hash of that.
type MountReads = Vec<(String, [u8; 32])>;

fn mounts(
    worker: &LocalWorker<'_>,
    job: Job<'_>,
    run: &Run,
    scratches: &mut Vec<Scratch>,
) -> Result<(Vec<sandbox::Mount>, MountReads)> {
    let (mut mounts, mut reads) = (Vec::new(), Vec::new());
    for mount in &run.mounts {
        let kind = match &mount.kind {
            MountKind::Tmpfs { size } => sandbox::MountKind::Tmpfs { size: *size, mode: 0o1777 },
            MountKind::Bind { input, path } => {
                let input = input_of(job.vertex(), *input)?;
                let selection = worker.session.selection(job.results, input, path, Purpose::Mount, Span::default())?;
                reads.push((mount.target.clone(), selection.mounted()));
                bind(worker, job, input, path, &selection, mount.read_only, scratches)?
            }
        };
        mounts.push(sandbox::Mount { target: mount.target.clone(), read_only: mount.read_only, kind });
    }
    Ok((mounts, reads))
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
        && !(taken.is_directory() && context.hides_below(&taken.root.path)?)
    {
        // As it is: nothing is copied. What belongs to whom shows, though, where a copy would be root's.
        let source = root.join(taken.root.path.as_path());
        return Ok(sandbox::MountKind::Bind { source, recursive: false });
    }
    let scratch = worker.store().scratch()?;
    let subpath = copy_for_mount(worker, job, context, selection, &scratch)?;
    let kind = sandbox::MountKind::Snapshot { lowers: vec![scratch.path().to_owned()], subpath };
    scratches.push(scratch);
    Ok(kind)
}

/// Copies what a mount shows of a context, without what is ignored, so that it can be written to. Returns its path there.
fn copy_for_mount(
    worker: &LocalWorker<'_>,
    job: Job<'_>,
    context: &dyn Files,
    selection: &Selection,
    scratch: &Scratch,
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
        tree: scratch.path(),
        sources: &[context],
        inline: &[],
        spool: None,
        disk: worker.disk,
        cancel: job.stop,
    };
    writer.write(&mut layout)?;
    Ok("/mount".to_owned())
}

fn hosts(worker: &LocalWorker<'_>, run: &Run) -> Vec<u8> {
    let mut hosts = format!("127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n", run.hostname);
    for (name, address) in worker.settings.hosts.iter().chain(&run.limits.add_hosts) {
        // Writing to a string does not fail.
        let _ = writeln!(hosts, "{address}\t{name}");
    }
    hosts.into_bytes()
}

/// Reads a `--ulimit`; the names are docker's.
fn rlimit(name: &str, soft: u64, hard: u64) -> Option<Rlimit> {
    let resource = match name {
        "as" => libc::RLIMIT_AS,
        "core" => libc::RLIMIT_CORE,
        "cpu" => libc::RLIMIT_CPU,
        "data" => libc::RLIMIT_DATA,
        "fsize" => libc::RLIMIT_FSIZE,
        "locks" => libc::RLIMIT_LOCKS,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "msgqueue" => libc::RLIMIT_MSGQUEUE,
        "nice" => libc::RLIMIT_NICE,
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "rss" => libc::RLIMIT_RSS,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "rttime" => libc::RLIMIT_RTTIME,
        "sigpending" => libc::RLIMIT_SIGPENDING,
        "stack" => libc::RLIMIT_STACK,
        _ => return None,
    };
    #[allow(clippy::useless_conversion, reason = "the type differs between C libraries")]
    u32::try_from(resource).ok().map(|resource| Rlimit { resource, soft, hard })
}
