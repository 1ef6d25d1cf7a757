//! A Dockerfile with options and base images, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dockerfile::{Diagnostic, Diagnostics, Sources};
use image::{ImageConfig, Platform, Reference};
use plan::{BaseKey, BaseRequest, Bases, Entitlements, Limits, NamedContext, Options, Plan, ResolvedBase, RunNetwork};

/// Everything that lowering came to.
pub(crate) struct Outcome {
    pub(crate) plan: Option<Plan>,
    pub(crate) epoch: Option<plan::Epoch>,
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Diagnostics,
    /// In the order they were asked for.
    pub(crate) requests: Vec<BaseRequest>,
}

/// Configurations by full name, with ` os/arch` behind it if it is for that platform alone.
pub(crate) type Images = BTreeMap<String, ImageConfig>;

pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/plan")
}

/// Reads a map of names to configurations.
pub(crate) fn read_images(path: &Path) -> Images {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let images: Images = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let full = |name: &str| {
        let (name, platform) = name.split_once(' ').map_or((name, ""), |(name, platform)| (name, platform));
        format!("{} {platform}", name.parse::<Reference>().unwrap().or_latest()).trim_end().to_owned()
    };
    images.into_iter().map(|(name, config)| (full(&name), config)).collect()
}

pub(crate) fn default_images() -> Images {
    read_images(&testdata().join("bases.json"))
}

pub(crate) fn default_options() -> Options {
    Options {
        target: None,
        build_args: BTreeMap::new(),
        labels: Vec::new(),
        contexts: BTreeMap::new(),
        platforms: Vec::new(),
        build_platform: "linux/amd64".parse().unwrap(),
        no_cache: false,
        no_cache_filter: BTreeSet::new(),
        network: RunNetwork::Default,
        entitlements: Entitlements::default(),
        limits: Limits::default(),
    }
}

/// Reads lines such as `build-arg A=1`, named after the flags of the command line.
pub(crate) fn read_options(text: &str) -> Options {
    let mut options = default_options();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (flag, value) = line.split_once(' ').unwrap_or((line, ""));
        let pair = || value.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap();
        match flag {
            "target" => options.target = Some(value.to_owned()),
            "build-arg" => drop(options.build_args.insert(pair().0, pair().1)),
            "label" => options.labels.push(pair()),
            "context" => drop(options.contexts.insert(pair().0, context(&pair().1))),
            "platform" => options.platforms.push(value.parse().unwrap()),
            "build-platform" => options.build_platform = value.parse().unwrap(),
            "allow" if value == Entitlements::NETWORK_HOST => options.entitlements.network_host = true,
            "allow" => options.entitlements.security_insecure = true,
            "no-cache" => options.no_cache = true,
            "no-cache-filter" => drop(options.no_cache_filter.insert(value.to_owned())),
            "network" => options.network = if value == "none" { RunNetwork::None } else { RunNetwork::Host },
            other => panic!("unknown option {other}"),
        }
    }
    options
}

fn context(value: &str) -> NamedContext {
    match value.strip_prefix("docker-image://") {
        Some(name) => NamedContext::Image(name.parse().unwrap()),
        None => NamedContext::Directory,
    }
}

/// Parses and lowers, answering for base images out of `images`.
pub(crate) fn lower(text: &str, options: &Options, images: &Images) -> Outcome {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let mut requests = Vec::new();
    let source = sources.add("Dockerfile", text);
    let dockerfile = dockerfile::parse(&source, &mut diagnostics);
    let epoch = plan::epoch(&dockerfile, options, &mut diagnostics);
    let mut known = Bases::new();
    while !diagnostics.has_errors() {
        let missing = plan::bases(&dockerfile, &known, options, &mut sources, &mut diagnostics);
        if missing.is_empty() {
            break;
        }
        for request in missing {
            answer(&request, images, &mut known, &mut diagnostics);
            requests.push(request);
        }
    }
    let ready = !diagnostics.has_errors();
    let plan = ready.then(|| plan::lower(&dockerfile, &known, options, &mut sources, &mut diagnostics)).flatten();
    Outcome { plan, epoch, sources, diagnostics, requests }
}

fn answer(request: &BaseRequest, images: &Images, known: &mut Bases, diagnostics: &mut Diagnostics) {
    let BaseKey { reference, platform } = &request.key;
    let of_platform = images.get(&format!("{reference} {platform}"));
    match of_platform.or_else(|| images.get(&reference.to_string())) {
        Some(config) => drop(known.insert(request.key.clone(), resolved(reference, config))),
        None => {
            let diagnostic = Diagnostic::error(request.span, format!("no image {reference} for {platform}"));
            diagnostics.push(request.help.iter().fold(diagnostic, Diagnostic::help));
        }
    }
}

fn resolved(reference: &Reference, config: &ImageConfig) -> ResolvedBase {
    let descriptor = format!(
        r#"{{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "digest": "sha256:{}"}}"#,
        "0".repeat(64),
    );
    let manifest = format!(r#"{{"schemaVersion": 2, "config": {descriptor}, "layers": []}}"#);
    ResolvedBase {
        reference: reference.clone(),
        descriptor: serde_json::from_str(&descriptor).unwrap(),
        manifest: serde_json::from_str(&manifest).unwrap(),
        config: config.clone(),
    }
}

/// Lowers with nothing but a Dockerfile, which must be right.
#[track_caller]
pub(crate) fn lower_text(text: &str) -> Plan {
    let outcome = lower(text, &default_options(), &default_images());
    let messages: Vec<_> = outcome.diagnostics.items().iter().map(|d| d.message.clone()).collect();
    outcome.plan.unwrap_or_else(|| panic!("{text}\n{}", messages.join("\n")))
}

/// The platform of the default options.
pub(crate) fn build_platform() -> Platform {
    default_options().build_platform
}
