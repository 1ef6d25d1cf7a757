//! Base images: their layers fetched side by side, unpacked from the bottom up as they arrive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use image::{Descriptor, Digest};
use plan::{ResolvedBase, VertexId};
use registry::Progress;
use store::LayerId;

use crate::cancel::Cancel;
use crate::error::{Result, SolveErrorKind};
use crate::event::Event;
use crate::local::LocalWorker;
use crate::worker::Job;

/// Layers that travel at once.
const TRANSFERS: usize = 4;

/// How soon a canceled build stops waiting for a transfer.
const PATIENCE: Duration = Duration::from_millis(50);

/// Who wants to know how it goes, and may want it to stop.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    vertex: Option<VertexId>,
    events: Option<Sender<Event>>,
    stop: Cancel,
}

impl Watcher {
    pub(crate) fn nobody() -> Self {
        Self { vertex: None, events: None, stop: Cancel::new() }
    }

    pub(crate) fn of(job: Job<'_>) -> Self {
        Self { vertex: Some(job.id), events: Some(job.sender()), stop: job.stop.clone() }
    }

    fn tell(&self, event: Event) {
        self.events.as_ref().map(|events| events.send(event));
    }
}

/// Returns the layers of an image, lowest first, and whether one had to be made available.
pub(crate) fn materialize(
    worker: &LocalWorker<'_>,
    base: &ResolvedBase,
    watcher: &Watcher,
) -> Result<(Vec<LayerId>, bool)> {
    let store = worker.store();
    let diff_ids = base.config.diff_ids();
    let blobs = base.manifest.layers();
    if diff_ids.len() != blobs.len() {
        return Err(SolveErrorKind::Plan("configuration and manifest of a base image differ in their layers"));
    }
    let mut missing = Vec::new();
    for (at, diff_id) in diff_ids.iter().enumerate() {
        if store.layer_of_diff_id(diff_id)?.is_none() {
            missing.push((at, blobs[at].clone()));
        }
    }
    let fetched = !missing.is_empty();
    if fetched {
        watcher.tell_started();
    }
    let mut arrivals = Arrivals::start(worker, base, missing, watcher);
    let mut layers: Vec<LayerId> = Vec::with_capacity(diff_ids.len());
    for (at, diff_id) in diff_ids.iter().enumerate() {
        let layer = match store.layer_of_diff_id(diff_id)? {
            Some(layer) => layer,
            None => {
                arrivals.wait_for(at, watcher)?;
                watcher.tell(Event::Unpack { vertex: watcher.vertex, digest: *diff_id });
                store.unpack(&blobs[at], diff_id, &layers)?
            }
        };
        layers.push(layer);
    }
    Ok((layers, fetched))
}

impl Watcher {
    fn tell_started(&self) {
        if let Some(vertex) = self.vertex {
            self.tell(Event::Started { vertex });
        }
    }
}

impl Progress for Watcher {
    fn bytes(&self, digest: &Digest, done: u64, total: u64) {
        self.tell(Event::Pull { vertex: self.vertex, digest: *digest, done, total });
    }
}

/// Layers as they arrive, in any order.
struct Arrivals {
    receiver: mpsc::Receiver<(usize, registry::Result<()>)>,
    here: BTreeMap<usize, registry::Result<()>>,
}

impl Arrivals {
    /// Starts fetching. The threads are not waited for: a transfer cannot be interrupted, a build can.
    fn start(
        worker: &LocalWorker<'_>,
        base: &ResolvedBase,
        missing: Vec<(usize, Descriptor)>,
        watcher: &Watcher,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        let threads = TRANSFERS.min(missing.len());
        let shared = Arc::new(Transfers { missing, next: AtomicUsize::new(0) });
        for _ in 0..threads {
            let (registry, store) = (worker.registry.clone(), worker.store().clone());
            let (shared, sender, reference) = (Arc::clone(&shared), sender.clone(), base.reference.clone());
            let watcher = watcher.clone();
            std::thread::spawn(move || {
                while let Some((at, layer)) = shared.next(&watcher.stop) {
                    let result = registry.fetch_layer(&reference, layer, &store, &watcher);
                    if sender.send((*at, result)).is_err() {
                        break;
                    }
                }
            });
        }
        Self { receiver, here: BTreeMap::new() }
    }

    fn wait_for(&mut self, at: usize, watcher: &Watcher) -> Result<()> {
        loop {
            if let Some(result) = self.here.remove(&at) {
                return result.map_err(fetch_failed);
            }
            if watcher.stop.is_canceled() {
                return Err(SolveErrorKind::Canceled);
            }
            match self.receiver.recv_timeout(PATIENCE) {
                // One that fails fails the build at once, whichever is waited for.
                Ok((_, Err(error))) => return Err(fetch_failed(error)),
                Ok((at, result)) => drop(self.here.insert(at, result)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(SolveErrorKind::Panicked),
            }
        }
    }
}

fn fetch_failed(error: registry::Error) -> SolveErrorKind {
    SolveErrorKind::Base(Box::new(error))
}

struct Transfers {
    missing: Vec<(usize, Descriptor)>,
    next: AtomicUsize,
}

impl Transfers {
    fn next(&self, stop: &Cancel) -> Option<&(usize, Descriptor)> {
        if stop.is_canceled() {
            return None;
        }
        self.missing.get(self.next.fetch_add(1, Ordering::Relaxed))
    }
}
