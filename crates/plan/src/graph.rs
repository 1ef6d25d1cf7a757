//! The stages that a target needs, and what each starts from and reads (reference: section 3).
//!
//! Known before anything is lowered: a base may depend on global arguments alone, `--from` on no variable at all. Stages
//! that the target does not reach are not looked at, so what is wrong in them stays unsaid, as with BuildKit.

use std::collections::{BTreeMap, HashMap};

use dockerfile::ast::{Instruction, Kind, Stage};
use dockerfile::word::Expanded;
use dockerfile::{Diagnostic, Dockerfile, Sources, Span, Word};
use image::Platform;
use image::platform::InvalidPlatform;

use crate::base::{BaseKey, BaseRequest, Bases};
use crate::env::Env;
use crate::findings::Findings;
use crate::globals::{self, Globals};
use crate::names::{Names, Source};
use crate::options::Options;
use crate::{lint, mount, names, order, trigger};

/// The part of the file that one target platform needs.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    pub(crate) names: Names<'a>,
    pub(crate) globals: Globals,
    /// By position of the stage; `None` for what is not needed.
    pub(crate) nodes: Vec<Option<Node>>,
    /// Positions of the needed stages, each after what it needs.
    pub(crate) order: Vec<usize>,
    pub(crate) target: usize,
    /// Every image that is needed.
    pub(crate) images: BTreeMap<BaseKey, BaseRequest>,
    pub(crate) platform: Platform,
}

/// A stage that is needed.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) base: Source,
    /// Of the base; a stage made from another has that one's.
    pub(crate) platform: Platform,
    /// The platform was asked for, by `FROM` or for the target.
    pub(crate) explicit_platform: bool,
    /// A named context stands in for the whole stage: its instructions do not count.
    pub(crate) replaced: bool,
    /// Run before the stage's own instructions.
    pub(crate) triggers: Vec<Instruction>,
    pub(crate) edges: Vec<Edge>,
}

/// A need of one stage for another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) to: usize,
    pub(crate) span: Span,
    /// Made by `COPY --from`: the other stage must stand above.
    pub(crate) copy: bool,
}

/// What stays the same while a graph is drawn.
struct Draw<'a, 'b> {
    dockerfile: &'a Dockerfile,
    options: &'a Options,
    known: &'b Bases,
    sources: &'b mut Sources,
    findings: &'b mut Findings,
    graph: Graph<'a>,
    /// The first `ARG` of each name that stands in a stage.
    local_arguments: HashMap<&'a str, Span>,
}

impl<'a> Graph<'a> {
    /// Finds out what `platform` needs; `None` if there is no such target.
    pub(crate) fn new(
        dockerfile: &'a Dockerfile,
        known: &Bases,
        options: &'a Options,
        platform: &Platform,
        sources: &mut Sources,
        findings: &mut Findings,
    ) -> Option<Self> {
        let names = Names::new(&dockerfile.stages, options);
        let target = target(dockerfile, &names, options, findings)?;
        let graph = Self {
            names,
            globals: Globals::new(dockerfile, options, platform, findings),
            nodes: dockerfile.stages.iter().map(|_| None).collect(),
            order: Vec::new(),
            target,
            images: BTreeMap::new(),
            platform: platform.clone(),
        };
        let local_arguments = local_arguments(dockerfile);
        let mut draw = Draw { dockerfile, options, known, sources, findings, graph, local_arguments };
        draw.reach(target);
        let Draw { mut graph, .. } = draw;
        graph.order = order::order(&graph, sources, findings);
        Some(graph)
    }

    /// Returns what `--from=text` of a `COPY` or `ADD` means.
    pub(crate) fn copy_source(&self, text: &str, span: Span) -> Result<Source, Diagnostic> {
        if let Ok(number) = text.parse::<i64>() {
            let stage = self.names.numbered(number).map(Source::Stage);
            return stage.ok_or_else(|| {
                let last = self.nodes.len().saturating_sub(1);
                let known = if last > 0 { format!("0 to {last}") } else { "0 alone".to_owned() };
                Diagnostic::error(span, format!("invalid stage index {number}"))
                    .help(format!("the numbers of stages are {known}"))
            });
        }
        let plain = Word::parse(text, span, '\\').expand(&Env::default());
        if plain.is_ok_and(|expanded| expanded.value == text) {
            return self.source(text, span);
        }
        let message = "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround";
        Err(Diagnostic::error(span, message))
    }

    /// Returns what a name outside `FROM` means: a stage wherever it stands, else a named context or an image.
    pub(crate) fn source(&self, name: &str, span: Span) -> Result<Source, Diagnostic> {
        if let Some(index) = self.names.stage(name) {
            return Ok(Source::Stage(index));
        }
        self.names.outside(name, &self.platform).map_err(|error| {
            let diagnostic = Diagnostic::error(span, error.to_string());
            match self.names.similar(name) {
                Some(stage) => diagnostic.help(format!("there is a stage named `{stage}`")),
                None => diagnostic,
            }
        })
    }

    /// Returns every image that is needed and not known.
    pub(crate) fn missing(&self, known: &Bases, sources: &Sources) -> impl Iterator<Item = BaseRequest> {
        let missing = self.images.values().filter(|request| !known.contains_key(&request.key));
        missing.map(|request| BaseRequest { help: self.meant(request, sources), ..request.clone() })
    }

    /// Says which stage may have been meant by the name of an image.
    fn meant(&self, request: &BaseRequest, sources: &Sources) -> Option<String> {
        let name = names::familiar(&request.key.reference);
        if name.parse().ok().and_then(|number| self.names.numbered(number)).is_some() {
            return Some(format!("FROM does not know stages by their numbers: name it, `FROM … AS stage{name}`"));
        }
        let Some(stage) = self.names.stage(&name) else {
            return self.names.similar(&name).map(|stage| format!("did you mean the stage `{stage}`?"));
        };
        let (place, here) = (self.names.place(stage), request.span);
        if place == here {
            // A stage that is called as its image: it does not mean itself.
            return None;
        }
        let place = on_line(place, sources);
        Some(format!("the stage `{name}` is defined later{place}: FROM can only name a stage above it"))
    }

    pub(crate) fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)?.as_ref()
    }
}

fn target(dockerfile: &Dockerfile, names: &Names<'_>, options: &Options, findings: &mut Findings) -> Option<usize> {
    let last = dockerfile.stages.len().checked_sub(1);
    let Some(wanted) = &options.target else { return last };
    let numbered = || wanted.parse().ok().and_then(|number| names.numbered(number));
    let found = names.stage(wanted).or_else(numbered);
    if found.is_none() {
        let similar = names.similar(wanted);
        let at = similar.as_ref().and_then(|name| names.stage(name)).unwrap_or_default();
        let span = dockerfile.stages.get(at).map(name_span).unwrap_or_default();
        let question = similar.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
        let diagnostic = Diagnostic::error(span, format!("target stage \"{wanted}\" could not be found{question}"));
        findings.push(match stage_list(dockerfile) {
            Some(list) => diagnostic.help(list),
            None => diagnostic,
        });
    }
    found
}

/// The most stages that are listed.
const LISTED: usize = 12;

fn stage_list(dockerfile: &Dockerfile) -> Option<String> {
    let names: Vec<_> = dockerfile.stages.iter().filter_map(|stage| stage.from.name.as_ref()).collect();
    let list: Vec<_> = names.iter().take(LISTED).map(|name| format!("`{}`", name.value)).collect();
    let more = if names.len() > LISTED { ", …" } else { "" };
    (!list.is_empty()).then(|| format!("stages of the file: {}{more}", list.join(", ")))
}

fn name_span(stage: &Stage) -> Span {
    stage.from.name.as_ref().map_or(stage.span, |name| name.span)
}

fn local_arguments(dockerfile: &Dockerfile) -> HashMap<&str, Span> {
    let mut first = HashMap::new();
    for instruction in dockerfile.stages.iter().flat_map(|stage| &stage.instructions) {
        if let Kind::Arg(items) = &instruction.kind {
            for item in items {
                first.entry(item.name.text.as_str()).or_insert(item.span);
            }
        }
    }
    first
}

/// Returns ` on line 3`, where `span` begins; nothing if its text is not at hand.
pub(crate) fn on_line(span: Span, sources: &Sources) -> String {
    sources.line_column(span).map(|(_, line, _)| format!(" on line {line}")).unwrap_or_default()
}

impl Draw<'_, '_> {
    fn reach(&mut self, target: usize) {
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            if self.graph.nodes[index].is_none() {
                let node = self.node(index);
                open.extend(node.edges.iter().map(|edge| edge.to));
                self.graph.nodes[index] = Some(node);
            }
        }
    }

    fn node(&mut self, index: usize) -> Node {
        let dockerfile = self.dockerfile;
        let stage = &dockerfile.stages[index];
        let platform = self.platform(stage);
        let explicit_platform = stage.from.platform.is_some() || !self.options.platforms.is_empty();
        let platform = platform.unwrap_or_else(|| self.graph.platform.clone());
        let replacement = self.graph.names.replacement(index, &platform);
        let replaced = replacement.is_some();
        let base = replacement.or_else(|| self.base(index, stage, &platform)).unwrap_or(Source::Scratch);
        let mut node = Node { base, platform, explicit_platform, replaced, triggers: Vec::new(), edges: Vec::new() };
        self.need(&mut node, None, stage.from.image.span, explicit_platform);
        if !replaced {
            node.triggers = self.triggers_of(&node.base.clone());
            self.follow(&mut node, &stage.instructions);
        }
        node
    }

    /// Returns the platform that `FROM --platform` names; `None` without one, or with a wrong one.
    fn platform(&mut self, stage: &Stage) -> Option<Platform> {
        let word = stage.from.platform.as_ref()?;
        let expanded = self.findings.expand(word, &self.graph.globals.env)?;
        lint::from_arguments(&expanded, word, &self.graph.globals, self.findings);
        if expanded.value.is_empty() {
            self.wrong(word, &expanded, format!("empty platform value from expression {}", word.text));
            return None;
        }
        lint::redundant_platform(&expanded, word, &self.graph.globals.env, self.findings);
        expanded.value.parse().map_err(|error: InvalidPlatform| self.wrong(word, &expanded, error.to_string())).ok()
    }

    /// Reports what is wrong with a word of `FROM`, and why variables in it have no value.
    fn wrong(&mut self, word: &Word, expanded: &Expanded, message: String) {
        let unset = expanded.used.iter().filter(|(_, unset)| *unset);
        let why: Vec<String> = unset.map(|(name, _)| self.why_unset(name)).collect();
        self.findings.push(why.into_iter().fold(Diagnostic::error(word.span, message), Diagnostic::help));
    }

    fn why_unset(&mut self, name: &str) -> String {
        if globals::declares(self.dockerfile, name) {
            return format!("`ARG {name}` has no value: give it a default, or a value with `--build-arg {name}=VALUE`");
        }
        if let Some(span) = self.local_arguments.get(name) {
            let place = on_line(*span, self.sources);
            return format!(
                "`ARG {name}`{place} belongs to its stage: an ARG that FROM uses has to stand before the first FROM"
            );
        }
        match self.findings.nearest(name, self.graph.globals.env.names()) {
            Some(near) => format!("`{name}` is not declared before the first FROM; did you mean `{near}`?"),
            None => format!("declare it before the first FROM: `ARG {name}=VALUE`"),
        }
    }

    fn base(&mut self, index: usize, stage: &Stage, platform: &Platform) -> Option<Source> {
        let word = &stage.from.image;
        let expanded = self.findings.expand(word, &self.graph.globals.env)?;
        lint::from_arguments(&expanded, word, &self.graph.globals, self.findings);
        if let Some(defaults) = &self.graph.globals.defaults {
            lint::default_base(word, defaults, self.findings);
        }
        if expanded.value.is_empty() {
            self.wrong(word, &expanded, format!("base name ({}) should not be blank", word.text));
            return None;
        }
        if let Some(earlier) = self.graph.names.earlier_stage(&expanded.value, index) {
            return Some(Source::Stage(earlier));
        }
        let outside = self.graph.names.outside(&expanded.value, platform);
        outside.map_err(|error| self.wrong(word, &expanded, error.to_string())).ok()
    }

    /// Notes that a stage needs `source`, its own base if that is `None`.
    fn need(&mut self, node: &mut Node, source: Option<(Source, bool)>, span: Span, explicit_platform: bool) {
        let (source, copy) = source.unwrap_or_else(|| (node.base.clone(), false));
        match source {
            Source::Stage(to) => node.edges.push(Edge { to, span, copy }),
            Source::Image(key) => {
                let request = BaseRequest { key: key.clone(), explicit_platform, span, help: None };
                self.graph.images.entry(key).or_insert(request).explicit_platform |= explicit_platform;
            }
            Source::Directory(_) | Source::Scratch => {}
        }
    }

    fn triggers_of(&mut self, base: &Source) -> Vec<Instruction> {
        let dockerfile = self.dockerfile;
        match base {
            Source::Image(key) => {
                let base = self.known.get(key);
                base.map(|base| trigger::of_image(base, self.sources, self.findings)).unwrap_or_default()
            }
            Source::Stage(index) => {
                let stage = &dockerfile.stages[*index];
                let platform = self.platform(stage).unwrap_or_else(|| self.graph.platform.clone());
                let replacement = self.graph.names.replacement(*index, &platform);
                replacement.map_or_else(|| trigger::of_stage(stage), |replacement| self.triggers_of(&replacement))
            }
            Source::Directory(_) | Source::Scratch => Vec::new(),
        }
    }

    /// Notes what the triggers and instructions of a stage read.
    fn follow(&mut self, node: &mut Node, instructions: &[Instruction]) {
        let triggers = std::mem::take(&mut node.triggers);
        for instruction in triggers.iter().chain(instructions) {
            match &instruction.kind {
                Kind::Copy(copy) | Kind::Add(copy) => {
                    let Some(from) = copy.flags.from.as_ref().filter(|from| !from.value.is_empty()) else { continue };
                    let source = self.graph.copy_source(&from.value, from.span);
                    self.follow_source(node, source, from.span, true);
                }
                Kind::Run(run) => {
                    for text in &run.flags.mounts {
                        let Some(from) = mount::from(&text.value) else { continue };
                        let source = self.graph.source(&from, text.span);
                        self.follow_source(node, source, text.span, false);
                    }
                }
                _ => {}
            }
        }
        node.triggers = triggers;
    }

    fn follow_source(&mut self, node: &mut Node, source: Result<Source, Diagnostic>, span: Span, copy: bool) {
        let explicit_platform = !self.options.platforms.is_empty();
        match source {
            Ok(source) => self.need(node, Some((source, copy)), span, explicit_platform),
            Err(diagnostic) => self.findings.push(diagnostic),
        }
    }
}
