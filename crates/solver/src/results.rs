//! What the vertices of a plan have given so far.

use std::sync::OnceLock;
use std::time::Duration;

use image::ContentId;
use plan::{Op, Plan, ResolvedBase, Vertex, VertexId};
use store::{LayerId, Record};

use crate::error::{Result, SolveErrorKind};
use crate::key::{self, Key};
use crate::solution::{Outcome, Snapshot, SnapshotLayer, Solution, VertexReport};

/// The layer that an op put on its parent, and where it is from.
#[derive(Clone, Debug)]
pub struct Made {
    /// A random name: which layer it is. What is in it is told by `content`.
    pub layer: LayerId,
    pub content: ContentId,
    /// Seconds since 1970.
    pub created: i64,
    pub outcome: Outcome,
}

impl Made {
    pub(crate) fn from_record(record: &Record) -> Self {
        Self { layer: record.layer.clone(), content: record.content, created: record.created, outcome: Outcome::Hit }
    }
}

#[derive(Debug)]
struct Done {
    key: Option<Key>,
    made: Option<Made>,
    elapsed: Duration,
    /// Of the layer; of the image for a base.
    content: ContentId,
    snapshot: ContentId,
}

impl Done {
    fn report(&self) -> VertexReport {
        let outcome = self.made.as_ref().map_or(Outcome::Base, |made| made.outcome);
        VertexReport { key: self.key, outcome, elapsed: self.elapsed, content: self.content }
    }
}

/// A plan with the results of its vertices.
#[derive(Debug)]
pub(crate) struct Results<'a> {
    pub(crate) plan: &'a Plan,
    done: Vec<OnceLock<Done>>,
}

impl<'a> Results<'a> {
    /// Starts with what is known of itself: the base images. Fails if a vertex reads one that comes after it.
    pub(crate) fn new(plan: &'a Plan) -> Result<Self> {
        let mut done = Vec::with_capacity(plan.vertices.len());
        for (at, vertex) in plan.vertices.iter().enumerate() {
            let mut inputs = vertex.parent.into_iter().chain(vertex.inputs.iter().filter_map(|input| match input {
                plan::Input::Vertex(id) => Some(*id),
                _ => None,
            }));
            if inputs.any(|id| id.0 as usize >= at) {
                return Err(SolveErrorKind::Plan("a vertex reads one that comes after it"));
            }
            let cell = OnceLock::new();
            if let Op::Base(base) = &vertex.op {
                let content = key::base_snapshot(base.config.diff_ids());
                let done = Done { key: None, made: None, elapsed: Duration::ZERO, content, snapshot: content };
                let _ = cell.set(done);
            }
            done.push(cell);
        }
        Ok(Self { plan, done })
    }

    pub(crate) fn vertex(&self, id: VertexId) -> &'a Vertex {
        &self.plan.vertices[id.0 as usize]
    }

    pub(crate) fn finish(&self, id: VertexId, key: Key, made: Made, elapsed: Duration) {
        let parent = self.content(self.vertex(id).parent);
        let snapshot = key::snapshot(&parent, &made.content);
        let done = Done { key: Some(key), content: made.content, made: Some(made), elapsed, snapshot };
        let _ = self.done[id.0 as usize].set(done);
    }

    pub(crate) fn is_done(&self, id: VertexId) -> bool {
        self.done[id.0 as usize].get().is_some()
    }

    /// Returns the content of the snapshot after a vertex that is done.
    pub(crate) fn content(&self, id: Option<VertexId>) -> ContentId {
        let done = id.and_then(|id| self.done[id.0 as usize].get());
        done.map_or_else(key::empty_snapshot, |done| done.snapshot)
    }

    /// Returns the base image and the layers above it after a vertex that is done.
    pub(crate) fn snapshot(&self, id: Option<VertexId>) -> Snapshot {
        let (mut base, mut layers) = (None, Vec::new());
        let mut at = id;
        while let Some(id) = at {
            if matches!(self.vertex(id).op, Op::Base(_)) {
                base = Some(id);
                break;
            }
            if let Some(made) = self.done[id.0 as usize].get().and_then(|done| done.made.as_ref()) {
                layers.push(SnapshotLayer { vertex: id, layer: made.layer.clone(), created: made.created });
            }
            at = self.vertex(id).parent;
        }
        layers.reverse();
        Snapshot { base, layers, content: self.content(id) }
    }

    pub(crate) fn base(&self, id: VertexId) -> Option<&'a ResolvedBase> {
        match &self.vertex(id).op {
            Op::Base(base) => Some(base),
            _ => None,
        }
    }

    /// Returns what became of a vertex that is done.
    pub(crate) fn report(&self, id: VertexId) -> Option<VertexReport> {
        self.done[id.0 as usize].get().map(Done::report)
    }

    /// Returns the solution once all vertices are done.
    pub(crate) fn solution(&self) -> Result<Solution> {
        let targets = self.plan.targets.iter().map(|target| self.snapshot(target.root)).collect();
        let report =
            |done: &OnceLock<Done>| done.get().map(Done::report).ok_or(SolveErrorKind::Plan("a vertex has no result"));
        let vertices = self.done.iter().map(report);
        Ok(Solution { targets, vertices: vertices.collect::<Result<_>>()? })
    }
}
