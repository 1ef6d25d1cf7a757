//! Showing what a build does: three readers of one stream of events.

mod json;
mod plain;
mod rawjson;
mod transfer;
mod tty;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::Duration;

use dockerfile::{Diagnostic, Severity, Sources};
use plan::Plan;
use serde_json::json;
use solver::{Event, Outcome, Solution};

pub(crate) use transfer::Transfer;

use crate::command::{Image, Results};
use crate::error::Failure;
use crate::terminal;
use crate::timings::Timings;

/// How progress is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Tty,
    Plain,
    Json,
    RawJson,
    Quiet,
}

impl Mode {
    /// Reads `--progress`; `auto` is `tty` on a terminal and `plain` elsewhere.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "auto" | "" if terminal::is_terminal() => Ok(Self::Tty),
            "auto" | "" | "plain" => Ok(Self::Plain),
            "tty" if terminal::is_terminal() => Ok(Self::Tty),
            "tty" => {
                Err(Failure::new("--progress=tty needs a terminal on stderr").help("use --progress=plain").code(2))
            }
            "json" => Ok(Self::Json),
            "quiet" | "none" => Ok(Self::Quiet),
            "rawjson" => Ok(Self::RawJson),
            _ => Err(Failure::new(format!("invalid progress mode `{text}`"))
                .help("expected auto, tty, plain, json, rawjson or quiet")
                .code(2)),
        }
    }
}

/// A reader of events, one at a time, until the build is over.
trait Reader: Send {
    fn event(&mut self, event: Event);
    fn finish(&mut self);
}

/// The thread that shows.
#[derive(Debug)]
pub(crate) struct Progress {
    thread: JoinHandle<()>,
}

impl Progress {
    /// Starts showing the events of a build; what they tell of its time is kept.
    pub(crate) fn start(mode: Mode, plan: &Plan, events: Receiver<Event>, timings: &Arc<Timings>) -> Self {
        let mut reader: Box<dyn Reader> = match mode {
            Mode::Tty => Box::new(tty::Tty::new(steps(plan))),
            _ => reader(mode, plan),
        };
        let timings = Arc::clone(timings);
        let thread = std::thread::spawn(move || {
            for event in events {
                if let Event::Spent { vertex, phase, since, elapsed } = event {
                    timings.spent(vertex, phase, since, elapsed);
                }
                reader.event(event);
            }
            reader.finish();
        });
        Self { thread }
    }

    /// Waits until everything has been shown; all senders must be gone.
    pub(crate) fn finish(self) {
        // A reader that panicked has shown what it could.
        let _ = self.thread.join();
    }
}

/// Returns the reader of a mode that needs no screen.
fn reader(mode: Mode, plan: &Plan) -> Box<dyn Reader> {
    match mode {
        Mode::Json => Box::new(json::Json::new(steps(plan))),
        Mode::RawJson => Box::new(rawjson::RawJson::new(plan)),
        Mode::Quiet => Box::new(Quiet),
        Mode::Tty | Mode::Plain => Box::new(plain::Plain::new(steps(plan))),
    }
}

/// Shows warnings once all passes are through, and to programs what came before the plan.
pub(crate) fn begun(mode: Mode, plan: &Plan, timings: &Timings, findings: &[Diagnostic], sources: &Sources) {
    match mode {
        Mode::RawJson => rawjson::preamble(plan, timings, findings, sources),
        _ => warnings(mode, findings, sources),
    }
}

/// Shows warnings.
pub(crate) fn warnings(mode: Mode, findings: &[Diagnostic], sources: &Sources) {
    if matches!(mode, Mode::Quiet | Mode::RawJson) {
        return;
    }
    for warning in findings.iter().filter(|d| d.severity == Severity::Warning) {
        terminal::note(&match mode {
            Mode::Json => json::warning(warning, sources).to_string(),
            _ => warning.render(sources, terminal::color()),
        });
    }
}

/// Tells programs that the build failed; what people are told is left to the caller.
pub(crate) fn failed(mode: Mode, failure: Failure) -> Result<ExitCode, Failure> {
    if mode != Mode::Json {
        return Err(failure);
    }
    terminal::note(&json!({"event": "error", "message": failure.message(), "text": failure.to_string()}).to_string());
    Ok(ExitCode::from(failure.code))
}

/// Shows that outputs are written while `work` does so.
pub(crate) fn exporting(mode: Mode, work: impl FnOnce() -> Result<Results, Failure>) -> Result<Results, Failure> {
    if mode == Mode::RawJson { rawjson::exporting(work) } else { work() }
}

struct Quiet;

impl Reader for Quiet {
    fn event(&mut self, _: Event) {}
    fn finish(&mut self) {}
}

/// What is shown of a vertex.
#[derive(Clone, Debug)]
struct Step {
    name: String,
}

fn steps(plan: &Plan) -> Vec<Step> {
    plan.vertices.iter().map(|v| Step { name: v.name.clone() }).collect()
}

/// Shows a build in which nothing had to run.
pub(crate) fn cached(mode: Mode, plan: &Plan, solution: &Solution) {
    let (sender, receiver) = std::sync::mpsc::channel();
    if matches!(mode, Mode::Quiet) {
        return;
    }
    for (index, _) in solution.vertices.iter().enumerate() {
        let id = plan::VertexId(u32::try_from(index).unwrap_or(u32::MAX));
        // The receiver is right here.
        let _ = sender.send(Event::Cached { vertex: id });
    }
    drop(sender);
    // Nothing moves: the plain form serves a terminal too.
    let mut reader = reader(mode, plan);
    for event in receiver {
        reader.event(event);
    }
    reader.finish();
}

/// The last line: what came out, and how long it took.
pub(crate) fn summary(mode: Mode, solution: &Solution, results: &Results, elapsed: Duration) {
    match mode {
        Mode::Quiet => return results.image.iter().for_each(|image| terminal::result(&image.id())),
        // Its last vertex has told.
        Mode::RawJson => return,
        Mode::Tty | Mode::Plain | Mode::Json => {}
    }
    let count = |wanted: fn(&Outcome) -> bool| solution.vertices.iter().filter(|v| wanted(&v.outcome)).count();
    let hit = count(|o| *o == Outcome::Hit);
    let run = count(|o| matches!(o, Outcome::Ran | Outcome::Unchanged));
    if mode == Mode::Json {
        let image = results.image.as_ref().map(Image::id);
        let done = json!({
            "event": "done", "seconds": elapsed.as_secs_f64(), "run": run, "cached": hit, "image": image,
            "written": results.written,
        });
        return terminal::note(&done.to_string());
    }
    if let Some(image) = &results.image {
        let what = if image.config.is_some() { "image" } else { "index" };
        terminal::note(&format!("{what} {}", image.id()));
    }
    for line in &results.written {
        terminal::note(line);
    }
    terminal::note(&format!("done in {}: {run} run, {hit} cached", seconds(elapsed)));
}

/// A duration with the digits that matter.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.1 => format!("{:.1}ms", s * 1000.0),
        s if s < 100.0 => format!("{s:.1}s"),
        _ => format!("{}m{:02}s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

/// Splits output into lines, keeping what is unfinished for later.
#[derive(Debug, Default)]
struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// A line longer than this is shown in pieces.
    const LIMIT: usize = 16 << 10;

    fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' || self.pending.len() >= Self::LIMIT {
                self.flush(&mut line);
            }
            if byte != b'\n' {
                self.pending.push(byte);
            } else if self.pending.is_empty() {
                continue;
            }
        }
    }

    fn flush(&mut self, mut line: impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.pending);
        // A carriage return redraws the line: what follows the last one is what would be seen.
        let text = text.trim_end_matches('\r');
        line(&visible(text.rsplit('\r').next().unwrap_or(text)));
        self.pending.clear();
    }

    fn finish(&mut self, line: impl FnMut(&str)) {
        if !self.pending.is_empty() {
            self.flush(line);
        }
    }
}

/// Drops control characters but tabs and colors: a step must not move the cursor or rename the window.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.peek() == Some(&'[') {
            let mut sequence = String::from("\u{1b}[");
            chars.next();
            for c in chars.by_ref() {
                sequence.push(c);
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
            if sequence.ends_with('m') {
                out.push_str(&sequence);
            }
        } else if c == '\t' || !c.is_control() {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut out = Vec::new();
        let mut lines = Lines::default();
        for chunk in chunks {
            lines.push(chunk, |l| out.push(l.to_owned()));
        }
        lines.finish(|l| out.push(l.to_owned()));
        out
    }

    #[test]
    fn lines_are_put_together_across_chunks() {
        assert_eq!(lines(&[b"a", b"b\nc\n", b"\nd"]), ["ab", "c", "", "d"]);
    }

    #[test]
    fn carriage_returns_keep_the_last_text() {
        assert_eq!(lines(&[b"10%\r50%\r100%\r\ndone\n"]), ["100%", "done"]);
    }

    #[test]
    fn control_sequences_are_dropped_but_colors() {
        assert_eq!(lines(&[b"\x1b[31mred\x1b[0m\x1b[2J\x07\tx\n"]), ["\u{1b}[31mred\u{1b}[0m\tx"]);
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let long = vec![b'x'; Lines::LIMIT * 2 + 1];
        assert_eq!(lines(&[&long]).iter().map(String::len).collect::<Vec<_>>(), [Lines::LIMIT, Lines::LIMIT, 1]);
    }

    #[test]
    fn durations_show_what_matters() {
        assert_eq!(seconds(Duration::from_micros(7_340)), "7.3ms");
        assert_eq!(seconds(Duration::from_millis(1_260)), "1.3s");
        assert_eq!(seconds(Duration::from_secs(125)), "2m05s");
    }
}
