//! Work that finds more work, shared among threads.

use std::sync::{Condvar, Mutex, PoisonError};

use image::LayerPath;

use crate::error::{Result, SolveErrorKind};

/// With fewer paths than this, a second thread costs more than it gives.
const WORTH_A_THREAD: usize = 192;

/// Directories still to be listed.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    pending: Vec<LayerPath>,
    busy: usize,
    found: usize,
    error: Option<SolveErrorKind>,
}

impl Queue {
    pub(super) fn new(path: LayerPath) -> Self {
        let state = State { pending: vec![path], busy: 0, found: 0, error: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes a directory; waits for one while others may still find some.
    pub(super) fn next(&self) -> Option<LayerPath> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(path) = state.pending.pop() {
                state.busy += 1;
                return Some(path);
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn done(&self, result: Result<(usize, Vec<LayerPath>)>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy -= 1;
        match result {
            Ok((found, directories)) if state.error.is_none() => {
                state.found += found;
                state.pending.extend(directories.into_iter().rev());
            }
            Ok(_) => {}
            Err(error) => {
                state.pending.clear();
                state.error.get_or_insert(error);
            }
        }
        self.changed.notify_all();
    }

    pub(super) fn is_worth_a_thread(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.found >= WORTH_A_THREAD && state.pending.len() > 1
    }

    pub(super) fn finish(self) -> Result<()> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.error.map_or(Ok(()), Err)
    }
}
