//! What a build gives: the image in the store, its names, and what `--output` asks for.

use std::path::Path;

use image::config::History;
use image::descriptor::digest_of;
use image::layer::PackOptions;
use image::manifest::MAX_MANIFEST;
use image::{Descriptor, Manifest};
use plan::{Op, Plan, ResolvedBase};
use registry::Registry;
use serde_json::json;
use solver::{Contexts, LocalWorker, Snapshot, Solution, WorkerSettings};
use store::{Draft, DraftId, DraftImage, Store, Target};

use super::arguments::Options;
use crate::assemble::{self, Assembly, Line};
use crate::error::Failure;
use crate::output::tree::Files;
use crate::output::{self, Built, Output, OutputKind};
use crate::progress;
use crate::timings::Timings;

/// What was made.
#[derive(Debug)]
pub(crate) struct Results {
    /// The manifest, or the index of one for each platform; `None` if nothing asked for it: then nothing is packed either.
    pub(crate) image: Option<Image>,
    /// Where outputs went, for people.
    pub(crate) written: Vec<String>,
}

/// An image whose digest is known.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) target: Descriptor,
    /// Of the configuration, unless it is an index.
    pub(crate) config: Option<Descriptor>,
}

impl Image {
    /// Returns the id of what was built: that of the configuration, as docker has it; an index has none, so its own.
    pub(crate) fn id(&self) -> String {
        self.config.as_ref().unwrap_or(&self.target).digest().to_string()
    }
}

/// Drafts the image, names it and writes every output.
pub(super) fn write(
    options: &Options,
    plan: &Plan,
    solution: &Solution,
    store: &Store,
    registry: &Registry,
    contexts: &Contexts,
    timings: &Timings,
) -> Result<Results, Failure> {
    let targets: Vec<Made<'_>> =
        plan.targets.iter().zip(&solution.targets).map(|(target, snapshot)| made(plan, target, snapshot)).collect();
    let draft = draft(options, &targets);
    let mut results = Results { image: None, written: Vec::new() };
    let id = timings.measure("name", || name(options, store, &draft, &mut results))?;
    if needs_digest(options) {
        let target = timings.measure("assemble", || match id {
            // Its names have the digest from now on.
            Some(id) => store.assemble(&id),
            None => store.make_image(&draft),
        })?;
        results.image = Some(image(store, target)?);
    }
    let files = || {
        let worker = LocalWorker::new(store, registry, contexts, WorkerSettings::default())?;
        targets.iter().map(|made| made.files(&worker)).collect::<Result<Vec<_>, _>>()
    };
    let built = results.image.as_ref().map(|image| Built {
        target: &image.target,
        bases: targets.iter().filter_map(|made| made.base).collect(),
        names: &options.tags,
    });
    for output in &options.outputs {
        timings.measure("output", || match (output.kind, &built) {
            (OutputKind::Local, _) => output::tree::directory(store, &files()?, options.epoch, output),
            (OutputKind::Tar, _) => output::tree::tar(store, &files()?, options.epoch, output),
            (OutputKind::Push, Some(built)) => output::push(output, built, store, registry),
            (OutputKind::Oci | OutputKind::Docker, Some(built)) => {
                output::built_archive(output, built, store, registry)
            }
            // Its names were given above.
            (OutputKind::Image | OutputKind::CacheOnly, _) => Ok(()),
            (OutputKind::Push | OutputKind::Oci | OutputKind::Docker, None) => {
                Err(Failure::new("an output needs an image that was not packed"))
            }
        })?;
        results.written.push(output.describe());
    }
    write_files(options, &results)?;
    Ok(results)
}

/// True if something says or sends the digest of the image, or its packed layers.
pub(super) fn needs_digest(options: &Options) -> bool {
    let packs = |output: &Output| matches!(output.kind, OutputKind::Push | OutputKind::Oci | OutputKind::Docker);
    options.progress == progress::Mode::Quiet
        || options.iidfile.is_some()
        || options.metadata_file.is_some()
        || options.outputs.iter().any(packs)
}

/// Lets all names stand for the draft. The common case, that they do already, reads two small files.
fn name(options: &Options, store: &Store, draft: &Draft, results: &mut Results) -> Result<Option<DraftId>, Failure> {
    let mut names = options.tags.clone();
    for output in options.outputs.iter().filter(|output| output.kind == OutputKind::Image) {
        names.extend_from_slice(output.names(&options.tags));
    }
    if names.is_empty() {
        return Ok(None);
    }
    let id = store.put_draft(draft)?;
    for name in &names {
        if store.target(name)? != Some(Target::Draft(id)) {
            store.tag(name, &id)?;
        }
    }
    results.written.extend(options.tags.iter().map(|name| format!("named {}", name.familiar())));
    Ok(Some(id))
}

/// Looks up what is shown of an image beside its digest.
fn image(store: &Store, target: Descriptor) -> Result<Image, Failure> {
    let bytes = store.read_blob(&digest_of(&target)?, MAX_MANIFEST as u64)?;
    let manifest = Manifest::parse(bytes, Some(target.media_type().as_ref()))?;
    let config = manifest.as_image().map(|image| image.config().clone());
    Ok(Image { target, config })
}

/// One target and what it has come to.
struct Made<'a> {
    target: &'a plan::Target,
    snapshot: &'a Snapshot,
    base: Option<&'a ResolvedBase>,
}

fn made<'a>(plan: &'a Plan, target: &'a plan::Target, snapshot: &'a Snapshot) -> Made<'a> {
    let base = snapshot.base.and_then(|id| match &plan.vertices[id.index()].op {
        Op::Base(base) => Some(base),
        _ => None,
    });
    Made { target, snapshot, base }
}

impl Made<'_> {
    fn files(&self, worker: &LocalWorker<'_>) -> Result<Files, Failure> {
        let mut layers = match self.base {
            Some(base) => worker.materialize(base)?,
            None => Vec::new(),
        };
        layers.extend(self.snapshot.layers.iter().map(|l| l.layer.clone()));
        Ok(Files { platform: self.target.platform.clone(), layers })
    }
}

/// Returns how layers are packed if they are.
pub(super) fn pack_options(options: &Options) -> PackOptions {
    draft(options, &[]).pack_options()
}

fn draft(options: &Options, targets: &[Made<'_>]) -> Draft {
    Draft {
        images: targets.iter().map(|made| draft_image(options, made)).collect(),
        compression: options.compression,
        epoch: options.epoch.filter(|_| options.rewrite_timestamps),
        index_annotations: options.annotations.index.clone(),
    }
}

fn draft_image(options: &Options, made: &Made<'_>) -> DraftImage {
    let Made { target, snapshot, base } = made;
    let created = |vertex| snapshot.layers.iter().find(|l| Some(l.vertex) == vertex).map(|l| l.created);
    let history = target
        .history
        .iter()
        .map(|line| Line {
            history: History {
                created_by: Some(line.created_by.clone()),
                comment: Some("buildkit.dockerfile.v0".to_owned()),
                empty_layer: line.layer.is_none(),
                ..History::default()
            },
            created: created(line.layer),
        })
        .collect();
    let image = assemble::image(Assembly {
        platform: target.platform.clone(),
        config: target.config.clone(),
        base: base.map(|base| base.descriptor.clone()),
        layers: snapshot.layers.iter().map(|l| l.layer.clone()).collect(),
        history,
        epoch: options.epoch,
    });
    let annotations = options.annotations.of_manifest(&target.platform);
    DraftImage { annotations, entry_annotations: options.annotations.of_entry(&target.platform), ..image }
}

/// `--iidfile` and `--metadata-file`, with buildx's keys.
fn write_files(options: &Options, results: &Results) -> Result<(), Failure> {
    let Some(image) = &results.image else { return Ok(()) };
    if let Some(path) = &options.iidfile {
        write_text(path, &image.id())?;
    }
    if let Some(path) = &options.metadata_file {
        let names: Vec<String> = options.tags.iter().map(ToString::to_string).collect();
        let mut metadata = json!({
            "containerimage.digest": image.target.digest().to_string(),
            "containerimage.descriptor": image.target,
        });
        if let Some(config) = &image.config {
            metadata["containerimage.config.digest"] = config.digest().to_string().into();
        }
        if !names.is_empty() {
            metadata["image.name"] = names.join(",").into();
        }
        write_text(path, &serde_json::to_string_pretty(&metadata)?)?;
    }
    Ok(())
}

fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    output::write_file(path, |out| Ok(out.write_all(text.as_bytes())?))
}
