//! A plan as text, for expectations.

use std::fmt::Write;

use dockerfile::{Diagnostic, Severity, Sources, Span};
use plan::{
    Cache, CacheDirectory, Chmod, ContextName, Copy, CopySource, GitSource, HistoryLine, HttpSource, Input, Mount,
    MountKind, Op, Plan, Run, RunNetwork, SecretEnv, Source, Target, Vertex, Workdir,
};

use crate::case::Outcome;

/// Prints everything but what is as it always is.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    let mut out = String::new();
    for diagnostic in outcome.diagnostics.items() {
        finding(&mut out, diagnostic, &outcome.sources);
    }
    if let Some(epoch) = &outcome.epoch {
        writeln!(out, "epoch {epoch:?}").unwrap();
    }
    for request in &outcome.requests {
        let explicit = if request.explicit_platform { " (explicit)" } else { "" };
        writeln!(out, "needs {} for {}{explicit}", request.key.reference, request.key.platform).unwrap();
    }
    if let Some(plan) = &outcome.plan {
        self::plan(&mut out, plan, &outcome.sources);
    }
    out
}

fn finding(out: &mut String, diagnostic: &Diagnostic, sources: &Sources) {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let rule = diagnostic.rule.map(|rule| format!(" {rule}")).unwrap_or_default();
    writeln!(out, "{severity}{rule}: {}", diagnostic.message).unwrap();
    writeln!(out, "    at {}", place(diagnostic.span, sources)).unwrap();
    for line in diagnostic.label.iter().chain(&diagnostic.help) {
        writeln!(out, "    {line}").unwrap();
    }
}

/// Returns `3:6 "text"`, with the name of the source unless it is the Dockerfile.
fn place(span: Span, sources: &Sources) -> String {
    let Some(source) = sources.get(span.source) else { return "nowhere".to_owned() };
    let (start, end) = (span.start as usize, span.end as usize);
    let before = &source.text[..start];
    let line = before.matches('\n').count() + 1;
    let column = start - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
    let name = if span.source.0 == 0 { String::new() } else { format!("{} ", source.name) };
    format!("{name}{line}:{column} {:?}", &source.text[start..end])
}

fn plan(out: &mut String, plan: &Plan, sources: &Sources) {
    for (index, vertex) in plan.vertices.iter().enumerate() {
        self::vertex(out, index, vertex, sources);
    }
    for target in &plan.targets {
        self::target(out, target);
    }
}

fn vertex(out: &mut String, index: usize, vertex: &Vertex, sources: &Sources) {
    let digest = &vertex.digest.to_string()[..12];
    writeln!(out, "\n#{index} {}", vertex.name.replace('\n', "\\n")).unwrap();
    let place = place(vertex.span, sources);
    let place = place.split(" \"").next().unwrap_or_default();
    let fresh = if vertex.ignore_cache { ", run again" } else { "" };
    writeln!(out, "    stage {}, at {place}, digest {digest}{fresh}", vertex.stage).unwrap();
    if let Some(parent) = vertex.parent {
        writeln!(out, "    parent #{}", parent.0).unwrap();
    }
    for (position, input) in vertex.inputs.iter().enumerate() {
        writeln!(out, "    input {position}: {}", self::input(input)).unwrap();
    }
    match &vertex.op {
        Op::Base(base) => writeln!(out, "    base {}", base.reference).unwrap(),
        Op::Source(Source::Http(http)) => self::http(out, http),
        Op::Source(Source::Git(git)) => self::git(out, git),
        Op::Run(run) => self::run(out, run),
        Op::Copy(copy) => self::copy(out, copy),
        Op::Workdir(Workdir { path, user }) => writeln!(out, "    workdir {path} user {user:?}").unwrap(),
    }
}

fn http(out: &mut String, http: &HttpSource) {
    let login = if http.login.is_some() { " with a login" } else { "" };
    writeln!(out, "    fetch {}{login} as {}", http.url, http.name).unwrap();
    if let Some(checksum) = &http.checksum {
        writeln!(out, "    checksum {checksum}").unwrap();
    }
}

fn git(out: &mut String, git: &GitSource) {
    let login = if git.credentials.is_some() { " with a login" } else { "" };
    let reference = git.reference.as_deref().unwrap_or("its default branch");
    writeln!(out, "    fetch {}{login} at {reference}", git.url).unwrap();
    if let Some(checksum) = &git.checksum {
        writeln!(out, "    checksum {checksum}").unwrap();
    }
    if !git.subdir.is_empty() {
        writeln!(out, "    directory {}", git.subdir).unwrap();
    }
    let words = [("with .git", git.keeps_git_dir()), ("without submodules", !git.submodules)];
    words.iter().filter(|(_, said)| *said).for_each(|(word, _)| writeln!(out, "    {word}").unwrap());
}

fn input(input: &Input) -> String {
    match input {
        Input::Vertex(id) => format!("#{}", id.0),
        Input::Empty => "empty".to_owned(),
        Input::Context(ContextName::Main) => "context".to_owned(),
        Input::Context(ContextName::Named(name)) => format!("context {name}"),
    }
}

fn run(out: &mut String, run: &Run) {
    writeln!(out, "    run {:?}", run.argv).unwrap();
    let env: Vec<_> = run.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    writeln!(out, "    env {}", env.join(" ")).unwrap();
    writeln!(out, "    cwd {} user {:?} on {} for {}", run.cwd, run.user, run.hostname, run.platform).unwrap();
    if run.network != RunNetwork::Default {
        writeln!(out, "    network {:?}", run.network).unwrap();
    }
    for (key, value) in &run.proxy {
        writeln!(out, "    proxy {key}={value}").unwrap();
    }
    for Mount { target, read_only, kind } in &run.mounts {
        let access = if *read_only { "ro" } else { "rw" };
        let kind = match kind {
            MountKind::Bind { input, path, .. } => format!("bind of input {input} {path}"),
            MountKind::Tmpfs { size } => format!("tmpfs {size:?}"),
            MountKind::Cache(Cache { id, sharing, base, subpath, directory }) => {
                let part = subpath.as_ref().map(|subpath| format!(" part {subpath}")).unwrap_or_default();
                let made =
                    directory.map(|CacheDirectory { mode, uid, gid }| format!(" mode {mode:o} owner {uid}:{gid}"));
                format!("cache {id} {sharing:?} of {base:?}{part}{}", made.unwrap_or_default())
            }
            MountKind::Ssh { agent, mode, uid, gid } => {
                format!("ssh {} required {} mode {mode:o} owner {uid}:{gid}", agent.id, agent.required)
            }
            MountKind::Secret { secret, mode, uid, gid } => {
                format!("secret {} required {} mode {mode:o} owner {uid}:{gid}", secret.id, secret.required)
            }
        };
        writeln!(out, "    mount {target} {access}: {kind}").unwrap();
    }
    for SecretEnv { name, secret } in &run.secret_env {
        writeln!(out, "    secret {} in {name} required {}", secret.id, secret.required).unwrap();
    }
    if let Some(script) = &run.script {
        writeln!(out, "    script {}: {:?}", script.path, String::from_utf8_lossy(&script.bytes)).unwrap();
    }
    if run.repetition > 0 {
        writeln!(out, "    repetition {}", run.repetition).unwrap();
    }
}

fn copy(out: &mut String, copy: &Copy) {
    let unpack = if copy.unpack { ", unpacking" } else { "" };
    let link = if copy.link { ", linked" } else { "" };
    let parents = if copy.parents { ", with parents" } else { "" };
    writeln!(out, "    copy to {}{unpack}{link}{parents}", copy.destination).unwrap();
    for pattern in &copy.exclude {
        writeln!(out, "    without {pattern}").unwrap();
    }
    for source in &copy.sources {
        match source {
            CopySource::Path { input, pattern, as_is, .. } => {
                let as_is = if *as_is { ", as it is" } else { "" };
                writeln!(out, "    from input {input}: {pattern}{as_is}").unwrap();
            }
            CopySource::Inline { name, bytes } => {
                writeln!(out, "    from here: {name} {:?}", String::from_utf8_lossy(bytes)).unwrap();
            }
        }
    }
    if let Some(chown) = &copy.chown {
        writeln!(out, "    chown {chown}").unwrap();
    }
    match &copy.chmod {
        None => {}
        Some(Chmod::Octal(mode)) => writeln!(out, "    chmod {mode:o}").unwrap(),
        Some(Chmod::Symbolic(text)) => writeln!(out, "    chmod {text}").unwrap(),
    }
}

fn target(out: &mut String, target: &Target) {
    let root = target.root.map_or_else(|| "nothing".to_owned(), |id| format!("#{}", id.0));
    writeln!(out, "\ntarget {}: {root}", target.platform).unwrap();
    for HistoryLine { created_by, layer } in &target.history {
        let layer = layer.map_or_else(|| "-".to_owned(), |id| format!("#{}", id.0));
        writeln!(out, "    {layer} {}", created_by.replace('\n', "\\n")).unwrap();
    }
    writeln!(out, "{}", serde_json::to_string_pretty(&target.config).unwrap()).unwrap();
}
