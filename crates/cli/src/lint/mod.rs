//! Checking a Dockerfile without building it: what all passes find, in the order of the text.

pub(crate) mod report;

use std::collections::HashSet;

use dockerfile::ignore::Ignore;
use dockerfile::lint::Checks;
use dockerfile::{Diagnostic, Diagnostics, Dockerfile, Severity, Sources, Span, Spanned};
use image::ImageConfig;
use plan::{BaseRequest, Bases, ContextName, CopySource, Input, Op, Options, Plan, ResolvedBase};
use store::Store;

use crate::error::Failure;
use crate::resolve;

/// The build argument that takes the place of `# check=…`.
const CHECK_ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// Files with more stages than this are checked from their target alone.
const MAX_STAGES: usize = 64;

/// What was found in one file.
#[derive(Debug)]
pub(crate) struct Findings {
    /// In the order of the text.
    pub(crate) items: Vec<Diagnostic>,
    /// What could not be checked, and why.
    pub(crate) notes: Vec<String>,
}

impl Findings {
    /// True if any finding is an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.items.iter().any(|found| found.severity == Severity::Error)
    }
}

/// Lets the build argument say which rules speak, in place of the file.
pub(crate) fn take_argument(dockerfile: &mut Dockerfile, options: &Options) -> Result<(), Failure> {
    let Some(value) = options.build_args.get(CHECK_ARGUMENT) else { return Ok(()) };
    Checks::parse(value).map_err(|reason| Failure::new(format!("--build-arg {CHECK_ARGUMENT}: {reason}")))?;
    let span = Span::new(dockerfile.source, 0, 0);
    dockerfile.directives.check = Some(Spanned { value: value.clone(), span });
    Ok(())
}

/// Checks a parsed file; `diagnostics` are those of the parser. Base images are looked up in the store alone: a check
/// needs no network.
pub(crate) fn check(
    dockerfile: &Dockerfile,
    mut diagnostics: Diagnostics,
    sources: &mut Sources,
    options: &Options,
    store: Option<&Store>,
    ignore: Option<&Ignore>,
) -> Findings {
    if !diagnostics.has_errors() {
        dockerfile::lint(dockerfile, &mut diagnostics);
    }
    let mut notes = Vec::new();
    if !diagnostics.has_errors() {
        let mut lowered =
            Lowered { dockerfile, options, store, ignore, missing: Vec::new(), chosen_shells: Vec::new() };
        let mut found = lowered.all(sources);
        dockerfile::lint::retain(dockerfile, &mut found);
        forget_shells(&mut diagnostics, &lowered.chosen_shells);
        diagnostics.extend(found);
        notes = lowered.notes();
    }
    Findings { items: diagnostics.sorted(), notes }
}

/// The check that lowering makes possible.
struct Lowered<'a> {
    dockerfile: &'a Dockerfile,
    options: &'a Options,
    store: Option<&'a Store>,
    ignore: Option<&'a Ignore>,
    /// Names of images that are not in the store.
    missing: Vec<String>,
    chosen_shells: Vec<Span>,
}

impl Lowered<'_> {
    /// Checks the target, then every other stage: nobody builds those now, so only their warnings count.
    fn all(&mut self, sources: &mut Sources) -> Diagnostics {
        let mut found = self.target(self.options, sources);
        let stages = self.dockerfile.stages.len();
        let others = if self.options.target.is_none() && stages <= MAX_STAGES { stages.saturating_sub(1) } else { 0 };
        for stage in 0..others {
            let options = Options { target: Some(stage.to_string()), ..self.options.clone() };
            let mut more = self.target(&options, sources);
            more.retain(|found| found.severity == Severity::Warning);
            found.extend(more);
        }
        let mut seen = HashSet::new();
        found.retain(|found| seen.insert((found.rule, found.span, found.message.clone())));
        if !self.missing.is_empty() {
            // What the base sets is not known.
            found.retain(|found| found.rule != Some("UndefinedVar"));
        }
        found
    }

    /// Returns what could not be checked, and why.
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.missing.iter().map(|name| missing_note(name)).collect();
        if self.dockerfile.stages.len() > MAX_STAGES {
            notes.push(format!("only what the target needs was checked: the file has more than {MAX_STAGES} stages"));
        }
        notes
    }

    fn target(&mut self, options: &Options, sources: &mut Sources) -> Diagnostics {
        let mut found = Diagnostics::default();
        let mut known = Bases::new();
        loop {
            let missing = plan::bases(self.dockerfile, &known, options, sources, &mut found);
            if missing.is_empty() || found.has_errors() {
                break;
            }
            for request in missing {
                let base = self.base(&request);
                known.insert(request.key, base);
            }
        }
        if !found.has_errors() {
            let plan = plan::lower(self.dockerfile, &known, options, sources, &mut found);
            if let (Some(plan), Some(ignore)) = (&plan, self.ignore) {
                found.extend(ignored_copies(plan, ignore, sources));
            }
            self.chosen_shells.extend(plan.into_iter().flat_map(|plan| plan.chosen_shells));
        }
        // What kiln cannot build yet is right all the same.
        found.retain(|found| found.severity == Severity::Warning || !found.message.ends_with("not supported yet"));
        found
    }

    /// Returns the image of the store, or an empty one in its place.
    fn base(&mut self, request: &BaseRequest) -> ResolvedBase {
        if let Some(base) = self.store.and_then(|store| resolve::known_base(store, request)) {
            return base;
        }
        let name = request.key.reference.familiar();
        if !self.missing.contains(&name) {
            self.missing.push(name);
        }
        stand_in(request)
    }
}

fn missing_note(name: &str) -> String {
    format!(
        "image {name} is not in the store: UndefinedVar and InvalidBaseImagePlatform were not checked (`kiln pull {name}` helps)"
    )
}

/// Returns an image of which nothing is known but its platform.
fn stand_in(request: &BaseRequest) -> ResolvedBase {
    let digest = image::Digest::of(b"");
    let descriptor = serde_json::json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 0, "digest": digest.to_string(),
    });
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": descriptor, "layers": [] });
    ResolvedBase {
        reference: request.key.reference.clone(),
        descriptor: serde_json::from_value(descriptor).expect("a descriptor has these fields"),
        manifest: serde_json::from_value(manifest).expect("a manifest has these fields"),
        config: ImageConfig {
            architecture: request.key.platform.architecture.clone(),
            os: request.key.platform.os.clone(),
            variant: request.key.platform.variant.clone(),
            ..ImageConfig::default()
        },
    }
}

/// `CopyIgnoredFile`: a source that the ignore file hides, so that nothing is found. With negated patterns a part of
/// it may be there all the same, and nothing is said.
pub(crate) fn ignored_copies(plan: &Plan, ignore: &Ignore, sources: &Sources) -> Vec<Diagnostic> {
    if ignore.is_empty() || ignore.has_negation() {
        return Vec::new();
    }
    let mut found: Vec<Diagnostic> = Vec::new();
    for vertex in &plan.vertices {
        let Op::Copy(copy) = &vertex.op else { continue };
        let text = sources.get(vertex.span.source).map_or("", |source| source.slice(vertex.span));
        let verb = if text.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("add")) { "Add" } else { "Copy" };
        for source in &copy.sources {
            let CopySource::Path { input, pattern, span, .. } = source else { continue };
            if !matches!(vertex.inputs.get(*input), Some(Input::Context(ContextName::Main))) {
                continue;
            }
            let path = pattern.trim_start_matches('/');
            let whole = matches!(path, "" | ".");
            // The root itself cannot be left out, but all there is in it can.
            if ignore.is_ignored(if whole { "\u{1}" } else { path }) {
                let path = if whole { "." } else { path };
                let message = format!(
                    "Attempting to {verb} file {} that is excluded by .dockerignore",
                    dockerfile::word::quote(path)
                );
                found.push(Diagnostic::warning("CopyIgnoredFile", *span, message));
            }
        }
    }
    found
}

/// Takes out what the tree alone says of commands whose shell the base image chose.
pub(crate) fn forget_shells(diagnostics: &mut Diagnostics, chosen: &[Span]) {
    diagnostics.retain(|found| found.rule != Some("JSONArgsRecommended") || !chosen.contains(&found.span));
}

/// Returns what is said when warnings are not accepted: `lint violation found for rules: A, B`.
pub(crate) fn violation(findings: &[Diagnostic]) -> Option<String> {
    let mut rules: Vec<&str> = findings.iter().filter_map(|found| found.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    (!rules.is_empty()).then(|| format!("lint violation found for rules: {}", rules.join(", ")))
}

/// Returns the options of a build without flags.
pub(crate) fn options() -> Options {
    Options {
        target: None,
        build_args: std::collections::BTreeMap::new(),
        labels: Vec::new(),
        contexts: std::collections::BTreeMap::new(),
        platforms: Vec::new(),
        build_platform: image::Platform::host(),
        no_cache: false,
        no_cache_filter: std::collections::BTreeSet::new(),
        network: plan::RunNetwork::Default,
        // Whether a build may is not to be told from the file.
        entitlements: plan::Entitlements { network_host: true, security_insecure: true },
        limits: plan::Limits::default(),
    }
}
