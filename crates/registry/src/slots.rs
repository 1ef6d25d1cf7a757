//! Keeps the number of transfers down, and each blob to one of them.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use image::Digest;

/// Transfers under way.
#[derive(Debug)]
pub(crate) struct Slots {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    free: usize,
    busy: HashSet<Digest>,
}

/// One transfer; its drop lets the next begin.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    slots: &'a Slots,
    digest: Digest,
}

impl Slots {
    /// Allows `count` transfers at once, one at least.
    pub(crate) fn new(count: usize) -> Self {
        Self { state: Mutex::new(State { free: count.max(1), busy: HashSet::new() }), changed: Condvar::new() }
    }

    /// Waits until there is room for one more and nobody else moves `digest`.
    pub(crate) fn take(&self, digest: Digest) -> Slot<'_> {
        let mut state = self.lock();
        while state.free == 0 || state.busy.contains(&digest) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.free -= 1;
        state.busy.insert(digest);
        Slot { slots: self, digest }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        state.free += 1;
        state.busy.remove(&self.digest);
        self.slots.changed.notify_all();
    }
}
