//! Lines, for logs: each says which step it belongs to.

use std::time::{Duration, Instant};

use solver::Event;

use super::{Lines, Reader, Step, seconds};
use crate::terminal;

/// Prints `#N` lines. Steps are numbered in the order in which they are first heard of.
pub(super) struct Plain {
    steps: Vec<State>,
    next: usize,
}

struct State {
    step: Step,
    number: Option<usize>,
    begun: Instant,
    lines: Lines,
    pulled: Duration,
}

/// How often a running pull is reported.
const PULL_INTERVAL: Duration = Duration::from_secs(2);

impl Plain {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        let now = Instant::now();
        let state = |step| State { step, number: None, begun: now, lines: Lines::default(), pulled: Duration::ZERO };
        Self { steps: steps.into_iter().map(state).collect(), next: 1 }
    }

    /// Gives a step its number and prints its name, the first time.
    fn introduce(&mut self, vertex: plan::VertexId) -> Option<(usize, &mut State)> {
        let state = self.steps.get_mut(vertex.0 as usize)?;
        let number = *state.number.get_or_insert_with(|| {
            let number = self.next;
            self.next += 1;
            state.begun = Instant::now();
            terminal::note(&format!("#{number} {}", state.step.name));
            number
        });
        Some((number, state))
    }

    fn end(&mut self, vertex: plan::VertexId, word: &str) {
        if let Some((number, state)) = self.introduce(vertex) {
            let begun = state.begun;
            state.lines.finish(|line| print_line(number, begun, line));
            terminal::note(&format!("#{number} {word}"));
        }
    }
}

fn print_line(number: usize, begun: Instant, line: &str) {
    terminal::note(&format!("#{number} {:.3} {line}", begun.elapsed().as_secs_f64()));
}

impl Reader for Plain {
    fn event(&mut self, event: Event) {
        match event {
            Event::Started { vertex } => drop(self.introduce(vertex)),
            Event::Cached { vertex } => self.end(vertex, "CACHED"),
            Event::Output { vertex, bytes, .. } => {
                if let Some((number, state)) = self.introduce(vertex) {
                    let begun = state.begun;
                    state.lines.push(&bytes, |line| print_line(number, begun, line));
                }
            }
            Event::Pull { vertex: Some(vertex), digest, done, total } => {
                if let Some((number, state)) = self.introduce(vertex) {
                    let elapsed = state.begun.elapsed();
                    if done == total || elapsed >= state.pulled + PULL_INTERVAL {
                        state.pulled = elapsed;
                        let size = crate::output::table::size;
                        terminal::note(&format!("#{number} {digest} {} / {}", size(done), size(total)));
                    }
                }
            }
            Event::Unpack { vertex: Some(vertex), digest } => {
                if let Some((number, _)) = self.introduce(vertex) {
                    terminal::note(&format!("#{number} unpacking {digest}"));
                }
            }
            Event::Pull { vertex: None, .. } | Event::Unpack { vertex: None, .. } | Event::Spent { .. } => {}
            Event::Finished { vertex, elapsed, unchanged } => {
                let same = if unchanged { " (result unchanged)" } else { "" };
                self.end(vertex, &format!("DONE {}{same}", seconds(elapsed)));
            }
            Event::Failed { vertex, .. } => self.end(vertex, "ERROR"),
            Event::Canceled { vertex } => self.end(vertex, "CANCELED"),
            Event::Warning { message } => terminal::note(&format!("warning: {message}")),
        }
    }

    fn finish(&mut self) {}
}
