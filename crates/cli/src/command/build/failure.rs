//! Errors of a build, drawn into the Dockerfile.

use dockerfile::diagnostic::excerpt;
use dockerfile::lint::Checks;
use dockerfile::{Diagnostic, Diagnostics, Dockerfile, Severity, Sources, Span};
use plan::{BaseKey, BaseRequest, ContextName, CopySource, Input, Mount, MountKind, Op, Plan, Vertex};
use solver::{SolveError, SolveErrorKind};

use crate::error::Failure;
use crate::lint::violation;
use crate::terminal;

/// Ends the build if a pass found errors: all findings are drawn, then how many there were.
pub(super) fn stop_on_errors(diagnostics: &Diagnostics, sources: &Sources) -> Result<(), Failure> {
    if !diagnostics.has_errors() {
        return Ok(());
    }
    let errors: Vec<&Diagnostic> = diagnostics.items().iter().filter(|d| d.severity == Severity::Error).collect();
    let drawn: Vec<String> = errors.iter().map(|d| d.render(sources, terminal::color())).collect();
    let count = match errors.len() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    };
    Err(Failure::new(format!("the Dockerfile has {count}; nothing was built")).excerpt(drawn.join("\n\n")))
}

/// Ends the build if the file asks for that: `# check=error=true`.
pub(super) fn stop_on_lints(dockerfile: &Dockerfile, findings: &[Diagnostic]) -> Result<(), Failure> {
    let wanted = Checks::of(&dockerfile.directives).is_ok_and(|checks| checks.error);
    match violation(findings).filter(|_| wanted) {
        Some(message) => Err(Failure::new(message)),
        None => Ok(()),
    }
}

/// A base image that could not be resolved, at the place that names it.
pub(super) fn base(failure: Failure, key: &BaseKey, requests: &[BaseRequest], sources: &Sources) -> Failure {
    let Some(request) = requests.iter().find(|request| request.key == *key) else { return failure };
    let name = request.key.reference.familiar();
    let diagnostic = Diagnostic::error(request.span, format!("cannot resolve image `{name}`"));
    let diagnostic = request.help.iter().fold(diagnostic, Diagnostic::help);
    failure.excerpt(diagnostic.render(sources, terminal::color()))
}

/// A vertex that failed: what failed, where it stands in the Dockerfile, and the last of its output.
pub(super) fn solve(error: SolveError, plan: &Plan, sources: &Sources) -> Failure {
    if matches!(error.kind, SolveErrorKind::Canceled) {
        // As a shell reports what Ctrl-C ended.
        return Failure::from_error(&error.kind).code(130);
    }
    let Some(vertex) = error.vertex.map(|id| &plan.vertices[id.0 as usize]) else {
        return Failure::from_error(&error.kind);
    };
    if let SolveErrorKind::CopyMissing { span, similar, ignored, path } = &error.kind {
        let wanted = wanted(vertex, *span, path);
        let span = wanted.map(|wanted| wanted.span).or(*span).unwrap_or(vertex.span);
        let mut diagnostic = Diagnostic::error(span, "no such path in the build context or stage")
            .label(format!("needed by stage `{}`", vertex.stage));
        if *ignored {
            diagnostic = diagnostic.help("the file is there, but an ignore file leaves it out");
        }
        if let Some(similar) = similar {
            diagnostic = diagnostic.help(format!("a similar path exists: `{similar}`"));
        }
        if let Some(Wanted { input, clamped: true, .. }) = wanted {
            let place = place(input);
            diagnostic = diagnostic.help(format!(
                "paths are resolved inside {place}, and `..` does not lead out of it: this is `{path}` there"
            ));
        }
        return Failure::from_error(&error.kind).excerpt(diagnostic.render(sources, terminal::color()));
    }
    if let SolveErrorKind::SecretMissing { span, id } = &error.kind {
        let diagnostic =
            Diagnostic::error(*span, "this secret was not given").help(format!("give it with --secret id={id}"));
        return Failure::from_error(&error.kind).excerpt(diagnostic.render(sources, terminal::color()));
    }
    if let SolveErrorKind::AgentMissing { span, id } = &error.kind {
        let diagnostic =
            Diagnostic::error(*span, "this SSH agent was not given").help(format!("give it with --ssh {id}"));
        return Failure::from_error(&error.kind).excerpt(diagnostic.render(sources, terminal::color()));
    }
    if let SolveErrorKind::SecretInVariable { span, reason, .. } = &error.kind {
        let diagnostic = Diagnostic::error(*span, format!("this secret cannot be put into a variable: {reason}"));
        return Failure::from_error(&error.kind).excerpt(diagnostic.render(sources, terminal::color()));
    }
    if let SolveErrorKind::WorkdirOntoFile { target, what, .. } = &error.kind {
        let diagnostic = Diagnostic::error(vertex.span, "WORKDIR needs a directory, or a path that is free")
            .label(format!("`{target}` is {what}"));
        return Failure::from_error(&error.kind).excerpt(diagnostic.render(sources, terminal::color()));
    }
    if let SolveErrorKind::Source(source) = &error.kind {
        let diagnostic = Diagnostic::error(vertex.span, "this cannot be fetched");
        let failure = Failure::from_error(&error.kind).excerpt(diagnostic.render(sources, terminal::color()));
        // What would help with an image does not help here.
        let useful = matches!(**source, registry::Error::NoCertificates { .. } | registry::Error::Keep { .. });
        return source.help().filter(|_| useful).into_iter().fold(failure, Failure::help);
    }
    if let SolveErrorKind::Git(_) = &error.kind {
        let diagnostic = Diagnostic::error(vertex.span, "these files cannot be fetched");
        return Failure::from_error(&error.kind).excerpt(diagnostic.render(sources, terminal::color()));
    }
    if let SolveErrorKind::Checksum { .. } | SolveErrorKind::GitChecksum { .. } = &error.kind {
        let diagnostic = Diagnostic::error(vertex.span, "this is not what the checksum says");
        return Failure::from_error(&error.kind).excerpt(diagnostic.render(sources, terminal::color()));
    }
    let mut text = String::new();
    if let SolveErrorKind::Run { tail, .. } = &error.kind
        && !tail.is_empty()
    {
        text.push_str("------\n > ");
        text.push_str(&vertex.name);
        text.push_str(":\n");
        text.push_str(String::from_utf8_lossy(tail).trim_end_matches('\n'));
        text.push_str("\n------\n");
    }
    text.push_str(&excerpt(vertex.span, sources));
    let failure = Failure::from_error(&error.kind).excerpt(text);
    if missing_part(&error.kind, &vertex.op) {
        return failure.help("mounting a part of a cache does not make it: a step that mounts the whole has to");
    }
    failure
}

/// A path that a vertex reads.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    span: Span,
    input: &'a Input,
    /// As written it led out of the input.
    clamped: bool,
}

/// Returns the source of a copy that stands at `span`, or the mount of a command that is of `path`.
fn wanted<'a>(vertex: &'a Vertex, span: Option<Span>, path: &str) -> Option<Wanted<'a>> {
    let (span, input, clamped) = match &vertex.op {
        Op::Copy(copy) => copy.sources.iter().find_map(|source| match source {
            CopySource::Path { input, span: at, clamped, .. } if Some(*at) == span => Some((*at, *input, *clamped)),
            _ => None,
        }),
        Op::Run(run) => run.mounts.iter().find_map(|mount| match &mount.kind {
            MountKind::Bind { input, path: source, span, clamped } if source == path => Some((*span, *input, *clamped)),
            _ => None,
        }),
        _ => None,
    }?;
    Some(Wanted { span, input: vertex.inputs.get(input)?, clamped })
}

fn place(input: &Input) -> String {
    match input {
        Input::Context(ContextName::Main) => "the build context".to_owned(),
        Input::Context(ContextName::Named(name)) => format!("the context `{name}`"),
        Input::Vertex(_) | Input::Empty => "what `from` names".to_owned(),
    }
}

/// True if a box failed for want of something, and the step wants a part of a cache.
fn missing_part(error: &SolveErrorKind, op: &Op) -> bool {
    let SolveErrorKind::Sandbox { source, .. } = error else { return false };
    let sandbox::Error::Setup { source, .. } = &**source else { return false };
    let Op::Run(run) = op else { return false };
    let wants_part = |mount: &Mount| matches!(&mount.kind, MountKind::Cache(cache) if cache.subpath.is_some());
    source.kind() == std::io::ErrorKind::NotFound && run.mounts.iter().any(wants_part)
}
