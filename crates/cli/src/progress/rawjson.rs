//! What `docker buildx build --progress=rawjson` prints: one object of BuildKit's `client.SolveStatus` a line.

use std::collections::HashMap;

use dockerfile::lint::rule;
use dockerfile::{Diagnostic, Severity, Sources};
use image::Digest;
use jiff::Timestamp;
use plan::{Plan, VertexId};
use serde::Serialize;
use serde_json::{Value, json};
use solver::{Event, Stream};

use super::Reader;
use crate::command::Results;
use crate::error::Failure;
use crate::lint::report::{base64, range};
use crate::terminal;
use crate::timings::Timings;

/// The vertex that warnings are of.
const DEFINITION: &str = "[internal] load build definition from Dockerfile";

/// One line. What is empty is left out, as Go's `omitempty` does.
#[derive(Debug, Default, Serialize)]
struct Status {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vertexes: Vec<Vertex>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<Progress>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs: Vec<Log>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Value>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Vertex {
    digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<Timestamp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cached: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

/// A part of a vertex: a layer that travels or is unpacked.
#[derive(Clone, Debug, Serialize)]
struct Progress {
    id: String,
    vertex: String,
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    current: u64,
    timestamp: Timestamp,
    started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Log {
    vertex: String,
    /// 1 is stdout, 2 stderr.
    stream: u8,
    data: String,
    timestamp: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Status {
    fn print(&self) {
        if let Ok(line) = serde_json::to_string(self) {
            terminal::note(&line);
        }
    }
}

/// Prints events as they come.
pub(super) struct RawJson {
    vertexes: Vec<Vertex>,
    /// What is under way, by vertex and id.
    parts: HashMap<(VertexId, String), Progress>,
}

impl RawJson {
    /// Announces all vertices of a plan.
    pub(super) fn new(plan: &Plan) -> Self {
        let vertexes = vertexes(plan);
        Status { vertexes: vertexes.clone(), ..Status::default() }.print();
        Self { vertexes, parts: HashMap::new() }
    }

    fn change(&mut self, id: VertexId, change: impl FnOnce(&mut Vertex)) {
        if let Some(vertex) = self.vertexes.get_mut(id.index()) {
            change(vertex);
            Status { vertexes: vec![vertex.clone()], ..Status::default() }.print();
        }
    }

    fn end(&mut self, id: VertexId, change: impl FnOnce(&mut Vertex)) {
        self.complete_parts(id);
        let now = Timestamp::now();
        self.change(id, |vertex| {
            vertex.started.get_or_insert(now);
            vertex.completed = Some(now);
            change(vertex);
        });
    }

    fn part(&mut self, vertex: VertexId, id: String, done: u64, total: u64) {
        let Some(digest) = self.vertexes.get(vertex.index()).map(|vertex| vertex.digest.clone()) else { return };
        let timestamp = Timestamp::now();
        let part = self.parts.entry((vertex, id.clone())).or_insert_with(|| Progress {
            id,
            vertex: digest,
            total,
            current: 0,
            timestamp,
            started: timestamp,
            completed: None,
        });
        part.current = done;
        part.timestamp = timestamp;
        part.completed = (total > 0 && done == total).then_some(timestamp);
        Status { statuses: vec![part.clone()], ..Status::default() }.print();
    }

    /// What was not said to be over is so when its vertex is.
    fn complete_parts(&mut self, id: VertexId) {
        let now = Timestamp::now();
        let mut statuses: Vec<Progress> =
            self.parts.extract_if(|(vertex, _), _| *vertex == id).map(|(_, part)| part).collect();
        statuses.retain(|part| part.completed.is_none());
        statuses.sort_by(|a, b| a.id.cmp(&b.id));
        statuses.iter_mut().for_each(|part| (part.timestamp, part.completed) = (now, Some(now)));
        if !statuses.is_empty() {
            Status { statuses, ..Status::default() }.print();
        }
    }

    fn log(&self, id: VertexId, stream: Stream, bytes: &[u8]) {
        let Some(vertex) = self.vertexes.get(id.index()) else { return };
        let stream = match stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        let log = Log { vertex: vertex.digest.clone(), stream, data: base64(bytes), timestamp: Timestamp::now() };
        Status { logs: vec![log], ..Status::default() }.print();
    }
}

impl Reader for RawJson {
    fn event(&mut self, event: Event) {
        match event {
            Event::Started { vertex } => self.change(vertex, |vertex| {
                vertex.started.get_or_insert_with(Timestamp::now);
            }),
            Event::Cached { vertex } => self.end(vertex, |vertex| vertex.cached = true),
            Event::Output { vertex, stream, bytes } => self.log(vertex, stream, &bytes),
            Event::Pull { vertex: Some(vertex), digest, done, total } => {
                self.part(vertex, digest.to_string(), done, total);
            }
            Event::Unpack { vertex: Some(vertex), digest } => self.part(vertex, format!("extracting {digest}"), 0, 0),
            Event::Pull { vertex: None, .. } | Event::Unpack { vertex: None, .. } | Event::Spent { .. } => {}
            Event::Finished { vertex, .. } => self.end(vertex, |_| {}),
            Event::Failed { vertex, message, .. } => self.end(vertex, |vertex| vertex.error = message),
            // The words by which readers of BuildKit know it.
            Event::Canceled { vertex } => self.end(vertex, |vertex| "context canceled".clone_into(&mut vertex.error)),
            Event::Warning { message } => {
                let vertex = internal(DEFINITION.to_owned(), Timestamp::now()).digest;
                let warning = json!({ "vertex": vertex, "level": 1, "short": base64(message.as_bytes()) });
                Status { warnings: vec![warning], ..Status::default() }.print();
            }
        }
    }

    fn finish(&mut self) {}
}

/// Names each vertex by a digest over its op, its inputs and its position: the same plan has the same digests.
fn vertexes(plan: &Plan) -> Vec<Vertex> {
    let mut vertexes: Vec<Vertex> = Vec::with_capacity(plan.vertices.len());
    for (position, vertex) in plan.vertices.iter().enumerate() {
        let read = vertex.parent.into_iter().chain(vertex.inputs.iter().filter_map(plan::Input::vertex));
        let mut inputs: Vec<String> = Vec::new();
        for input in read.filter_map(|id| vertexes.get(id.index())) {
            if !inputs.contains(&input.digest) {
                inputs.push(input.digest.clone());
            }
        }
        let identity = format!("{position} {} {}", vertex.digest, inputs.join(" "));
        let digest = Digest::of(identity.as_bytes()).to_string();
        vertexes.push(Vertex { digest, inputs, name: vertex.name.clone(), ..Vertex::default() });
    }
    vertexes
}

/// A vertex that is no part of the plan.
fn internal(name: String, started: Timestamp) -> Vertex {
    Vertex { digest: Digest::of(name.as_bytes()).to_string(), name, started: Some(started), ..Vertex::default() }
}

/// Prints what came before the plan: the Dockerfile was read, base images were resolved, and warnings were found.
pub(super) fn preamble(plan: &Plan, timings: &Timings, findings: &[Diagnostic], sources: &Sources) {
    let over = |name: String, phase: &str| {
        let (started, completed) = timings.times(phase)?;
        Some(Vertex { completed: Some(completed), ..internal(name, started) })
    };
    let Some(definition) = over(DEFINITION.to_owned(), "parse") else { return };
    let warnings = findings.iter().filter(|found| found.severity == Severity::Warning);
    let warnings = warnings.filter_map(|found| warning(found, &definition.digest, sources)).collect();
    let bases = plan.vertices.iter().filter_map(|vertex| match &vertex.op {
        plan::Op::Base(base) => over(format!("[internal] load metadata for {}", base.reference), "resolve"),
        _ => None,
    });
    let vertexes = std::iter::once(definition).chain(bases).collect();
    Status { vertexes, warnings, ..Status::default() }.print();
}

fn warning(found: &Diagnostic, vertex: &str, sources: &Sources) -> Option<Value> {
    let source = sources.get(found.span.source)?;
    let rule = found.rule.and_then(rule)?;
    let range = range(found, sources);
    let short = format!("{}: {} (line {})", rule.name, found.message, range["start"]["line"]);
    Some(json!({
        "vertex": vertex,
        "level": 1,
        "short": base64(short.as_bytes()),
        "detail": [base64(rule.description.as_bytes())],
        "url": rule.url(),
        "sourceInfo": { "filename": source.name, "data": base64(source.text.as_bytes()), "language": "Dockerfile" },
        "range": [range],
    }))
}

/// Prints that the image is put together and written while `work` does so.
pub(super) fn exporting(work: impl FnOnce() -> Result<Results, Failure>) -> Result<Results, Failure> {
    let mut vertex = internal("exporting to image".to_owned(), Timestamp::now());
    Status { vertexes: vec![vertex.clone()], ..Status::default() }.print();
    let started = Timestamp::now();
    let done = work();
    let now = Timestamp::now();
    let mut status = Status::default();
    match &done {
        Ok(results) => {
            let part = |id| Progress {
                id,
                vertex: vertex.digest.clone(),
                total: 0,
                current: 0,
                timestamp: now,
                started,
                completed: Some(now),
            };
            let image = results.image.iter().map(|image| format!("writing image {}", image.id()));
            status.statuses = image.chain(results.written.clone()).map(part).collect();
        }
        Err(failure) => vertex.error = failure.to_string(),
    }
    vertex.completed = Some(now);
    status.vertexes.push(vertex);
    status.print();
    done
}
