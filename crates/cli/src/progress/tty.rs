//! A terminal: finished steps scroll by, running ones stay below with their time and last lines of output.

use std::collections::VecDeque;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use solver::Event;

use super::{Lines, Reader, Step, seconds};

/// Lines of output shown below a running step.
const TAIL: usize = 4;

pub(super) struct Tty {
    screen: MultiProgress,
    steps: Vec<State>,
}

struct State {
    step: Step,
    bar: Option<ProgressBar>,
    lines: Lines,
    tail: VecDeque<String>,
}

impl Tty {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        let state = |step| State { step, bar: None, lines: Lines::default(), tail: VecDeque::new() };
        Self {
            screen: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)),
            steps: steps.into_iter().map(state).collect(),
        }
    }

    fn bar(&mut self, vertex: plan::VertexId) -> Option<(ProgressBar, &mut State)> {
        let state = self.steps.get_mut(vertex.0 as usize)?;
        let bar = state.bar.get_or_insert_with(|| {
            let bar = self.screen.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {prefix}  {elapsed}{msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(state.step.name.clone());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Some((bar.clone(), state))
    }

    /// Takes the step from the moving part of the screen and prints its last word above.
    fn end(&mut self, vertex: plan::VertexId, text: impl FnOnce(&Step) -> String) {
        let Some(state) = self.steps.get_mut(vertex.0 as usize) else { return };
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
        // A terminal that is gone shows nothing; the build goes on.
        let _ = self.screen.println(text(&state.step));
    }
}

impl Reader for Tty {
    fn event(&mut self, event: Event) {
        match event {
            Event::Started { vertex } => drop(self.bar(vertex)),
            Event::Cached { vertex } => self.end(vertex, |step| format!("= {}  cached", step.name)),
            Event::Output { vertex, bytes, .. } => {
                if let Some((bar, state)) = self.bar(vertex) {
                    let tail = &mut state.tail;
                    state.lines.push(&bytes, |line| {
                        tail.push_back(line.to_owned());
                        if tail.len() > TAIL {
                            tail.pop_front();
                        }
                    });
                    let text: String = tail.iter().map(|line| format!("\n    {line}")).collect();
                    bar.set_message(text);
                }
            }
            Event::Pull { vertex: Some(vertex), done, total, .. } => {
                if let Some((bar, _)) = self.bar(vertex) {
                    let size = crate::output::table::size;
                    bar.set_message(format!("  {} / {}", size(done), size(total)));
                }
            }
            Event::Unpack { vertex: Some(vertex), .. } => {
                if let Some((bar, _)) = self.bar(vertex) {
                    bar.set_message("  unpacking");
                }
            }
            Event::Pull { vertex: None, .. } | Event::Unpack { vertex: None, .. } | Event::Spent { .. } => {}
            Event::Finished { vertex, elapsed, unchanged } => {
                let same = if unchanged { ", result unchanged" } else { "" };
                self.end(vertex, |step| format!("✓ {}  {}{same}", step.name, seconds(elapsed)));
            }
            Event::Failed { vertex, .. } => self.end(vertex, |step| format!("✗ {}  failed", step.name)),
            Event::Canceled { vertex } => self.end(vertex, |step| format!("- {}  canceled", step.name)),
            // As in `end`.
            Event::Warning { message } => drop(self.screen.println(format!("warning: {message}"))),
        }
    }

    fn finish(&mut self) {
        // As above.
        let _ = self.screen.clear();
    }
}
