//! Dockerfile to a DAG of layer-producing ops. Pure: no I/O, no environment.
//!
//! [`bases`] is asked until it returns nothing: `bases(dockerfile, &known, options, sources, diagnostics)` names the
//! images that are missing from `known`. Then [`lower`] makes the [`Plan`].

mod base;
mod builder;
mod chmod;
mod choice;
mod digest;
mod env;
mod environment;
mod epoch;
mod findings;
mod git;
mod globals;
mod graph;
mod lint;
mod lower;
mod mount;
mod names;
mod op;
mod options;
mod order;
mod outline;
mod path;
mod ports;
mod prune;
mod remote;
mod state;
mod text;
mod trigger;

pub use base::{BaseKey, BaseRequest, Bases, ResolvedBase};
pub use chmod::InvalidChmod;
pub use digest::OpDigest;
pub use environment::Environment;
pub use epoch::{EPOCH_ARGUMENT, Epoch, epoch};
pub use git::{GitSource, InvalidGit, is_commit};
pub use op::{
    Cache, CacheDirectory, CacheSharing, Chmod, Copy, CopySource, HttpSource, Limits, Login, Mount, MountKind, Op, Run,
    RunNetwork, RunSecurity, Script, SecretEnv, SecretRef, Source, Workdir,
};
pub use options::{Entitlements, NamedContext, Options};
pub use outline::{Outline, OutlineArgument, OutlineMount, description, outline};
pub use remote::{Remote, redact};

use std::collections::BTreeMap;

use dockerfile::{Diagnostics, Dockerfile, Sources, Span};
use image::{ImageConfig, Platform};

use findings::Findings;
use graph::Graph;

/// Names a vertex of one [`Plan`]: an index, and every input of a vertex has a smaller one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct VertexId(pub u32);

impl VertexId {
    /// Returns the position in [`Plan::vertices`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What has to be done, in topological order. Only what the targets need is in it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub vertices: Vec<Vertex>,
    /// One for each platform asked for.
    pub targets: Vec<Target>,
    /// Where a `CMD` or `ENTRYPOINT` is run by a shell that somebody chose, be it the base image: `JSONArgsRecommended` has
    /// nothing to say there.
    pub chosen_shells: Vec<Span>,
}

/// One op with what it needs and where it comes from.
#[derive(Clone, Debug)]
pub struct Vertex {
    pub op: Op,
    /// The file system the op starts from; `None` for an empty one (`scratch`).
    pub parent: Option<VertexId>,
    /// What else the op reads; ops refer to these by position.
    pub inputs: Vec<Input>,
    /// Covers the op alone (see ARCHITECTURE.md, Identity).
    pub digest: OpDigest,
    pub span: Span,
    /// Name of the stage, or its number.
    pub stage: String,
    /// `[build 3/7] RUN make`.
    pub name: String,
    /// Run even if a result is known (`--no-cache`, `--no-cache-filter`); the result is recorded all the same.
    pub ignore_cache: bool,
}

/// A source of files.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Input {
    /// The file system after a vertex.
    Vertex(VertexId),
    /// Nothing (`COPY --from=scratch`-like: a stage without layers).
    Empty,
    /// A directory of the caller.
    Context(ContextName),
}

impl Input {
    /// Returns the vertex that is read, if it is one.
    pub fn vertex(&self) -> Option<VertexId> {
        if let Self::Vertex(id) = self { Some(*id) } else { None }
    }
}

/// Which build context.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ContextName {
    Main,
    Named(String),
}

/// What the caller gets: an image's root and everything of its configuration but the diff IDs and new times.
#[derive(Clone, Debug)]
pub struct Target {
    pub platform: Platform,
    /// The vertex whose file system is the image's; `None` for an image without layers.
    pub root: Option<VertexId>,
    /// Configuration with `rootfs` and `history` of the base; `created` unset.
    pub config: ImageConfig,
    /// Lines after the base's history, in order.
    pub history: Vec<HistoryLine>,
}

/// A new line of history.
#[derive(Clone, Debug)]
pub struct HistoryLine {
    pub created_by: String,
    /// The vertex whose layer the line describes; `None` for an empty layer.
    pub layer: Option<VertexId>,
}

/// Returns the base images that the targets need and `known` lacks, each once: those of `FROM`, and those that
/// `COPY --from` and mounts name. An image's triggers (`ONBUILD`) may name more, so the caller resolves what is
/// returned, adds it to `known` and asks again until nothing is missing. `diagnostics` receives errors alone.
pub fn bases(
    dockerfile: &Dockerfile,
    known: &Bases,
    options: &Options,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<BaseRequest> {
    let mut findings = Findings::default();
    let mut missing = BTreeMap::new();
    lower::check_syntax(dockerfile, options, &mut findings);
    for platform in lower::platforms(options) {
        let graph = Graph::new(dockerfile, known, options, &platform, sources, &mut findings);
        for mut request in graph.iter().flat_map(|graph| graph.missing(known, sources)) {
            let explicit = missing.get(&request.key).is_some_and(|known: &BaseRequest| known.explicit_platform);
            request.explicit_platform |= explicit;
            missing.insert(request.key.clone(), request);
        }
    }
    findings.report_errors(diagnostics);
    missing.into_values().collect()
}

/// Lowers a Dockerfile. `sources` takes the triggers (`ONBUILD`) of base images as texts of their own. `None` if
/// `diagnostics` received an error.
pub fn lower(
    dockerfile: &Dockerfile,
    bases: &Bases,
    options: &Options,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Plan> {
    let mut findings = Findings::default();
    let plan = lower::plan(dockerfile, bases, options, sources, &mut findings);
    let failed = findings.has_errors();
    findings.report(diagnostics);
    plan.filter(|_| !failed).map(prune::prune)
}
