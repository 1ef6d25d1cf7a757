//! When to try again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::Http;
use crate::Result;
use crate::error::{Error, Next};

/// Longer than this nobody waits without being told.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The first pause; each following one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// How often a thing is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempts(pub(crate) u32);

impl Attempts {
    /// The registry itself: there is nobody else.
    pub(crate) const MANY: Self = Self(5);
    /// A mirror: there is another.
    pub(crate) const FEW: Self = Self(2);
}

impl Http {
    /// Does something until it succeeds, waiting in between, as long as that makes sense.
    pub(crate) fn retrying<T>(&self, attempts: Attempts, mut action: impl FnMut() -> Result<T>) -> Result<T> {
        let mut attempt = 0;
        loop {
            match action() {
                Ok(value) => return Ok(value),
                Err(error) => self.pause(&error, attempt, attempts).ok_or(error)?,
            }
            attempt += 1;
        }
    }

    /// Waits before the next attempt; `None` if there should not be one.
    pub(crate) fn pause(&self, error: &Error, attempt: u32, attempts: Attempts) -> Option<()> {
        let Next::Again(told) = error.next() else { return None };
        // Where there is no network at all, nobody should wait long to hear it.
        let most = if matches!(error, Error::Unreachable { .. }) { attempts.0.min(3) } else { attempts.0 };
        if attempt + 1 >= most || told.is_some_and(|told| told > MAX_WAIT) {
            return None;
        }
        let wait = told.unwrap_or_else(|| backoff(attempt));
        tracing::debug!(%error, ?wait, "trying again");
        self.clock.sleep(wait);
        Some(())
    }
}

/// Doubles with each attempt, with up to a quarter more so that many who failed together do not return together.
fn backoff(attempt: u32) -> Duration {
    let wait = FIRST_WAIT.saturating_mul(1 << attempt.min(16)).min(MAX_WAIT);
    let random = RandomState::new().hash_one(attempt) % 256;
    wait + wait.mul_f64(random as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        for (attempt, least) in [(0, 250), (1, 500), (2, 1000), (3, 2000), (40, 60_000)] {
            let wait = backoff(attempt).as_millis();
            assert!((least..=least * 5 / 4).contains(&wait), "{attempt}: {wait}");
        }
    }
}
