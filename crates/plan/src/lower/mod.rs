//! Instructions to ops, configuration and history: a file for each instruction (reference: section 5).

mod arg;
mod cmd;
mod copy;
mod entrypoint;
mod env;
mod expose;
mod healthcheck;
mod label;
mod maintainer;
mod onbuild;
mod run;
mod scope;
mod shell;
mod source;
mod stage;
mod stopsignal;
mod user;
mod volume;
mod workdir;

use dockerfile::ast::{Instruction, Kind};
use dockerfile::{Diagnostic, Dockerfile, Sources, Span};
use image::Platform;

use crate::base::Bases;
use crate::builder::Builder;
use crate::findings::Findings;
use crate::graph::Graph;
use crate::options::Options;
use crate::{Plan, Target};
use scope::Scope;
use stage::Stages;

/// The build argument that names a frontend in place of `# syntax`.
const SYNTAX_ARGUMENT: &str = "BUILDKIT_SYNTAX";

/// Lowers the stages that each target platform needs; `None` if there is no target. Mistakes go to `findings`.
pub(crate) fn plan(
    dockerfile: &Dockerfile,
    bases: &Bases,
    options: &Options,
    sources: &mut Sources,
    findings: &mut Findings,
) -> Option<Plan> {
    check_syntax(dockerfile, options, findings);
    let mut builder = Builder::default();
    let mut targets = Vec::new();
    for platform in platforms(options) {
        let graph = Graph::new(dockerfile, bases, options, &platform, sources, findings)?;
        if !findings.has_errors() {
            let stages = Stages::new(dockerfile, bases, options, graph, &mut builder, findings);
            targets.extend(stages.lower());
        }
    }
    Some(Plan { vertices: builder.vertices, targets, chosen_shells: builder.chosen_shells })
}

/// Returns the platforms to build for.
pub(crate) fn platforms(options: &Options) -> Vec<Platform> {
    if options.platforms.is_empty() { vec![options.build_platform.clone()] } else { options.platforms.clone() }
}

/// Refuses a frontend other than the one built in.
pub(crate) fn check_syntax(dockerfile: &Dockerfile, options: &Options, findings: &mut Findings) {
    let directive = dockerfile.directives.syntax.as_ref().map(|syntax| (&syntax.value, syntax.span));
    let start = Span::new(dockerfile.source, 0, 0);
    let argument = options.build_args.get(SYNTAX_ARGUMENT).map(|value| (value, start));
    let Some((value, span)) = argument.or(directive) else { return };
    let name = value.split_whitespace().next().unwrap_or_default();
    if !is_built_in(name) {
        let message = format!("syntax `{name}` is not supported: only docker/dockerfile is built in");
        findings.push(Diagnostic::error(span, message));
    }
}

/// True for docker/dockerfile and docker/dockerfile-upstream, wherever they are kept: mirrors have them under the same name.
fn is_built_in(syntax: &str) -> bool {
    let mut components = syntax.rsplit('/');
    components.next().is_some_and(|last| last.starts_with("dockerfile")) && components.next() == Some("docker")
}

/// Lowers one instruction. `None` if a mistake was found, which has been reported.
fn instruction(scope: &mut Scope<'_, '_>, instruction: &Instruction) -> Option<()> {
    match &instruction.kind {
        Kind::Add(copy) => copy::lower(scope, instruction, copy, copy::Verb::Add),
        Kind::Arg(items) => arg::lower(scope, items),
        Kind::Cmd(command) => cmd::lower(scope, instruction, command),
        Kind::Copy(copy) => copy::lower(scope, instruction, copy, copy::Verb::Copy),
        Kind::Entrypoint(command) => entrypoint::lower(scope, instruction, command),
        Kind::Env(pairs) => env::lower(scope, pairs),
        Kind::Expose(words) => expose::lower(scope, words),
        Kind::Healthcheck(healthcheck) => healthcheck::lower(scope, healthcheck),
        Kind::Label(pairs) => label::lower(scope, pairs),
        Kind::Maintainer(name) => maintainer::lower(scope, name),
        Kind::Onbuild(onbuild) => onbuild::lower(scope, onbuild),
        Kind::Run(run) => run::lower(scope, instruction, run),
        Kind::Shell(words) => shell::lower(scope, words),
        Kind::Stopsignal(word) => stopsignal::lower(scope, word),
        Kind::User(word) => user::lower(scope, word),
        Kind::Volume(words) => volume::lower(scope, words),
        Kind::Workdir(word) => workdir::lower(scope, instruction, word),
    }
}

/// Puts the labels of the command line on top.
fn put_labels(target: &mut Target, options: &Options) {
    for (key, value) in &options.labels {
        target.config.config.labels.insert(key.clone(), value.clone());
    }
}
