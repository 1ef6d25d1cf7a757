//! `RUN`: a command in a box (reference: section 8).

use std::ops::Range;

use dockerfile::ast::{self, Command, Heredoc, Instruction};
use dockerfile::{Diagnostic, Span, Spanned, Word};

use super::scope::Scope;
use crate::choice::Choice;
use crate::names::Source;
use crate::op::{
    Cache, CacheDirectory, Mount, MountKind, Op, Run, RunNetwork, RunSecurity, Script, SecretEnv, SecretRef,
};
use crate::{ContextName, Entitlements, Input, mount, path};

/// Where the script of a heredoc is found in the box: below a directory of device files that is no part of any layer.
const SCRIPTS: &str = "/dev/pipes";

/// Where secrets are found unless a mount says otherwise.
const SECRETS: &str = "/run/secrets";

const SECRET_MODE: u32 = 0o400;

const CACHE_MODE: u32 = 0o755;

/// Where the sockets of SSH agents are found unless a mount says otherwise; a number follows.
const AGENTS: &str = "/run/buildkit/ssh_agent.";

const AGENT_MODE: u32 = 0o600;

/// Tells SSH where the socket of the agent is.
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";

const HOSTNAME: &str = "buildkitsandbox";
const HOSTNAME_ARGUMENT: &str = "BUILDKIT_SANDBOX_HOSTNAME";

const NETWORKS: Choice = Choice { of: "--network", known: &["default", "none", "host"] };
const SECURITY: Choice = Choice { of: "--security", known: &["sandbox", "insecure"] };

/// Build arguments that every command sees though nobody declared them.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

pub(super) fn lower(scope: &mut Scope<'_, '_>, instruction: &Instruction, run: &ast::Run) -> Option<()> {
    let network = network(scope, run.flags.network.as_ref())?;
    let security = security(scope, run.flags.security.as_ref())?;
    if let Some(device) = run.flags.devices.first() {
        scope.unsupported(device.span, "`--device`");
        return None;
    }
    let Mounted { mounts, secret_env, agents, inputs } = mounts(scope, &run.flags.mounts)?;
    let (argv, script) = command(scope, run);
    if argv.is_empty() {
        scope.error(instruction.span, "RUN needs a command: the list is empty");
        return None;
    }
    let created_by = created_by(&scope.state.arguments.text(), &argv);
    let options = scope.stages.options;
    let agent = agents.first().filter(|_| !scope.state.env.contains(AGENT_VARIABLE));
    let mut env = scope.state.env.variables().clone();
    if let Some(first) = agent {
        env.push(AGENT_VARIABLE.to_owned(), first.clone());
    }
    let op = Run {
        argv,
        env,
        proxy: proxy(scope),
        cwd: scope.state.directory().to_owned(),
        user: scope.state.config.config.user.clone(),
        hostname: options.build_args.get(HOSTNAME_ARGUMENT).map_or(HOSTNAME, String::as_str).to_owned(),
        platform: scope.state.machine.clone(),
        network,
        security,
        mounts,
        secret_env,
        script,
        repetition: 0,
        limits: options.limits.clone(),
    };
    scope.layer(instruction, Op::Run(op), inputs, created_by)
}

/// Returns the line of the history.
fn created_by(arguments: &str, argv: &[String]) -> String {
    let (before, after) = ("RUN ", " # buildkit");
    let length = argv.iter().map(|word| word.len() + 1).sum::<usize>();
    let mut line = String::with_capacity(before.len() + arguments.len() + length + after.len());
    line.extend([before, arguments]);
    for (index, word) in argv.iter().enumerate() {
        line.extend([if index == 0 { "" } else { " " }, word]);
    }
    line + after
}

fn network(scope: &mut Scope<'_, '_>, flag: Option<&Spanned<String>>) -> Option<RunNetwork> {
    let Some(flag) = flag else { return Some(scope.stages.options.network) };
    match flag.value.as_str() {
        "default" => Some(scope.stages.options.network),
        "none" => Some(RunNetwork::None),
        "host" => {
            let allowed = scope.stages.options.entitlements.network_host;
            entitled(scope, flag, allowed, Entitlements::NETWORK_HOST).then_some(RunNetwork::Host)
        }
        other => {
            let message = format!("invalid network mode \"{other}\"{}", NETWORKS.question(other));
            scope.report(Diagnostic::error(flag.span, message).help(NETWORKS.list()));
            None
        }
    }
}

fn security(scope: &mut Scope<'_, '_>, flag: Option<&Spanned<String>>) -> Option<RunSecurity> {
    let Some(flag) = flag else { return Some(RunSecurity::Sandbox) };
    match flag.value.as_str() {
        "sandbox" => Some(RunSecurity::Sandbox),
        "insecure" => {
            let allowed = scope.stages.options.entitlements.security_insecure;
            entitled(scope, flag, allowed, Entitlements::SECURITY_INSECURE).then_some(RunSecurity::Insecure)
        }
        other => {
            let message = format!("security \"{other}\" is not valid{}", SECURITY.question(other));
            scope.report(Diagnostic::error(flag.span, message).help(SECURITY.list()));
            None
        }
    }
}

/// Reports what is not allowed.
fn entitled(scope: &mut Scope<'_, '_>, flag: &Spanned<String>, allowed: bool, name: &str) -> bool {
    if !allowed {
        let diagnostic = Diagnostic::error(flag.span, format!("entitlement {name} is not allowed"));
        scope.report(diagnostic.help(format!("allow it with `--allow {name}`")));
    }
    allowed
}

/// Returns what is executed, and the file it is in if it is a script of its own (reference: section 1.3, RUN).
fn command(scope: &Scope<'_, '_>, run: &ast::Run) -> (Vec<String>, Option<Script>) {
    let Command::Shell(text) = &run.command else { return (scope.arguments(&run.command), None) };
    match run.heredocs.as_slice() {
        [] => (scope.with_shell(&text.value), None),
        [heredoc] if run.script => script(scope, heredoc),
        heredocs => {
            // The shell reads them itself, so they are handed on as they stand.
            let bodies = heredocs.iter().map(|heredoc| format!("\n{}{}", heredoc.raw, heredoc.name));
            let text: String = [text.value.clone()].into_iter().chain(bodies).collect();
            (scope.with_shell(&text), None)
        }
    }
}

fn script(scope: &Scope<'_, '_>, heredoc: &Heredoc) -> (Vec<String>, Option<Script>) {
    let body = &heredoc.body.text;
    if !body.starts_with("#!") {
        return (scope.with_shell(body), None);
    }
    let name = match heredoc.name.rsplit('/').next() {
        None | Some("" | "." | "..") => "script",
        Some(name) => name,
    };
    let path = format!("{SCRIPTS}/{name}");
    let bytes = body.as_bytes().to_vec();
    (scope.with_shell(&path), Some(Script { path, bytes }))
}

/// Returns proxy settings in both cases, without those that a stage defines itself.
fn proxy(scope: &Scope<'_, '_>) -> Vec<(String, String)> {
    let given = &scope.stages.options.build_args;
    let mut pairs = Vec::new();
    for name in PROXIES {
        let value = given.iter().find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty());
        let Some((_, value)) = value else { continue };
        let spellings = [name.to_uppercase(), name.to_owned()];
        let missing = spellings.into_iter().filter(|spelling| !scope.state.env.contains(spelling));
        pairs.extend(missing.map(|spelling| (spelling, value.clone())));
    }
    pairs
}

/// What the mounts of a command come to.
#[derive(Default)]
struct Mounted {
    mounts: Vec<Mount>,
    secret_env: Vec<SecretEnv>,
    /// Where the sockets of SSH agents are, in the order of their mounts.
    agents: Vec<String>,
    inputs: Vec<Input>,
}

/// Returns the mounts with what they read. Of several at one place the last counts.
fn mounts(scope: &mut Scope<'_, '_>, flags: &[Spanned<String>]) -> Option<Mounted> {
    let mut mounted = Mounted::default();
    for flag in flags {
        let declared = declared(scope, flag)?;
        let (place, kind) = match declared.kind {
            mount::Kind::Tmpfs => (declared.target, MountKind::Tmpfs { size: declared.size }),
            mount::Kind::Bind => {
                let input = source(scope, flag, declared.from.as_deref())?;
                let input = position(&mut mounted.inputs, input);
                let (path, clamped) = (path::clean(&declared.source), path::leaves_root(&declared.source));
                (declared.target, MountKind::Bind { input, path, span: flag.span, clamped })
            }
            mount::Kind::Cache => {
                let cache = cache(scope, flag, &declared, &mut mounted.inputs)?;
                (declared.target, MountKind::Cache(cache))
            }
            mount::Kind::Secret => match secret(flag, declared, &mut mounted.secret_env) {
                Some((place, kind, read_only)) => {
                    add(scope, flag, &mut mounted.mounts, &place, read_only, kind)?;
                    continue;
                }
                None => continue,
            },
            mount::Kind::Ssh => {
                let read_only = declared.read_only;
                let (place, kind) = ssh(flag, declared, mounted.agents.len());
                mounted.agents.push(path::join(scope.state.directory(), &place));
                add(scope, flag, &mut mounted.mounts, &place, read_only, kind)?;
                continue;
            }
        };
        add(scope, flag, &mut mounted.mounts, &place, declared.read_only, kind)?;
    }
    Some(mounted)
}

fn add(
    scope: &mut Scope<'_, '_>,
    flag: &Spanned<String>,
    mounts: &mut Vec<Mount>,
    place: &str,
    read_only: bool,
    kind: MountKind,
) -> Option<()> {
    let target = path::join(scope.state.directory(), place);
    if target == "/" {
        let diagnostic = Diagnostic::error(flag.span, format!("invalid mount target \"{target}\""));
        scope.report(match place {
            "" => diagnostic.label("no target").help("say where it is to be seen: `target=/PATH`"),
            _ => diagnostic.help("a mount cannot take the place of the whole root: name a directory or file below it"),
        });
        return None;
    }
    mounts.retain(|mount| mount.target != target);
    mounts.push(Mount { target, read_only, kind });
    Some(())
}

fn cache(
    scope: &mut Scope<'_, '_>,
    flag: &Spanned<String>,
    declared: &mount::Declared,
    inputs: &mut Vec<Input>,
) -> Option<Cache> {
    let path = path::clean(&declared.source);
    let input = declared.from.as_ref().map(|from| source(scope, flag, Some(from)));
    let id = declared.cache_id(scope.stages.options);
    let mount::Declared { sharing, mode, uid, gid, .. } = *declared;
    let mut cache = Cache { id, sharing, base: None, subpath: None, directory: None };
    if path == "/" && (mode.is_some() || uid.is_some() || gid.is_some()) {
        // As with BuildKit, it is made for this, whatever `from` has; a part of something is as it is.
        let (mode, uid, gid) = (mode.unwrap_or(CACHE_MODE) & 0o777, uid.unwrap_or(0), gid.unwrap_or(0));
        input.map_or(Some(()), |input| input.map(drop))?;
        cache.directory = Some(CacheDirectory { mode, uid, gid });
    } else if let Some(input) = input {
        cache.base = Some((position(inputs, input?), path));
    } else {
        cache.subpath = Some(path).filter(|path| path != "/");
    }
    Some(cache)
}

/// Returns where a secret is mounted, if it is; one that goes into a variable alone is not.
fn secret(
    flag: &Spanned<String>,
    declared: mount::Declared,
    secret_env: &mut Vec<SecretEnv>,
) -> Option<(String, MountKind, bool)> {
    let id = declared.secret_id();
    let mount::Declared { target, required, env, mode, uid, gid, read_only, .. } = declared;
    let secret = SecretRef { id, required, span: flag.span };
    let place = match &env {
        None if target.is_empty() => format!("{SECRETS}/{}", mount::last(&secret.id)),
        _ => target,
    };
    if let Some(name) = env {
        secret_env.retain(|known| known.name != name);
        secret_env.push(SecretEnv { name, secret: secret.clone() });
    }
    if place.is_empty() {
        return None;
    }
    let (mode, uid, gid) = (mode.unwrap_or(SECRET_MODE), uid.unwrap_or(0), gid.unwrap_or(0));
    Some((place, MountKind::Secret { secret, mode, uid, gid }, read_only))
}

/// Returns where the socket of an agent is mounted, which is the `number`th of the command.
fn ssh(flag: &Spanned<String>, declared: mount::Declared, number: usize) -> (String, MountKind) {
    let id = declared.ssh_id();
    let mount::Declared { target, required, mode, uid, gid, .. } = declared;
    let agent = SecretRef { id, required, span: flag.span };
    let place = if target.is_empty() { format!("{AGENTS}{number}") } else { target };
    let (mode, uid, gid) = (mode.unwrap_or(AGENT_MODE), uid.unwrap_or(0), gid.unwrap_or(0));
    (place, MountKind::Ssh { agent, mode, uid, gid })
}

fn declared(scope: &mut Scope<'_, '_>, flag: &Spanned<String>) -> Option<mount::Declared> {
    let escape = scope.escape(flag.span);
    let mut expand = |value: &str, at| scope.expand(&Word::parse(value, part(flag, at), escape));
    match mount::parse(&flag.value, &mut expand) {
        Ok(declared) => Some(declared),
        Err(mount::Invalid::Reported) => None,
        Err(mount::Invalid::Because { mistake, at }) => {
            scope.report(mistake.at(at.map_or(flag.span, |at| part(flag, at))));
            None
        }
    }
}

/// Returns the span of a part of a flag's value: all of it if the value is not written as it is.
fn part(flag: &Spanned<String>, at: Range<usize>) -> Span {
    let Span { source, start, .. } = flag.span;
    let start = start as usize;
    if flag.span.len() == flag.value.len() { Span::new(source, start + at.start, start + at.end) } else { flag.span }
}

fn source(scope: &mut Scope<'_, '_>, flag: &Spanned<String>, from: Option<&str>) -> Option<Input> {
    let Some(name) = from else { return Some(Input::Context(ContextName::Main)) };
    let source: Source = match scope.stages.graph.source(name, flag.span) {
        Ok(source) => source,
        Err(diagnostic) => {
            scope.report(diagnostic);
            return None;
        }
    };
    scope.stages.input(&source, scope.index, flag.span)
}

/// Returns where `input` stands among the inputs, adding it if it is new.
fn position(inputs: &mut Vec<Input>, input: Input) -> usize {
    inputs.iter().position(|known| *known == input).unwrap_or_else(|| {
        inputs.push(input);
        inputs.len() - 1
    })
}
