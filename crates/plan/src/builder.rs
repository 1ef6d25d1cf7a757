//! The vertices of a plan while it grows.

use std::collections::HashMap;

use dockerfile::Span;

use crate::base::BaseKey;
use crate::digest::OpDigest;
use crate::op::Op;
use crate::{Input, Vertex, VertexId};

/// What makes two vertices one: several platforms share what is the same for them.
type Identity = (OpDigest, Option<VertexId>, Vec<Input>, Span);

#[derive(Debug, Default)]
pub(crate) struct Builder {
    pub(crate) vertices: Vec<Vertex>,
    bases: HashMap<BaseKey, VertexId>,
    known: HashMap<Identity, VertexId>,
}

/// What a vertex is called and where it comes from.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) span: Span,
    pub(crate) stage: String,
    pub(crate) name: String,
    pub(crate) ignore_cache: bool,
}

impl Builder {
    /// Returns the vertex of an image, if it is there already.
    pub(crate) fn base(&self, key: &BaseKey) -> Option<VertexId> {
        self.bases.get(key).copied()
    }

    pub(crate) fn add_base(&mut self, key: BaseKey, op: Op, origin: Origin) -> VertexId {
        let digest = OpDigest::of(&op);
        let id = self.push(op, digest, None, Vec::new(), Origin { ignore_cache: false, ..origin });
        self.bases.insert(key, id);
        id
    }

    /// Adds a vertex unless the same instruction has already made the same one.
    pub(crate) fn add(&mut self, op: Op, parent: Option<VertexId>, inputs: Vec<Input>, origin: Origin) -> VertexId {
        let digest = OpDigest::of(&op);
        let identity = (digest, parent, inputs.clone(), origin.span);
        if let Some(known) = self.known.get(&identity) {
            return *known;
        }
        let id = self.push(op, digest, parent, inputs, origin);
        self.known.insert(identity, id);
        id
    }

    fn push(
        &mut self,
        op: Op,
        digest: OpDigest,
        parent: Option<VertexId>,
        inputs: Vec<Input>,
        origin: Origin,
    ) -> VertexId {
        let id = VertexId(u32::try_from(self.vertices.len()).unwrap_or(u32::MAX));
        let Origin { span, stage, name, ignore_cache } = origin;
        self.vertices.push(Vertex { op, parent, inputs, digest, span, stage, name, ignore_cache });
        id
    }
}
