//! One JSON object a line, for programs.

use dockerfile::{Diagnostic, Sources};
use serde_json::{Value, json};
use solver::{Event, Stream};

use super::{Reader, Step};
use crate::{terminal, timings};

/// Prints every event as it comes.
pub(super) struct Json {
    steps: Vec<Step>,
}

impl Json {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self { steps }
    }

    fn name(&self, vertex: plan::VertexId) -> &str {
        self.steps.get(vertex.0 as usize).map_or("", |step| &step.name)
    }

    fn object(&self, event: Event) -> Value {
        match event {
            Event::Started { vertex } => json!({"event": "started", "vertex": vertex.0, "name": self.name(vertex)}),
            Event::Cached { vertex } => json!({"event": "cached", "vertex": vertex.0, "name": self.name(vertex)}),
            Event::Output { vertex, stream, bytes } => json!({
                "event": "output", "vertex": vertex.0, "stream": stream_name(stream), "text": String::from_utf8_lossy(&bytes),
            }),
            Event::Pull { vertex, digest, done, total } => json!({
                "event": "pull", "vertex": vertex.map(|v| v.0), "digest": digest.to_string(), "done": done, "total": total,
            }),
            Event::Unpack { vertex, digest } => json!({
                "event": "unpack", "vertex": vertex.map(|v| v.0), "digest": digest.to_string(),
            }),
            Event::Finished { vertex, elapsed, unchanged } => json!({
                "event": "finished", "vertex": vertex.0, "seconds": elapsed.as_secs_f64(), "unchanged": unchanged,
            }),
            Event::Failed { vertex, elapsed, message } => json!({
                "event": "failed", "vertex": vertex.0, "seconds": elapsed.as_secs_f64(), "message": message,
            }),
            Event::Spent { vertex, phase, elapsed, .. } => json!({
                "event": "span", "vertex": vertex.0, "phase": timings::word(phase), "seconds": elapsed.as_secs_f64(),
            }),
            Event::Canceled { vertex } => json!({"event": "canceled", "vertex": vertex.0}),
            Event::Warning { message } => json!({"event": "warning", "message": message}),
        }
    }
}

/// A finding of the Dockerfile.
pub(super) fn warning(found: &Diagnostic, sources: &Sources) -> Value {
    let (file, line) = sources.line_column(found.span).map(|(file, line, _)| (file, line)).unzip();
    json!({"event": "warning", "rule": found.rule, "message": found.message, "file": file, "line": line})
}

fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}

impl Reader for Json {
    fn event(&mut self, event: Event) {
        let object = self.object(event);
        terminal::note(&object.to_string());
    }

    fn finish(&mut self) {}
}
