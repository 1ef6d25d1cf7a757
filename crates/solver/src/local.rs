//! The real worker: this machine.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use image::layer::Index;
use image::{LayerPath, Timestamp};
use plan::{Op, OpDigest, ResolvedBase, VertexId};
use registry::Registry;
use sandbox::{Launcher, Pasta};
use store::{KeyLock, LayerDraft, LayerId, Record, RecordInput, Store};

use crate::cancel::Cancel;
use crate::context::Contexts;
use crate::error::{Result, SolveErrorKind};
use crate::event::{self, Phase};
use crate::key::{self, Key};
use crate::ops;
use crate::ops::source::Fetched;
use crate::results::Made;
use crate::servers::{Secrets, Servers};
use crate::session::{Found, Session, must_ask};
use crate::solution::Outcome;
use crate::worker::{Job, Worker};
use crate::write::Disk;

/// How often a key that somebody else computes is tried.
pub(crate) const PATIENCE: Duration = Duration::from_millis(10);

/// What connects boxes that have no network of the machine.
#[derive(Clone, Debug)]
pub struct PrivateNetwork {
    pub pasta: Pasta,
    /// Their `/etc/resolv.conf`.
    pub resolv_conf: Vec<u8>,
}

/// What the command line and the machine say about every op.
#[derive(Clone, Debug, Default)]
pub struct WorkerSettings {
    /// `/etc/resolv.conf` of boxes without a private network.
    pub resolv_conf: Vec<u8>,
    /// Lines for `/etc/hosts` of every box beside those of the plan: name, address.
    pub hosts: Vec<(String, String)>,
    /// The network of a `RUN` without `--network`, if it can be connected; otherwise, and with `None`, that of the machine.
    pub private_network: Option<PrivateNetwork>,
    /// `--secret`, by id.
    pub secrets: Secrets,
    /// `--ssh`, by id: the sockets of the agents.
    pub agents: BTreeMap<String, PathBuf>,
    /// Who wants each layer as soon as it is there.
    pub layers: Option<Sender<(VertexId, LayerId)>>,
}

/// Runs ops here, with layers and records in a store.
#[derive(Debug)]
pub struct LocalWorker<'a> {
    pub(crate) session: Session<'a>,
    pub(crate) registry: &'a Registry,
    pub(crate) settings: WorkerSettings,
    pub(crate) disk: Disk,
    launcher: Mutex<Option<Launcher>>,
    prepared: Mutex<HashMap<VertexId, ops::copy::Prepared>>,
    /// Keys that were computed by this build, even though the cache was to be ignored.
    computed: Mutex<HashSet<Key>>,
    /// The private network was tried and cannot be had.
    unconnected: AtomicBool,
}

impl<'a> LocalWorker<'a> {
    /// Makes a worker; nothing is started yet.
    pub fn new(
        store: &'a Store,
        registry: &'a Registry,
        contexts: &'a Contexts,
        settings: WorkerSettings,
    ) -> Result<Self, SolveErrorKind> {
        let (overlay, ids) = store::layer_flavor();
        Ok(Self {
            session: Session::new(store, contexts),
            registry,
            settings,
            disk: Disk { ids, overlay },
            launcher: Mutex::default(),
            prepared: Mutex::default(),
            computed: Mutex::default(),
            unconnected: AtomicBool::new(false),
        })
    }

    /// Makes the layers of an image available, and returns them, lowest first. What is missing is fetched from its registry,
    /// several layers at once.
    pub fn materialize(&self, base: &ResolvedBase) -> Result<Vec<LayerId>, SolveErrorKind> {
        ops::base::materialize(self, base, &ops::base::Watcher::nobody()).map(|(layers, _)| layers)
    }

    pub(crate) fn store(&self) -> &'a Store {
        self.session.store
    }

    /// Returns the launcher, started when the first box is needed.
    pub(crate) fn launcher(&self) -> sandbox::Result<Launcher> {
        let mut launcher = lock(&self.launcher);
        match &*launcher {
            Some(launcher) => Ok(launcher.clone()),
            None => {
                let started = match &self.settings.private_network {
                    Some(network) => Launcher::start_connected(&network.pasta)?,
                    None => Launcher::start()?,
                };
                Ok(launcher.insert(started).clone())
            }
        }
    }

    /// Returns the network of a `RUN` without `--network`.
    pub(crate) fn private_network(&self) -> Option<&PrivateNetwork> {
        self.settings.private_network.as_ref().filter(|_| !self.unconnected.load(Ordering::Relaxed))
    }

    /// Does without that network from here on, and says so once.
    pub(crate) fn give_up_private_network(&self, job: Job<'_>, why: &str) {
        if !self.unconnected.swap(true, Ordering::Relaxed) {
            job.tell(event::no_private_network(why));
        }
    }

    pub(crate) fn keep_prepared(&self, id: VertexId, prepared: ops::copy::Prepared) {
        lock(&self.prepared).insert(id, prepared);
    }

    pub(crate) fn take_prepared(&self, id: VertexId) -> Option<ops::copy::Prepared> {
        lock(&self.prepared).remove(&id)
    }

    /// Names the result of an op.
    pub(crate) fn commit(&self, result: OpResult) -> Result<Made> {
        let computed = result.faithful.then_some(result.key);
        let made = commit(self.store(), result)?;
        lock(&self.computed).extend(computed);
        Ok(made)
    }

    /// Returns the servers of sources.
    pub(crate) fn servers(&self) -> Servers<'_> {
        Servers { registry: self.registry, secrets: &self.settings.secrets }
    }

    /// Returns the record of `key` if somebody has computed it since it was looked up.
    fn computed_meanwhile(&self, job: Job<'_>, key: Key) -> Result<Option<Record>> {
        let ignored = job.vertex().ignore_cache || must_ask(job.vertex());
        if ignored && !lock(&self.computed).contains(&key) {
            return Ok(None);
        }
        Ok(self.store().record(&key.record())?)
    }
}

/// What an op has made, before it has a name.
pub(crate) struct OpResult {
    pub(crate) key: Key,
    pub(crate) op: OpDigest,
    pub(crate) draft: LayerDraft,
    pub(crate) index: Index,
    /// What was read is what the key says.
    pub(crate) faithful: bool,
    pub(crate) inputs: Vec<RecordInput>,
}

impl Worker for LocalWorker<'_> {
    fn look_up(&self, job: Job<'_>) -> Result<Found> {
        job.measure(Phase::LookUp, || self.session.look_up(job.results, job.id))
    }

    fn fetch(&self, job: Job<'_>) -> Result<bool> {
        let base = job.results.base(job.id).ok_or(SolveErrorKind::Plan("only a base image can be fetched"))?;
        let watcher = ops::base::Watcher::of(job);
        job.measure(Phase::Fetch, || ops::base::materialize(self, base, &watcher)).map(|(_, fetched)| fetched)
    }

    fn execute(&self, job: Job<'_>, key: Key) -> Result<Made> {
        // Whoever else needs this key, in this process or another, waits here and then finds the record.
        let _lock = job.measure(Phase::Wait, || wait_for_key(self.store(), key, job.stop))?;
        if let Some(record) = self.computed_meanwhile(job, key)? {
            return Ok(Made::from_record(&record));
        }
        let result = match &job.vertex().op {
            Op::Source(source) => match ops::source::execute(self, job, source, key)? {
                Fetched::New(result) => *result,
                Fetched::Same(record) => {
                    // Asked once in a build: all who read it see the same.
                    lock(&self.computed).insert(key);
                    return Ok(Made::from_record(&record));
                }
                Fetched::Recorded(made) => {
                    lock(&self.computed).insert(key);
                    return Ok(made);
                }
            },
            Op::Base(_) => return Err(SolveErrorKind::Plan("a base image is not executed")),
            Op::Run(run) => ops::run::execute(self, job, run, key)?,
            Op::Copy(copy) => job.measure(Phase::Write, || ops::copy::execute(self, job, copy, key))?,
            Op::Workdir(workdir) => job.measure(Phase::Write, || ops::workdir::execute(self, job, workdir, key))?,
        };
        let made = job.measure(Phase::Commit, || self.commit(result))?;
        if let Op::Copy(copy) = &job.vertex().op {
            ops::copy::remember(self, job, copy, &made.layer)?;
        }
        Ok(made)
    }

    fn prepare(&self, job: Job<'_>, ancestor: Option<VertexId>) -> Result<()> {
        job.measure(Phase::Write, || ops::copy::prepare(self, job, ancestor))
    }

    fn done(&self, id: VertexId, layer: &LayerId) {
        if let Some(layers) = &self.settings.layers {
            // Nobody is left to want it once what it is for has failed.
            let _ = layers.send((id, layer.clone()));
        }
    }

    fn finish(&self) {
        lock(&self.prepared).clear();
        self.session.contexts.save();
    }
}

/// Names the result of an op. If the op gave the same before, the earlier layer is kept, times included.
pub(crate) fn commit(store: &Store, result: OpResult) -> Result<Made> {
    let OpResult { key, op, draft, index, faithful, inputs } = result;
    let content = index.content_id();
    let cutoff = key::cutoff(&op, &content);
    let (layer, created, outcome) = match store.record(&cutoff)? {
        Some(earlier) => (earlier.layer, earlier.created, Outcome::Unchanged),
        None => {
            let created = now().seconds;
            (draft.commit(index, created)?.id().clone(), created, Outcome::Ran)
        }
    };
    let made = Made { layer, content, created, outcome };
    if outcome == Outcome::Ran {
        store.put_record(&cutoff, &record(&made, Vec::new()))?;
    }
    if faithful {
        store.put_record(&key.record(), &record(&made, inputs))?;
    }
    Ok(made)
}

/// Waits for the lock of a key, but no longer than the build is wanted.
pub(crate) fn wait_for_key(store: &Store, key: Key, stop: &Cancel) -> Result<KeyLock> {
    loop {
        if stop.is_canceled() {
            return Err(SolveErrorKind::Canceled);
        }
        if let Some(lock) = store.try_lock_key(&key.record())? {
            return Ok(lock);
        }
        std::thread::sleep(PATIENCE);
    }
}

fn record(made: &Made, inputs: Vec<RecordInput>) -> Record {
    Record { layer: made.layer.clone(), content: made.content, created: made.created, inputs }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the time for what is made now.
pub(crate) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: i64::try_from(now.as_secs()).unwrap_or_default(), nanoseconds: now.subsec_nanos() }
}

/// Returns a path of a box as one of a tree.
pub(crate) fn layer_path(path: &str) -> Result<LayerPath> {
    LayerPath::clamped(path.as_bytes()).ok_or_else(|| SolveErrorKind::InvalidPath { path: path.to_owned() })
}
