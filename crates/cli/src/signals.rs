//! Signals of the caller: Ctrl-C ends a build's steps, `run` hands them on.

use std::thread::JoinHandle;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::error::Failure;

/// Undoes the handling on drop.
#[derive(Debug)]
pub(crate) struct Guard {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // The thread only waits for signals; it has nothing to tell.
            let _ = thread.join();
        }
    }
}

/// Calls `act` for each of `signals` while the guard lives.
pub(crate) fn on(signals: &[i32], mut act: impl FnMut(i32) + Send + 'static) -> Result<Guard, Failure> {
    let mut signals = Signals::new(signals)?;
    let handle = signals.handle();
    let thread = std::thread::spawn(move || {
        for signal in signals.forever() {
            act(signal);
        }
    });
    Ok(Guard { handle, thread: Some(thread) })
}

/// Cancels a build at the first interrupt.
pub(crate) fn cancel_on_interrupt(cancel: &solver::Cancel) -> Result<Guard, Failure> {
    let cancel = cancel.clone();
    on(&[SIGINT, SIGTERM, SIGHUP], move |_| cancel.cancel())
}
