//! `RUN`: a command in a box, and what it changed.

use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::time::Instant;

use image::layer::{Lower, ScanOptions, scan};
use image::{Entry, LayerPath};
use plan::{Run, RunNetwork, RunSecurity};
use sandbox::{Io, Network, Rlimit, Rootfs, Security, Spec, Stdio};
use store::{LayerDraft, Scratch, Tree};

use crate::error::{Result, SolveErrorKind};
use crate::event::Phase;
use crate::files::{Files, as_file, plain_root};
use crate::key::Key;
use crate::local::{LocalWorker, OpResult, layer_path};
use crate::ops::caches::Caches;
use crate::ops::inputs;
use crate::ops::mounts::{Mounted, lowers, mounts, mounts_are_still, secret_env};
use crate::ops::output::Output;
use crate::session::Root;
use crate::worker::Job;
use crate::write::dress_root;

/// Bytes of `/dev/shm` (reference: section 8).
const SHM_SIZE: u64 = 64 << 20;

pub(crate) fn execute(worker: &LocalWorker<'_>, job: Job<'_>, run: &Run, key: Key) -> Result<OpResult> {
    let outcome = attempt(worker, job, run, key);
    match &outcome {
        // Nothing has run yet, and the mount points that were made are gone with the attempt.
        Err(SolveErrorKind::Sandbox { source, .. }) if let sandbox::Error::Network(why) = &**source => {
            worker.give_up_private_network(job, why);
            attempt(worker, job, run, key)
        }
        _ => outcome,
    }
}

fn attempt(worker: &LocalWorker<'_>, job: Job<'_>, run: &Run, key: Key) -> Result<OpResult> {
    let begun = Instant::now();
    let root = worker.session.need_root(job.results, job.vertex().parent)?;
    let draft = worker.store().new_layer()?;
    let metadata = Files::look(root.files(), &LayerPath::root())?.unwrap_or_else(plain_root).metadata;
    dress_root(draft.tree(), &metadata, worker.disk)?;
    let mut scratches = Vec::new();
    let caches = Caches::take(worker, job, run)?;
    let Mounted { mounts, reads, agents } = mounts(worker, job, run, &caches, &mut scratches)?;
    let spec = spec(worker, job, run, &draft, mounts, &mut scratches)?;
    let stubs = run_box(worker, job, run, &spec, begun)?;
    drop((spec, caches, agents));
    let index = job.measure(Phase::Diff, || changes(worker, &root, &draft, &stubs))?;
    let faithful = mounts_are_still(worker, job, run)?;
    let inputs = inputs::run(run, job.content(job.vertex().parent), &reads);
    Ok(OpResult { key, op: job.vertex().digest, draft, index, faithful, inputs })
}

/// Runs the command to its end, and returns the mount points that were made for it. Its box has been in the making since
/// `begun`.
fn run_box(worker: &LocalWorker<'_>, job: Job<'_>, run: &Run, spec: &Spec, begun: Instant) -> Result<Vec<String>> {
    let fail = |source| SolveErrorKind::Sandbox { argv: run.argv.clone(), source: Box::new(source) };
    let pipe = |source: rustix::io::Errno| {
        fail(sandbox::Error::Setup { doing: "making pipes".to_owned(), source: source.into() })
    };
    let (output, stdout, stderr) = Output::new().map_err(pipe)?;
    let io = Io { stdin: Stdio::Null, stdout: stdout.into(), stderr: stderr.into() };
    let starting = worker.launcher().and_then(|launcher| launcher.begin(spec, io)).map_err(fail)?;
    let signaler = starting.signaler();
    // A kill that comes too late finds nobody.
    let _guard = job.stop.on_cancel(move || drop(signaler.kill()));
    let started = starting.finish();
    job.check_canceled()?;
    let mut child = started.map_err(fail)?;
    job.spent(Phase::Box, begun);
    let (tail, exit) = job.measure(Phase::Command, || {
        let tail = output.forward(job.id, |event| job.tell(event));
        (tail, child.wait())
    });
    let exit = exit.map_err(fail)?;
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
    // What was copied up of the directories that every box has counts as made for it.
    let made = stubs.iter().map(String::as_str).chain(sandbox::MOUNT_POINTS.iter().map(|(point, _)| *point));
    let ignore = made.map(layer_path).collect::<Result<_>>()?;
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
    let mut lowers = lowers(worker, job, job.vertex().parent, scratches)?;
    lowers.push(worker.store().mount_points(&sandbox::MOUNT_POINTS)?);
    if let Some(script) = &run.script {
        let kind = sandbox::MountKind::Data { bytes: script.bytes.clone(), mode: 0o755, uid: 0, gid: 0 };
        mounts.push(sandbox::Mount { target: script.path.clone(), read_only: true, kind });
    }
    let settings = &worker.settings;
    let (network, resolv_conf) = match (run.network, worker.private_network()) {
        (RunNetwork::Default, Some(private)) => (Network::Private, &private.resolv_conf),
        (RunNetwork::None, _) => (Network::None, &settings.resolv_conf),
        (RunNetwork::Default | RunNetwork::Host, _) => (Network::Host, &settings.resolv_conf),
    };
    let (upper, work) = (draft.tree().to_owned(), draft.work().to_owned());
    Ok(Spec {
        rootfs: Rootfs::Overlay { lowers, upper, work, read_only: false },
        mounts,
        argv: run.argv.clone(),
        env: run.env.iter().chain(&run.proxy).cloned().chain(secret_env(worker, run)?).collect(),
        cwd: run.cwd.clone(),
        user: run.user.clone(),
        extra_groups: Vec::new(),
        hostname: run.hostname.clone(),
        network,
        security: match run.security {
            RunSecurity::Sandbox => Security::Default { no_new_privs: false },
            RunSecurity::Insecure => Security::Insecure,
        },
        rlimits: run.limits.ulimits.iter().filter_map(|(name, soft, hard)| rlimit(name, *soft, *hard)).collect(),
        hosts: Some(hosts(worker, run)),
        resolv_conf: Some(resolv_conf.clone()),
        shm_size: run.limits.shm_size.unwrap_or(SHM_SIZE),
        terminal: None,
        init: false,
    })
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
