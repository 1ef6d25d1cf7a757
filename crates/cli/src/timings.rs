//! Where the time of a build goes: spans of its phases and of each step's parts, always measured.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plan::VertexId;
use serde::{Deserialize, Serialize};

use crate::output::table::{self, shorten};
use crate::progress::{Mode, seconds};
use crate::terminal;

/// A stretch of time. Versioned with the account it is kept in.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Span {
    pub(crate) phase: String,
    /// Position of the step, if the phase belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<usize>,
    /// Microseconds after the build began.
    at: u64,
    /// Microseconds.
    took: u64,
}

/// Takes spans from whoever measures.
#[derive(Debug)]
pub(crate) struct Timings {
    begun: Instant,
    wall: Timestamp,
    spans: Mutex<Vec<Span>>,
    /// The names of the steps, once there is a plan.
    steps: OnceLock<Vec<String>>,
}

impl Timings {
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), wall: Timestamp::now(), spans: Mutex::default(), steps: OnceLock::new() }
    }

    /// Says what the steps are called.
    pub(crate) fn name_steps(&self, names: Vec<String>) {
        // A build has one plan.
        let _ = self.steps.set(names);
    }

    /// Returns the time since the build began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Does something, and keeps how long it took, well or not.
    pub(crate) fn measure<T>(&self, phase: &str, work: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let done = work();
        self.add(phase, None, since, since.elapsed());
        done
    }

    /// Keeps what a step has spent.
    pub(crate) fn spent(&self, vertex: VertexId, phase: solver::Phase, since: Instant, elapsed: Duration) {
        self.add(word(phase), Some(vertex.index()), since, elapsed);
    }

    fn add(&self, phase: &str, step: Option<usize>, since: Instant, elapsed: Duration) {
        let at = microseconds(since.saturating_duration_since(self.begun));
        let span = Span { phase: phase.to_owned(), step, at, took: microseconds(elapsed) };
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }

    /// Returns when a phase began and when it was last over.
    pub(crate) fn times(&self, phase: &str) -> Option<(Timestamp, Timestamp)> {
        let spans = self.spans();
        let spans: Vec<&Span> = spans.iter().filter(|span| span.step.is_none() && span.phase == phase).collect();
        let at = |micros| self.wall + Duration::from_micros(micros);
        Some((at(spans.first()?.at), at(spans.iter().map(|span| span.at + span.took).max()?)))
    }

    /// Returns all spans in the order in which they began.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone();
        spans.sort_by_key(|span| (span.at, span.step));
        spans
    }

    /// Shows what was measured: as a table if that was asked for, to programs always.
    pub(crate) fn show(&self, mode: Mode, wanted: bool) {
        if mode == Mode::Json {
            // Those of steps were events of their own.
            for span in self.spans().iter().filter(|span| span.step.is_none()) {
                let object = serde_json::json!({
                    "event": "span", "phase": span.phase,
                    "at": Duration::from_micros(span.at).as_secs_f64(),
                    "seconds": Duration::from_micros(span.took).as_secs_f64(),
                });
                terminal::note(&object.to_string());
            }
        } else if wanted {
            let steps: Vec<&str> = self.steps.get().into_iter().flatten().map(String::as_str).collect();
            terminal::note(&draw(&self.spans(), &steps));
        }
    }
}

/// Draws spans as a table; `steps` are the names of the steps.
pub(crate) fn draw(spans: &[Span], steps: &[&str]) -> String {
    let rows: Vec<Vec<String>> = spans
        .iter()
        .map(|span| {
            let name = span.step.and_then(|step| steps.get(step)).copied().unwrap_or_default();
            let time = |micros| seconds(Duration::from_micros(micros));
            vec![time(span.at), time(span.took), span.phase.clone(), shorten(name, 80)]
        })
        .collect();
    table::draw(&["AT", "TOOK", "PHASE", "STEP"], &rows)
}

/// What a phase of a step is called.
pub(crate) fn word(phase: solver::Phase) -> &'static str {
    match phase {
        solver::Phase::LookUp => "look up",
        solver::Phase::Fetch => "fetch",
        solver::Phase::Wait => "wait",
        solver::Phase::Write => "write",
        solver::Phase::Box => "box",
        solver::Phase::Command => "command",
        solver::Phase::Diff => "diff",
        solver::Phase::Commit => "commit",
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
