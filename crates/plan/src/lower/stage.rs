//! Stages in order: what each starts from, and what it leaves for others.

use dockerfile::ast::{Instruction, Kind, Stage};
use dockerfile::{Dockerfile, Span};

use super::scope::{Scope, Steps};
use super::{instruction, put_labels};
use crate::base::{BaseKey, Bases};
use crate::builder::{Builder, Origin};
use crate::env::Env;
use crate::findings::Findings;
use crate::graph::{Graph, Node};
use crate::names::Source;
use crate::op::{Copy, CopySource, Op};
use crate::options::Options;
use crate::state::{Lowered, State};
use crate::{ContextName, HistoryLine, Input, Target, VertexId, lint};

/// The stages of one target platform.
#[derive(Debug)]
pub(super) struct Stages<'a> {
    pub(super) dockerfile: &'a Dockerfile,
    bases: &'a Bases,
    pub(super) options: &'a Options,
    pub(super) graph: Graph<'a>,
    pub(super) builder: &'a mut Builder,
    pub(super) findings: &'a mut Findings,
    lowered: Vec<Option<Lowered>>,
    /// How many are still to be made from each stage.
    heirs: Vec<usize>,
}

impl<'a> Stages<'a> {
    pub(super) fn new(
        dockerfile: &'a Dockerfile,
        bases: &'a Bases,
        options: &'a Options,
        graph: Graph<'a>,
        builder: &'a mut Builder,
        findings: &'a mut Findings,
    ) -> Self {
        let mut heirs = vec![0; graph.nodes.len()];
        for node in graph.nodes.iter().flatten() {
            if let Source::Stage(index) = node.base {
                heirs[index] += 1;
            }
        }
        heirs[graph.target] += 1;
        let lowered = graph.nodes.iter().map(|_| None).collect();
        Self { dockerfile, bases, options, graph, builder, findings, lowered, heirs }
    }

    /// Lowers all, the target's last; `None` if a mistake was found, which has been reported.
    pub(super) fn lower(mut self) -> Option<Target> {
        for index in std::mem::take(&mut self.graph.order) {
            let node = self.graph.nodes[index].take()?;
            let lowered = self.stage(index, &node)?;
            self.lowered[index] = Some(lowered);
        }
        self.target()
    }

    fn target(mut self) -> Option<Target> {
        let index = self.graph.target;
        let state = self.inherit(index, Span::default())?;
        let State { root, mut config, exported, ports, platform, .. } = state;
        ports.put(&mut config.config);
        config.config.env = exported.items().to_vec();
        let mut target = Target { platform, root, config, history: self.history(index) };
        put_labels(&mut target, self.options);
        Some(target)
    }

    /// Collects the history from the first stage to the one at `index`.
    fn history(&mut self, index: usize) -> Vec<HistoryLine> {
        let mut parts = Vec::new();
        let mut next = Some(index);
        while let Some(lowered) = next.and_then(|index| self.lowered[index].take()) {
            parts.push(lowered.history);
            next = lowered.parent;
        }
        parts.into_iter().rev().flatten().collect()
    }

    fn stage(&mut self, index: usize, node: &Node) -> Option<Lowered> {
        let dockerfile = self.dockerfile;
        let stage = &dockerfile.stages[index];
        let instructions: Vec<&Instruction> =
            if node.replaced { Vec::new() } else { node.triggers.iter().chain(&stage.instructions).collect() };
        let platform = (self.options.platforms.len() > 1).then(|| node.platform.clone());
        let mut steps = Steps::new(platform, self.prefix(stage, index), count(&instructions, &node.base));
        let mut history = Vec::new();
        let state = self.start(index, node, &mut steps, &mut history)?;
        let parent = if let Source::Stage(parent) = node.base { Some(parent) } else { None };
        let mut scope = Scope::new(self, state, index, steps, history);
        let mut whole = true;
        for one in instructions {
            whole &= instruction(&mut scope, one).is_some();
            if scope.stages.findings.is_exhausted() {
                return None;
            }
        }
        let (state, history) = scope.finish();
        let root = state.root;
        let state = (self.heirs[index] > 0).then_some(state);
        whole.then_some(Lowered { root, parent, history, state })
    }

    /// Returns what a step's name begins with: nothing for a file with one stage.
    fn prefix(&self, stage: &Stage, index: usize) -> String {
        if self.dockerfile.stages.len() == 1 {
            return String::new();
        }
        stage.from.name.as_ref().map_or_else(|| format!("stage-{index} "), |name| format!("{} ", name.value))
    }

    fn start(&mut self, index: usize, node: &Node, steps: &mut Steps, history: &mut Vec<HistoryLine>) -> Option<State> {
        match &node.base {
            Source::Scratch => Some(State::scratch(&node.platform)),
            Source::Stage(parent) => {
                Some(self.inherit(*parent, self.dockerfile.stages[index].from.image.span)?.stage())
            }
            Source::Directory(name) => Some(self.directory(index, node, name, steps, history)),
            Source::Image(key) => self.image(index, node, key, steps),
        }
    }

    /// Takes the state of a finished stage, a copy if others want it too.
    fn inherit(&mut self, index: usize, span: Span) -> Option<State> {
        self.heirs[index] = self.heirs[index].saturating_sub(1);
        let state = &mut self.lowered[index].as_mut()?.state;
        if self.heirs[index] == 0 {
            return state.take();
        }
        let state = state.as_ref()?;
        self.findings.charge(state.size(), span)?;
        Some(state.clone())
    }

    /// Starts from the files of a named context.
    fn directory(
        &mut self,
        index: usize,
        node: &Node,
        name: &str,
        steps: &mut Steps,
        history: &mut Vec<HistoryLine>,
    ) -> State {
        let span = self.dockerfile.stages[index].from.image.span;
        let source = CopySource::Path { input: 0, pattern: "/".to_owned(), span, as_is: false, clamped: false };
        let op = Op::Copy(Copy { sources: vec![source], destination: "/".to_owned(), ..Copy::default() });
        let origin = self.origin(index, span, steps.next(&Env::default(), "FROM", name));
        let inputs = vec![Input::Context(ContextName::Named(name.to_owned()))];
        let root = self.builder.add(op, None, inputs, origin);
        history.push(HistoryLine { created_by: format!("FROM {name} # buildkit"), layer: Some(root) });
        let mut state = State::scratch(&node.platform);
        state.root = Some(root);
        state
    }

    fn image(&mut self, index: usize, node: &Node, key: &BaseKey, steps: &mut Steps) -> Option<State> {
        let from = &self.dockerfile.stages[index].from;
        let name = steps.next(&Env::default(), "FROM", &key.reference.to_string());
        let origin = self.origin(index, from.image.span, name);
        let root = self.base_vertex(key, origin)?;
        let base = self.bases.get(key)?;
        let actual = base.config.platform();
        let platform = if node.explicit_platform {
            let span = from.platform.as_ref().map_or(from.image.span, |word| word.span);
            lint::base_platform(&key.reference.to_string(), span, &actual, &node.platform, self.findings);
            node.platform.clone()
        } else {
            actual
        };
        Some(State::image(base, platform, root))
    }

    /// Returns the vertex of an image; `None` if the image has not been resolved, which is the caller's mistake.
    fn base_vertex(&mut self, key: &BaseKey, origin: Origin) -> Option<VertexId> {
        if let Some(known) = self.builder.base(key) {
            return Some(known);
        }
        let Some(base) = self.bases.get(key) else {
            let message = format!("image {} for {} has not been resolved", key.reference, key.platform);
            self.findings.error(origin.span, message);
            return None;
        };
        Some(self.builder.add_base(key.clone(), Op::Base(base.clone()), origin))
    }

    /// Returns what an op reads of `source` on behalf of the stage at `index`.
    pub(super) fn input(&mut self, source: &Source, index: usize, span: Span) -> Option<Input> {
        Some(match source {
            Source::Stage(stage) => self.lowered[*stage].as_ref()?.root.map_or(Input::Empty, Input::Vertex),
            Source::Directory(name) => Input::Context(ContextName::Named(name.clone())),
            Source::Scratch => Input::Empty,
            Source::Image(key) => {
                let origin = self.origin(index, span, format!("FROM {}", key.reference));
                Input::Vertex(self.base_vertex(key, origin)?)
            }
        })
    }

    pub(super) fn origin(&self, index: usize, span: Span, name: String) -> Origin {
        let stage = self.graph.names.display(index);
        let filter = &self.options.no_cache_filter;
        let filtered = filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(&stage) || *wanted == index.to_string());
        Origin { span, stage, name, ignore_cache: self.options.no_cache || filtered }
    }
}

/// Counts the steps that are shown (reference: section 3, last line).
fn count(instructions: &[&Instruction], base: &Source) -> usize {
    let own = instructions
        .iter()
        .filter(|i| matches!(i.kind, Kind::Run(_) | Kind::Copy(_) | Kind::Add(_) | Kind::Workdir(_)));
    own.count() + usize::from(matches!(base, Source::Image(_) | Source::Directory(_)))
}
