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
    pub(crate) chosen_shells: Vec<Span>,
    bases: HashMap<BaseKey, VertexId>,
    known: HashMap<Identity, VertexId>,
    /// Commands that write to caches, by the digest they would have if they came once.
    writers: HashMap<OpDigest, Vec<VertexId>>,
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
    pub(crate) fn add(&mut self, mut op: Op, parent: Option<VertexId>, inputs: Vec<Input>, origin: Origin) -> VertexId {
        let writer = matches!(&op, Op::Run(run) if run.writes_to_cache()).then(|| OpDigest::of(&op));
        if let Op::Run(run) = &mut op {
            run.repetition = writer.map_or(0, |once| self.repetitions(&once, parent));
        }
        let digest = OpDigest::of(&op);
        let identity = (digest, parent, inputs.clone(), origin.span);
        if let Some(known) = self.known.get(&identity) {
            return *known;
        }
        let id = self.push(op, digest, parent, inputs, origin);
        self.known.insert(identity, id);
        if let Some(once) = writer {
            self.writers.entry(once).or_default().push(id);
        }
        id
    }

    /// Returns how many commands with that digest `parent` stands on, itself included.
    fn repetitions(&self, once: &OpDigest, parent: Option<VertexId>) -> u32 {
        let Some(writers) = self.writers.get(once) else { return 0 };
        let mut at = parent;
        while let Some(id) = at.filter(|id| writers.first().is_some_and(|first| first <= id)) {
            let vertex = &self.vertices[id.index()];
            match &vertex.op {
                Op::Run(run) if writers.binary_search(&id).is_ok() => return run.repetition + 1,
                _ => at = vertex.parent,
            }
        }
        0
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

#[cfg(test)]
mod tests {
    use image::Platform;

    use super::*;
    use crate::op::{Cache, CacheSharing, Limits, Mount, MountKind, Run, RunNetwork, RunSecurity};

    fn command(word: &str, cache: &str, read_only: bool) -> Op {
        let cache =
            Cache { id: cache.to_owned(), sharing: CacheSharing::Shared, base: None, subpath: None, directory: None };
        Op::Run(Run {
            argv: vec![word.to_owned()],
            env: crate::Environment::default(),
            proxy: Vec::new(),
            cwd: "/".to_owned(),
            user: String::new(),
            hostname: String::new(),
            platform: Platform::host(),
            network: RunNetwork::Default,
            security: RunSecurity::Sandbox,
            mounts: vec![Mount { target: "/c".to_owned(), read_only, kind: MountKind::Cache(cache) }],
            secret_env: Vec::new(),
            script: None,
            repetition: 0,
            limits: Limits::default(),
        })
    }

    /// Adds commands one on the other and returns what they are.
    fn chain(builder: &mut Builder, from: Option<VertexId>, ops: &[Op]) -> Vec<VertexId> {
        let mut parent = from;
        let mut add = |(at, op): (usize, &Op)| {
            let origin = Origin {
                span: Span::new(Default::default(), at, at),
                stage: String::new(),
                name: String::new(),
                ignore_cache: false,
            };
            let id = builder.add(op.clone(), parent, Vec::new(), origin);
            parent = Some(id);
            id
        };
        ops.iter().enumerate().map(&mut add).collect()
    }

    #[track_caller]
    fn check(ops: &[Op], repetitions: &[u32]) {
        let mut builder = Builder::default();
        let ids = chain(&mut builder, None, ops);
        let found = ids.iter().map(|id| match &builder.vertices[id.index()].op {
            Op::Run(run) => run.repetition,
            _ => 0,
        });
        assert_eq!(found.collect::<Vec<_>>(), repetitions);
    }

    #[test]
    fn equal_commands_that_write_to_a_cache_are_counted() {
        let (a, b, other) = (command("a", "/c", false), command("b", "/c", false), command("a", "x", false));
        check(&[a.clone(), a.clone(), b.clone(), other.clone(), a.clone(), other, b], &[0, 1, 0, 0, 2, 1, 1]);
        let read_only = command("a", "/c", true);
        check(&[read_only.clone(), a, read_only], &[0, 0, 0]);
    }

    #[test]
    fn only_what_a_command_starts_from_counts() {
        let mut builder = Builder::default();
        let (a, b) = (command("a", "/c", false), command("b", "/c", false));
        let first = chain(&mut builder, None, &[a.clone(), a.clone()]);
        let second = chain(&mut builder, None, &[b, a]);
        let digest = |id: VertexId| builder.vertices[id.index()].digest;
        assert_eq!(digest(second[1]), digest(first[0]));
        assert_ne!(digest(first[1]), digest(first[0]));
    }
}
