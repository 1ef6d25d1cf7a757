//! What a build gives.

use std::time::Duration;

use image::ContentId;
use plan::VertexId;
use store::LayerId;

use crate::key::Key;

/// The results of a plan.
#[derive(Clone, Debug)]
pub struct Solution {
    /// One for each target of the plan, in order.
    pub targets: Vec<Snapshot>,
    /// One for each vertex of the plan, in order.
    pub vertices: Vec<VertexReport>,
}

/// A file system: a base image, and layers on it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The vertex of the base image; `None` when the stack starts from nothing.
    pub base: Option<VertexId>,
    /// Above the base, lowest first.
    pub layers: Vec<SnapshotLayer>,
    pub content: ContentId,
}

/// One layer of a [`Snapshot`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SnapshotLayer {
    /// The vertex that made it.
    pub vertex: VertexId,
    pub layer: LayerId,
    /// When it was first made, seconds since 1970.
    pub created: i64,
}

/// What became of one vertex.
#[derive(Clone, Debug)]
pub struct VertexReport {
    /// `None` for a base image.
    pub key: Option<Key>,
    pub outcome: Outcome,
    /// How long its op took; nothing when it did not run.
    pub elapsed: Duration,
    /// Of its layer; of the whole image for a base.
    pub content: ContentId,
}

impl VertexReport {
    /// True if nothing had to run.
    pub fn hit(&self) -> bool {
        matches!(self.outcome, Outcome::Base | Outcome::Hit)
    }
}

/// How far a build came that failed.
#[derive(Clone, Debug, Default)]
pub struct Unfinished {
    /// One for each vertex of the plan, in order; empty if nothing had begun.
    pub vertices: Vec<Reached>,
}

/// How far a vertex came in a build that failed.
#[derive(Clone, Debug)]
pub enum Reached {
    /// Nothing of it had begun.
    Nothing,
    /// Its op had begun, and failed or was stopped after that time.
    Begun(Duration),
    Done(VertexReport),
}

/// Why a vertex has the layer it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// A base image: known by its configuration.
    Base,
    /// Its key was known.
    Hit,
    /// Its op ran and gave something new.
    Ran,
    /// Its op ran and gave what it gave before: the earlier layer was kept, and what is above it can hit.
    Unchanged,
}
