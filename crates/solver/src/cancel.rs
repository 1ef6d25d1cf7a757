//! Stopping a build.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Hook = Box<dyn Fn() + Send>;

/// A switch that can only be turned one way. Clones share it.
#[derive(Clone, Default)]
pub struct Cancel(Arc<State>);

#[derive(Default)]
struct State {
    canceled: AtomicBool,
    next: AtomicU64,
    hooks: Mutex<BTreeMap<u64, Hook>>,
}

impl Cancel {
    /// Makes a switch that is off.
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns it: nothing new starts, what runs is killed. Safe to call more than once and from any thread.
    pub fn cancel(&self) {
        self.0.canceled.store(true, Ordering::SeqCst);
        for hook in self.hooks().values() {
            hook();
        }
    }

    /// True once [`cancel`](Self::cancel) was called.
    pub fn is_canceled(&self) -> bool {
        self.0.canceled.load(Ordering::SeqCst)
    }

    /// Calls `hook` when the switch is turned, at once if it already is, until the guard is dropped.
    pub(crate) fn on_cancel(&self, hook: impl Fn() + Send + 'static) -> Guard {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut hooks = self.hooks();
        // The lock orders this with `cancel`, which turns the switch before it looks at the hooks.
        if self.is_canceled() {
            hook();
        }
        hooks.insert(id, Box::new(hook));
        drop(hooks);
        Guard { cancel: self.clone(), id }
    }

    fn hooks(&self) -> MutexGuard<'_, BTreeMap<u64, Hook>> {
        self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_canceled()).finish()
    }
}

/// Keeps a hook in place.
#[derive(Debug)]
pub(crate) struct Guard {
    cancel: Cancel,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.cancel.hooks().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> (Arc<AtomicU64>, impl Fn() + Send + 'static) {
        let count = Arc::new(AtomicU64::new(0));
        let inner = Arc::clone(&count);
        (count, move || {
            inner.fetch_add(1, Ordering::SeqCst);
        })
    }

    #[test]
    fn a_hook_is_called_when_the_switch_turns() {
        let cancel = Cancel::new();
        let (count, hook) = counter();
        let _guard = cancel.on_cancel(hook);
        assert_eq!(count.load(Ordering::SeqCst), 0);
        cancel.clone().cancel();
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_hook_that_comes_late_is_called_at_once() {
        let cancel = Cancel::new();
        cancel.cancel();
        let (count, hook) = counter();
        let _guard = cancel.on_cancel(hook);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_dropped_hook_is_not_called() {
        let cancel = Cancel::new();
        let (count, hook) = counter();
        drop(cancel.on_cancel(hook));
        cancel.cancel();
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }
}
