//! Packing ahead: what an output will need is packed while later steps run.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use image::layer::PackOptions;
use plan::{Plan, VertexId};
use store::{LayerId, Store};

/// A thread that packs one layer after the other, each with all processors. Dropped, it stops where it is.
#[derive(Debug)]
pub(super) struct Ahead {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Starts it; layers are sent as they are finished. Those that are not part of a target are left alone.
    pub(super) fn start(store: &Store, plan: &Plan, options: PackOptions) -> (Self, Sender<(VertexId, LayerId)>) {
        let (sender, layers) = channel::<(VertexId, LayerId)>();
        let (wanted, store, stop) = (layers_of_targets(plan), store.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for (_, layer) in layers.iter().filter(|(vertex, _)| wanted.contains(vertex)) {
                if let Err(error) = store.pack_unless(&layer, &options, &stopped) {
                    // Whoever needs the layer packs it again, and says what is wrong.
                    tracing::debug!(%layer, %error, "could not be packed ahead");
                }
            }
        });
        (Self { stop, thread: Some(thread) }, sender)
    }

    /// Waits until all is packed that was sent; the sender must be gone.
    pub(super) fn finish(mut self) {
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic there is met again by whoever packs in its place.
            let _ = thread.join();
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.join();
    }
}

fn layers_of_targets(plan: &Plan) -> HashSet<VertexId> {
    let mut found = HashSet::new();
    for target in &plan.targets {
        let mut next = target.root;
        while let Some(id) = next.filter(|id| found.insert(*id)) {
            next = plan.vertices[id.index()].parent;
        }
    }
    found
}
