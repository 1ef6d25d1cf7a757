//! What a target takes from outside, told without its base images: what their `ENV` and `ONBUILD` add is not in it.

use std::collections::{BTreeMap, HashSet};

use dockerfile::ast::{ArgItem, Instruction, Kind};
use dockerfile::word::{Expanded, Variables as _};
use dockerfile::{Diagnostics, Dockerfile, Sources, Span, Spanned, Word};

use crate::base::Bases;
use crate::env::Env;
use crate::findings::Findings;
use crate::graph::Graph;
use crate::mount::{self, Declared};
use crate::names::Source;
use crate::options::Options;
use crate::{epoch, lower};

/// What a target takes from outside, with what it is made from; each list in the order of the file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outline {
    /// Of the target, if it has one.
    pub name: Option<String>,
    pub description: Option<String>,
    pub arguments: Vec<OutlineArgument>,
    pub secrets: Vec<OutlineMount>,
    pub ssh: Vec<OutlineMount>,
    pub caches: Vec<OutlineMount>,
}

/// An `ARG`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutlineArgument {
    pub name: String,
    pub description: Option<String>,
    /// The default, or what the command line says in its place.
    pub value: Option<String>,
    /// Of the instruction.
    pub span: Span,
}

/// What a `RUN --mount` asks for by its id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutlineMount {
    pub id: String,
    pub required: bool,
    /// Of the instruction.
    pub span: Span,
}

/// Returns what the target takes from outside; `None` if `diagnostics` received an error. Of several platforms the first
/// counts.
pub fn outline(dockerfile: &Dockerfile, options: &Options, diagnostics: &mut Diagnostics) -> Option<Outline> {
    let mut findings = Findings::default();
    let outline = draw(dockerfile, options, &mut findings);
    let failed = findings.has_errors();
    findings.report_errors(diagnostics);
    outline.filter(|_| !failed)
}

/// Returns what comments say of `name`: the first that begins with it.
pub fn description(comments: &[Spanned<String>], name: &str) -> Option<String> {
    let about = |comment: &Spanned<String>| {
        let (first, rest) = comment.value.trim().split_once(' ')?;
        (first == name).then(|| rest.to_owned())
    };
    comments.iter().find_map(about)
}

fn draw(dockerfile: &Dockerfile, options: &Options, findings: &mut Findings) -> Option<Outline> {
    let platform = lower::platforms(options).into_iter().next()?;
    let graph = Graph::new(dockerfile, &Bases::default(), options, &platform, &mut Sources::default(), findings)?;
    let mut stages: BTreeMap<usize, Stage<'_>> = BTreeMap::new();
    for &index in &graph.order {
        let node = graph.node(index)?;
        let env = match node.base {
            Source::Stage(base) => stages.get(&base).map(|base| base.env.clone()).unwrap_or_default(),
            _ => Env::default(),
        };
        let stage = &dockerfile.stages[index];
        findings.charge(env.variables().size(), stage.span)?;
        let mut read = Stage { dockerfile, options, globals: &graph.globals.env, env, taken: Taken::default() };
        for word in [Some(&stage.from.image), stage.from.platform.as_ref()].into_iter().flatten() {
            read.taken.globals.extend(names(findings.expand(word, &graph.globals.env)?));
        }
        if !node.replaced {
            stage.instructions.iter().try_for_each(|instruction| read.instruction(instruction, findings))?;
        }
        stages.insert(index, read);
    }
    // What stands nearer to the target counts.
    let mut all = Taken::default();
    for index in graph.order.iter().rev() {
        all.absorb(stages.remove(index)?.taken);
    }
    all.absorb_globals(dockerfile, options, &graph.globals.env, findings)?;
    let target = &dockerfile.stages[graph.target];
    let name = target.from.name.as_ref().map(|name| name.value.to_lowercase());
    let description = name.as_deref().and_then(|name| description(&target.comments, name));
    Some(Outline { name, description, ..all.sorted() })
}

fn names(expanded: Expanded) -> impl Iterator<Item = String> {
    expanded.used.into_iter().map(|(name, _)| name)
}

/// What was found, by name.
#[derive(Debug, Default)]
struct Taken {
    arguments: BTreeMap<String, OutlineArgument>,
    /// Names of global arguments that count.
    globals: HashSet<String>,
    secrets: BTreeMap<String, OutlineMount>,
    ssh: BTreeMap<String, OutlineMount>,
    caches: BTreeMap<String, OutlineMount>,
}

impl Taken {
    fn absorb(&mut self, other: Self) {
        self.globals.extend(other.globals);
        for (name, argument) in other.arguments {
            self.arguments.entry(name).or_insert(argument);
        }
        let lists = [(&mut self.secrets, other.secrets), (&mut self.ssh, other.ssh), (&mut self.caches, other.caches)];
        for (mine, theirs) in lists {
            theirs.into_values().for_each(|mount| add(mine, mount));
        }
    }

    /// Adds the global arguments that count, and those in their defaults.
    fn absorb_globals(
        &mut self,
        dockerfile: &Dockerfile,
        options: &Options,
        env: &Env,
        findings: &mut Findings,
    ) -> Option<()> {
        let items = dockerfile.globals.iter().filter_map(|instruction| match &instruction.kind {
            Kind::Arg(items) => Some(items.iter().map(move |item| (instruction, item))),
            _ => None,
        });
        // A default can only have what stands above it.
        for (instruction, item) in items.flatten().collect::<Vec<_>>().into_iter().rev() {
            let name = findings.expand(&item.name, env)?.value;
            if !self.globals.contains(&name) {
                continue;
            }
            if let Some(default) = item.default.as_ref().filter(|_| !options.build_args.contains_key(&name)) {
                self.globals.extend(names(findings.expand(default, env)?));
            }
            let argument = argument(instruction, &name, env.get(&name).map(str::to_owned));
            self.arguments.entry(name).or_insert(argument);
        }
        Some(())
    }

    fn sorted(self) -> Outline {
        let mounts = |found: BTreeMap<String, OutlineMount>| {
            let mut list: Vec<_> = found.into_values().collect();
            list.sort_by_key(|mount| mount.span.start);
            list
        };
        let mut arguments: Vec<_> = self.arguments.into_values().collect();
        arguments.sort_by_key(|argument| argument.span.start);
        Outline {
            arguments,
            secrets: mounts(self.secrets),
            ssh: mounts(self.ssh),
            caches: mounts(self.caches),
            ..Outline::default()
        }
    }
}

fn argument(instruction: &Instruction, name: &str, value: Option<String>) -> OutlineArgument {
    let description = description(&instruction.comments, name);
    OutlineArgument { name: name.to_owned(), description, value, span: instruction.span }
}

fn add(list: &mut BTreeMap<String, OutlineMount>, mount: OutlineMount) {
    let required = mount.required;
    list.entry(mount.id.clone()).or_insert(mount).required |= required;
}

/// A stage while it is read: of its instructions only what decides variables and mounts.
#[derive(Debug)]
struct Stage<'a> {
    dockerfile: &'a Dockerfile,
    options: &'a Options,
    globals: &'a Env,
    env: Env,
    taken: Taken,
}

impl Stage<'_> {
    /// `None` if a mistake was found, which has been reported.
    fn instruction(&mut self, instruction: &Instruction, findings: &mut Findings) -> Option<()> {
        match &instruction.kind {
            Kind::Arg(items) => items.iter().try_for_each(|item| self.declare(instruction, item, findings)),
            Kind::Env(pairs) => {
                let before = &self.env;
                let mut expand = |word: &Word| findings.expand(word, before).map(|expanded| expanded.value);
                let set: Option<Vec<_>> = pairs.pairs.iter().map(|(k, v)| Some((expand(k)?, expand(v)?))).collect();
                set?.iter().for_each(|(key, value)| self.env.set(key, value));
                Some(())
            }
            Kind::Run(run) => run.flags.mounts.iter().try_for_each(|flag| self.mount(instruction.span, flag, findings)),
            _ => Some(()),
        }
    }

    fn declare(&mut self, instruction: &Instruction, item: &ArgItem, findings: &mut Findings) -> Option<()> {
        let name = findings.expand(&item.name, &self.env)?.value;
        let given = self.options.build_args.get(&name).filter(|value| !epoch::is_unresolved(&name, value));
        let value = match (given, &item.default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => Some(findings.expand(default, &self.env)?.value),
            (None, None) => self.globals.get(&name).map(str::to_owned),
        };
        if let Some(value) = &value {
            self.env.set(&name, value);
        }
        if item.default.is_none() && self.globals.contains(&name) {
            // It is the one above the stages, or a predefined one, which nobody has to give.
            self.taken.globals.insert(name);
        } else {
            self.taken.arguments.insert(name.clone(), argument(instruction, &name, value));
        }
        Some(())
    }

    fn mount(&mut self, span: Span, flag: &Spanned<String>, findings: &mut Findings) -> Option<()> {
        let escape = self.dockerfile.directives.escape_character();
        let mut expand =
            |value: &str, _| Some(findings.expand(&Word::parse(value, flag.span, escape), &self.env)?.value);
        let declared: Declared = match mount::parse(&flag.value, &mut expand) {
            Ok(declared) => declared,
            Err(mount::Invalid::Reported) => return None,
            Err(mount::Invalid::Because { mistake, .. }) => {
                findings.push(mistake.at(flag.span));
                return None;
            }
        };
        let (list, id) = match declared.kind {
            mount::Kind::Secret => (&mut self.taken.secrets, declared.secret_id()),
            mount::Kind::Ssh => (&mut self.taken.ssh, declared.ssh_id()),
            mount::Kind::Cache => (&mut self.taken.caches, declared.cache_id(self.options)),
            mount::Kind::Bind | mount::Kind::Tmpfs => return Some(()),
        };
        add(list, OutlineMount { id, required: declared.required, span });
        Some(())
    }
}
