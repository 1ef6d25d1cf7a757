//! The flags of `kiln build`: those of `docker buildx build`, honored or refused with a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use image::layer::Compression;
use image::{Platform, Reference};
use plan::{GitSource, HttpSource, Limits, RunNetwork};
use sandbox::Rlimit;

use super::annotations::Annotations;
use super::call::Call;
use super::entitlements;
use super::http;
use super::secrets::SecretSources;
use super::ssh::AgentSources;
use crate::error::Failure;
use crate::output::{self, Output, OutputKind};
use crate::progress::Mode;
use crate::{collect, resolve, settings};

#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// Build context: a directory, a git repository (URL[#REF[:DIRECTORY]]), or a tar or a Dockerfile: a URL, or `-` for stdin
    context: String,
    /// Dockerfile [default: CONTEXT/Dockerfile]; `-` for stdin, or a URL
    #[arg(short, long, value_name = "PATH")]
    file: Option<String>,
    /// Name for the image (repeatable)
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// Stage to build [default: the last]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Value of an ARG; without a value, from the environment (repeatable)
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// Another context: a directory, a git repository, the URL of a file, docker-image://REF or oci-layout://PATH[:TAG|@DIGEST] (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    build_context: Vec<String>,
    /// Platform to build for; several give an index of images (repeatable, or with commas) [default: DOCKER_DEFAULT_PLATFORM, else this machine's]
    #[arg(long, value_delimiter = ',')]
    platform: Vec<String>,
    /// Run every step again
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, hide_possible_values = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    no_cache: bool,
    /// Run the steps of these stages again
    #[arg(long, value_delimiter = ',', value_name = "STAGE")]
    no_cache_filter: Vec<String>,
    /// Ask registries what tags stand for, even when the image is in the store
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, hide_possible_values = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pull: bool,
    /// Send the image to the registry of each of its names
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, hide_possible_values = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    push: bool,
    /// Keep the image in the store: what happens anyway
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, hide_possible_values = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    load: bool,
    /// What to write: type=oci|docker|tar|local|image|registry[,dest=PATH], a directory, or `-` for a tar on stdout (repeatable)
    #[arg(short, long, value_name = "OUTPUT")]
    output: Vec<String>,
    /// Label for the image (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Annotation for the manifest; with `index:` in front the index, with `manifest[PLATFORM]:` one of several (repeatable)
    #[arg(long, value_name = "[PLACE:]NAME=VALUE")]
    annotation: Vec<String>,
    /// Network of RUN: default, none or host
    #[arg(long, value_name = "MODE", default_value = "default")]
    network: String,
    /// Let RUN ask for more: network.host, security.insecure (repeatable, or with commas)
    #[arg(long, value_delimiter = ',', value_name = "ENTITLEMENT")]
    allow: Vec<String>,
    /// Line for /etc/hosts of RUN (repeatable)
    #[arg(long, value_name = "NAME:IP")]
    add_host: Vec<String>,
    /// Resource limit of RUN (repeatable)
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Size of /dev/shm of RUN: bytes, or with k, m or g
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// Secret for RUN --mount=type=secret: a file, or a variable of the environment (repeatable)
    #[arg(long, value_name = "id=ID[,src=PATH|,env=NAME]")]
    secret: Vec<String>,
    /// SSH agent for RUN --mount=type=ssh: that of SSH_AUTH_SOCK, a socket, or private keys (repeatable)
    #[arg(long, value_name = "default|ID[=SOCKET|KEY[,KEY...]]")]
    ssh: Vec<String>,
    /// Write the image id to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<OsString>,
    /// Write what was built to a file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<OsString>,
    /// How to show progress: auto, tty, plain, json, rawjson or quiet [default: BUILDKIT_PROGRESS, else auto]
    #[arg(long, value_name = "MODE")]
    progress: Option<String>,
    /// Fail, and say why, if any step would have to run
    #[arg(long)]
    require_cache: bool,
    /// Show at the end where the time went
    #[arg(long)]
    timings: bool,
    /// Print nothing but the image id
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, hide_possible_values = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    quiet: bool,
    /// Find what is wrong or doubtful in the Dockerfile, without building: --call=check
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", hide_default_value = true, hide_possible_values = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    check: bool,
    /// Say something about the Dockerfile instead of building it: build, check, outline or targets[,format=json]
    #[arg(long, value_name = "WHAT")]
    call: Option<String>,
    #[command(flatten)]
    registry: resolve::RegistryArguments,
    /// Refused for now: flags of buildx that have no counterpart yet
    #[command(flatten)]
    refused: Refused,
}

/// Flags that are understood and refused: ignoring them would build something else than was asked for.
#[derive(Args, Debug)]
struct Refused {
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
    attest: Vec<String>,
    #[arg(long, hide = true)]
    cache_from: Vec<String>,
    #[arg(long, hide = true)]
    cache_to: Vec<String>,
    #[arg(long, hide = true)]
    cgroup_parent: Vec<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
    provenance: Vec<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
    sbom: Vec<String>,
    #[arg(long, hide = true)]
    builder: Vec<String>,
    #[command(flatten)]
    legacy: Legacy,
}

/// Flags of `docker build` from before BuildKit.
#[derive(Args, Debug)]
struct Legacy {
    /// Nothing is left of a step that could be removed.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rm: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    force_rm: Option<bool>,
    /// Nothing is sent that could be compressed.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    compress: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    squash: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_content_trust: Option<bool>,
    #[arg(short = 'D', long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    debug: Option<bool>,
    #[arg(short, long, hide = true)]
    memory: Option<String>,
    #[arg(long, hide = true)]
    memory_swap: Option<String>,
    #[arg(short, long, hide = true)]
    cpu_shares: Option<String>,
    #[arg(long, hide = true)]
    cpu_period: Option<String>,
    #[arg(long, hide = true)]
    cpu_quota: Option<String>,
    #[arg(long, hide = true)]
    cpuset_cpus: Option<String>,
    #[arg(long, hide = true)]
    cpuset_mems: Option<String>,
    #[arg(long, hide = true)]
    isolation: Option<String>,
    #[arg(long, hide = true)]
    security_opt: Vec<String>,
}

impl Legacy {
    /// Returns the flags that ask for something else than what happens anyway, and why that is not done.
    fn refused(&self) -> [(&'static str, bool, &'static str); 13] {
        const LIMITS: &str = "steps have the limits of kiln: start kiln in the cgroup you want";
        [
            ("--rm=false", self.rm == Some(false), "a step leaves no container that could be kept"),
            ("--squash", self.squash == Some(true), "each instruction that changes files makes a layer"),
            (
                "--disable-content-trust=false",
                self.disable_content_trust == Some(false),
                "signatures of images are not checked: name base images by their digests",
            ),
            ("--debug", self.debug == Some(true), "KILN_LOG=debug shows what kiln does"),
            ("--memory", self.memory.is_some(), LIMITS),
            ("--memory-swap", self.memory_swap.is_some(), LIMITS),
            ("--cpu-shares", self.cpu_shares.is_some(), LIMITS),
            ("--cpu-period", self.cpu_period.is_some(), LIMITS),
            ("--cpu-quota", self.cpu_quota.is_some(), LIMITS),
            ("--cpuset-cpus", self.cpuset_cpus.is_some(), LIMITS),
            ("--cpuset-mems", self.cpuset_mems.is_some(), LIMITS),
            (
                "--isolation",
                self.isolation.as_deref().is_some_and(|value| !matches!(value, "" | "default")),
                "it is for Windows, and kiln builds on Linux",
            ),
            (
                "--security-opt",
                !self.security_opt.is_empty(),
                "RUN --security=insecure with --allow security.insecure asks for more privileges",
            ),
        ]
    }
}

impl Refused {
    fn check(&self) -> Result<(), Failure> {
        let refused: [(&str, bool, &str); 4] = [
            ("--cache-from", !self.cache_from.is_empty(), "the cache is the local store for now"),
            ("--cache-to", !self.cache_to.is_empty(), "the cache is the local store for now"),
            (
                "--cgroup-parent",
                !self.cgroup_parent.is_empty(),
                "steps run in the cgroup of kiln: start kiln in the one you want",
            ),
            ("--builder", !self.builder.is_empty(), "kiln has no builder instances: it builds by itself"),
        ];
        for (flag, given, why) in refused.into_iter().chain(self.legacy.refused()) {
            if given {
                return Err(Failure::new(format!("{flag} is not supported: {why}")).code(2));
            }
        }
        // Saying "none, please" is what happens anyway.
        let attestations = [("--provenance", &self.provenance), ("--sbom", &self.sbom), ("--attest", &self.attest)];
        for (flag, values) in attestations {
            if values.iter().any(|v| !matches!(v.as_str(), "false" | "disabled=true" | "type=provenance,disabled=true"))
            {
                let failure = Failure::new(format!("{flag} is not supported: no attestations are made yet"));
                return Err(failure.help(format!("{flag}=false is accepted")).code(2));
            }
        }
        Ok(())
    }
}

/// The flags, checked.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) context: String,
    pub(crate) file: Option<String>,
    pub(crate) tags: Vec<Reference>,
    pub(crate) plan: plan::Options,
    pub(crate) contexts: BTreeMap<String, ContextValue>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) annotations: Annotations,
    pub(crate) pull: bool,
    pub(crate) iidfile: Option<PathBuf>,
    pub(crate) metadata_file: Option<PathBuf>,
    pub(crate) progress: Mode,
    /// Nothing may run.
    pub(crate) require_cache: bool,
    /// Show where the time went.
    pub(crate) timings: bool,
    pub(crate) mirrors: Vec<(String, String)>,
    /// Instead of building.
    pub(crate) call: Option<Call>,
    /// `SOURCE_DATE_EPOCH`, once the Dockerfile was read: it may be said there.
    pub(crate) epoch: Option<i64>,
    /// No file of a new layer is later than `epoch`.
    pub(crate) rewrite_timestamps: bool,
    /// Of new layers.
    pub(crate) compression: Compression,
    pub(crate) secrets: SecretSources,
    pub(crate) agents: AgentSources,
}

/// The value of a `--build-context`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ContextValue {
    Directory(PathBuf),
    Git(Box<GitSource>),
    Http(Box<HttpSource>),
    Image(Reference),
    /// Path of an OCI layout and the tag or digest after it.
    Layout {
        path: PathBuf,
        selector: Option<String>,
    },
}

impl Options {
    /// True if the context or the Dockerfile comes from stdin or from a server that is asked first of all.
    pub(crate) fn reads_elsewhere(&self) -> bool {
        let elsewhere = |text: &str| text == "-" || http::is_address(text);
        // Git does without threads, and a commit that is here without a namespace.
        let context = elsewhere(&self.context) && GitSource::parse_context(&self.context).is_none();
        context || self.file.as_deref().is_some_and(elsewhere)
    }

    /// True if an output needs the files themselves, whose owners only a namespace can read.
    pub(crate) fn wants_tree(&self) -> bool {
        self.outputs.iter().any(|o| matches!(o.kind, OutputKind::Local | OutputKind::Tar))
    }
}

impl Arguments {
    /// Checks every flag before anything is read or written.
    pub(crate) fn check(self) -> Result<Options, Failure> {
        self.refused.check()?;
        let given = |texts: &[String]| texts.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>();
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let tags = self.tag.iter().map(|t| resolve::tag_name(t)).collect::<Result<Vec<_>, _>>()?;
        let mut outputs = given(&self.output).iter().map(|o| Output::parse(o)).collect::<Result<Vec<_>, _>>()?;
        if self.push {
            outputs.push(Output::push());
        }
        outputs.iter().try_for_each(|output| output.check(&tags))?;
        let (iidfile, metadata_file) = (file("--iidfile", self.iidfile)?, file("--metadata-file", self.metadata_file)?);
        let platforms = distinct(settings::platforms(&self.platform)?);
        if platforms.len() > 1 && outputs.iter().any(|o| o.kind == OutputKind::Docker) {
            let failure = Failure::new("--output type=docker holds an image for one platform, and there are several");
            return Err(failure.help("type=oci holds them all").code(2));
        }
        let built = if platforms.is_empty() { &[Platform::host()][..] } else { &platforms };
        let annotations = Annotations::parse(&given(&self.annotation), built)?;
        if annotations.need_index() && outputs.iter().any(|o| o.kind == OutputKind::Docker) {
            let failure = Failure::new("--annotation: an archive of type=docker has no index to be annotated");
            return Err(failure.help("type=oci has one").code(2));
        }
        let build_args = build_args(&given(&self.build_arg))?;
        collect::check_limit()?;
        let contexts = self.build_context.iter().map(|c| context(c)).collect::<Result<BTreeMap<_, _>, _>>()?;
        let network = network(&self.network)?;
        let entitlements = entitlements::granted(&self.allow, network)?;
        let limits = Limits {
            add_hosts: self.add_host.iter().map(|h| host(h)).collect::<Result<_, _>>()?,
            ulimits: self.ulimit.iter().map(|u| ulimit(u)).collect::<Result<_, _>>()?,
            shm_size: some(self.shm_size).as_deref().map(bytes).transpose()?,
        };
        let call = match &self.call {
            Some(call) => Call::parse(call)?,
            None => self.check.then(Call::check),
        };
        Ok(Options {
            call,
            plan: plan::Options {
                target: some(self.target),
                build_args,
                labels: pairs("--label", &given(&self.label))?,
                contexts: contexts.iter().map(|(name, value)| (name.clone(), named_context(name, value))).collect(),
                platforms,
                build_platform: Platform::host(),
                no_cache: self.no_cache,
                no_cache_filter: self.no_cache_filter.into_iter().collect::<BTreeSet<_>>(),
                network,
                entitlements,
                limits,
            },
            context: self.context,
            file: some(self.file),
            tags,
            contexts,
            annotations,
            pull: self.pull,
            iidfile,
            metadata_file,
            progress: if self.quiet { Mode::Quiet } else { progress(self.progress)? },
            timings: self.timings,
            require_cache: self.require_cache,
            mirrors: self.registry.mirrors,
            epoch: None,
            rewrite_timestamps: agreed("rewrite-timestamp", outputs.iter().map(|o| o.rewrite_timestamp))?
                .unwrap_or(true),
            compression: agreed("compression", outputs.iter().map(|o| o.compression))?.unwrap_or_default(),
            outputs,
            secrets: SecretSources::parse(&self.secret)?,
            agents: AgentSources::parse(&self.ssh)?,
        })
    }
}

/// Reads the name of a file that is written at the end: it must be possible to.
fn file(flag: &str, name: Option<OsString>) -> Result<Option<PathBuf>, Failure> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    output::check_file(flag, Path::new(&name))?;
    Ok(Some(name.into()))
}

/// Returns what an option of all outputs comes to, `None` if none has it: they share one image.
fn agreed<T: PartialEq>(option: &str, values: impl Iterator<Item = Option<T>>) -> Result<Option<T>, Failure> {
    let mut given = values.flatten();
    let first = given.next();
    if given.any(|other| Some(&other) != first.as_ref()) {
        let failure = Failure::new(format!("--output: {option} differs between outputs"));
        return Err(failure.help("all outputs of a build have the same image: say the same for all").code(2));
    }
    Ok(first)
}

/// Returns each platform once, where it was named first.
fn distinct(platforms: Vec<Platform>) -> Vec<Platform> {
    let mut seen = BTreeSet::new();
    platforms.into_iter().filter(|platform| seen.insert(platform.clone())).collect()
}

/// `NAME=VALUE`, or `NAME` from the environment; unset there, it is not passed.
fn build_arg(text: &str) -> Result<Option<(String, String)>, Failure> {
    match text.split_once('=') {
        Some(("", _)) => Err(Failure::new(format!("--build-arg {text}: the name is empty")).code(2)),
        Some((name, value)) => Ok(Some((name.to_owned(), value.to_owned()))),
        None => Ok(std::env::var(text).ok().map(|value| (text.to_owned(), value))),
    }
}

/// Reads `--build-arg`; `SOURCE_DATE_EPOCH` of the environment is one of its own accord, as with buildx.
fn build_args(flags: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut args: BTreeMap<_, _> = flags.iter().filter_map(|a| build_arg(a).transpose()).collect::<Result<_, _>>()?;
    if let Some(epoch) = settings::non_empty(plan::EPOCH_ARGUMENT) {
        args.entry(plan::EPOCH_ARGUMENT.to_owned()).or_insert(epoch);
    }
    Ok(args)
}

fn pairs(flag: &str, texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some(("", _)) => Err(Failure::new(format!("{flag} {text}: the name is empty")).code(2)),
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Ok((text.clone(), String::new())),
        })
        .collect()
}

fn context(text: &str) -> Result<(String, ContextValue), Failure> {
    let Some((name, value)) = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty()) else {
        return Err(Failure::new(format!("--build-context {text}: expected NAME=VALUE")).code(2));
    };
    let unsupported = |what: &str| {
        Failure::new(format!("--build-context {}: {what} is not supported yet", plan::redact(text))).code(2)
    };
    let value = if let Some(reference) = value.strip_prefix("docker-image://") {
        ContextValue::Image(resolve::reference(reference)?.or_latest())
    } else if let Some(layout) = value.strip_prefix("oci-layout://") {
        let (path, selector) = split_layout(layout);
        ContextValue::Layout { path: path.into(), selector }
    } else if value.starts_with("target:") {
        return Err(unsupported("a bake target"));
    } else if let Some(source) = GitSource::parse(value) {
        let invalid = |error| Failure::from_error(&error).context(format!("--build-context {name}")).code(2);
        ContextValue::Git(Box::new(source.map_err(invalid)?))
    } else if let Some(source) =
        http::named(value).map_err(|failure| failure.context(format!("--build-context {name}")).code(2))?
    {
        ContextValue::Http(Box::new(source))
    } else if value.contains("://") {
        return Err(unsupported("a remote context of this kind"));
    } else {
        ContextValue::Directory(value.into())
    };
    Ok((name.to_lowercase(), value))
}

/// Splits `PATH[:TAG|@DIGEST]`; a colon before a slash belongs to the path.
fn split_layout(text: &str) -> (&str, Option<String>) {
    if let Some((path, digest)) = text.split_once('@') {
        return (path, Some(digest.to_owned()));
    }
    match text.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') && !path.is_empty() => (path, Some(tag.to_owned())),
        _ => (text, None),
    }
}

fn named_context(name: &str, value: &ContextValue) -> plan::NamedContext {
    match value {
        ContextValue::Directory(_) | ContextValue::Git(_) | ContextValue::Http(_) => plan::NamedContext::Directory,
        ContextValue::Image(reference) => plan::NamedContext::Image(reference.clone()),
        ContextValue::Layout { .. } => plan::NamedContext::Image(super::input::layout_name(name)),
    }
}

fn host(text: &str) -> Result<(String, String), Failure> {
    let parts = text.split_once('=').or_else(|| text.split_once(':'));
    match parts {
        Some((name, "host-gateway")) if !name.is_empty() => {
            let why = "host-gateway is not supported: there is no bridge whose address would be this machine's";
            Err(Failure::new(format!("--add-host {text}: {why}"))
                .help("with --network=host a step reaches this machine at 127.0.0.1")
                .code(2))
        }
        Some((name, address)) if !name.is_empty() => {
            let bare = address.trim_start_matches('[').trim_end_matches(']');
            bare.parse::<std::net::IpAddr>()
                .map(|ip| (name.to_owned(), ip.to_string()))
                .map_err(|_| Failure::new(format!("--add-host {text}: `{address}` is not an IP address")).code(2))
        }
        _ => Err(Failure::new(format!("--add-host {text}: expected NAME:IP")).code(2)),
    }
}

fn ulimit(text: &str) -> Result<(String, u64, u64), Failure> {
    let wrong = || Failure::new(format!("--ulimit {text}: expected NAME=SOFT[:HARD]")).code(2);
    let number = |n: &str| if n == "-1" { Some(u64::MAX) } else { n.parse().ok() };
    let (name, limits) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = number(soft).zip(number(hard)).ok_or_else(wrong)?;
    if soft > hard {
        return Err(Failure::new(format!("--ulimit {text}: the soft limit is above the hard limit")).code(2));
    }
    if Rlimit::named(name, soft, hard).is_none() {
        let failure = Failure::new(format!("--ulimit {text}: unknown limit `{name}`")).code(2);
        return Err(match dockerfile::diagnostic::nearest(name, Rlimit::names()) {
            Some(known) => failure.help(format!("did you mean `{known}`?")),
            None => failure,
        });
    }
    Ok((name.to_owned(), soft, hard))
}

/// Reads a size: bytes, or with `b`, `k`, `m` or `g` (powers of 1024).
pub(crate) fn bytes(text: &str) -> Result<u64, Failure> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches('b');
    let (digits, shift) = match digits.as_bytes().last() {
        Some(b'k') => (&digits[..digits.len() - 1], 10),
        Some(b'm') => (&digits[..digits.len() - 1], 20),
        Some(b'g') => (&digits[..digits.len() - 1], 30),
        _ => (digits, 0),
    };
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)).ok_or_else(|| {
        Failure::new(format!("invalid size `{text}`")).help("expected bytes, or a number with k, m or g").code(2)
    })
}

/// `--progress`, else what the environment says, as with buildx.
fn progress(flag: Option<String>) -> Result<Mode, Failure> {
    const VARIABLE: &str = "BUILDKIT_PROGRESS";
    match flag {
        Some(text) => Mode::parse(&text),
        None => {
            Mode::parse(&settings::non_empty(VARIABLE).unwrap_or_default()).map_err(|failure| failure.context(VARIABLE))
        }
    }
}

fn network(text: &str) -> Result<RunNetwork, Failure> {
    match text {
        "default" | "" => Ok(RunNetwork::Default),
        "none" => Ok(RunNetwork::None),
        "host" => Ok(RunNetwork::Host),
        _ => {
            Err(Failure::new(format!("invalid network mode \"{text}\"")).help("expected default, none or host").code(2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, value) in [("0", 0), ("12", 12), ("1k", 1024), ("2MB", 2 << 20), ("1g", 1 << 30)] {
            assert_eq!(bytes(text).ok(), Some(value), "{text}");
        }
        for text in ["", "x", "-1", "1t", "99999999999g"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn layouts_may_have_a_tag_or_digest() {
        assert_eq!(split_layout("/a/b"), ("/a/b", None));
        assert_eq!(split_layout("/a:b/c"), ("/a:b/c", None));
        assert_eq!(split_layout("dir:v1"), ("dir", Some("v1".to_owned())));
        assert_eq!(split_layout("dir@sha256:ab"), ("dir", Some("sha256:ab".to_owned())));
    }

    #[test]
    fn hosts_take_both_separators_and_ipv6() {
        assert_eq!(host("db:10.0.0.1").ok(), Some(("db".into(), "10.0.0.1".into())));
        assert_eq!(host("db=[::1]").ok(), Some(("db".into(), "::1".into())));
        assert!(host("db").is_err());
        assert!(host("db:nowhere").is_err());
    }
}
