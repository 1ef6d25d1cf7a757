//! Time, as far as retries and tokens need it.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

/// Where the time comes from; tests have one that does not wait.
pub trait Clock: Debug + Send + Sync {
    /// Returns the time of day.
    fn now(&self) -> SystemTime;

    /// Waits.
    fn sleep(&self, duration: Duration);
}

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}
