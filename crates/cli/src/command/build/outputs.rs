//! What a build gives: the image in the store, its names, and what `--output` asks for.

use std::path::Path;

use image::Descriptor;
use image::config::History;
use image::descriptor::with_platform;
use plan::{Op, Plan, ResolvedBase, Target};
use registry::Registry;
use serde_json::json;
use solver::{Contexts, LocalWorker, Snapshot, Solution, WorkerSettings};
use store::Store;

use super::arguments::Options;
use crate::assemble::{self, Assembled, Assembly, Line};
use crate::error::Failure;
use crate::output::tree::Files;
use crate::output::{self, Built, OutputKind};

/// What was made.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) images: Vec<Assembled>,
    /// What names stand for: the manifest, or an index of one for each platform.
    pub(crate) target: Descriptor,
    /// Where outputs went, for people.
    pub(crate) written: Vec<String>,
    /// Something new is in the store.
    pub(crate) changed: bool,
}

impl Results {
    /// Returns the id of what was built: that of the configuration, as docker has it; an index has none, so its own.
    pub(crate) fn id(&self) -> String {
        let described = if let [image] = self.images.as_slice() { &image.config } else { &self.target };
        described.digest().to_string()
    }
}

/// Assembles an image for each target and writes every output.
pub(super) fn write(
    options: &Options,
    plan: &Plan,
    solution: &Solution,
    store: &Store,
    registry: &Registry,
    contexts: &Contexts,
) -> Result<Results, Failure> {
    let targets: Vec<Made<'_>> =
        plan.targets.iter().zip(&solution.targets).map(|(target, snapshot)| made(plan, target, snapshot)).collect();
    let images = targets.iter().map(|made| assemble_target(options, made, store)).collect::<Result<Vec<_>, _>>()?;
    let target = root(&targets, &images, store)?;
    let mut results = Results { images, target, written: Vec::new(), changed: false };
    name(options, store, &mut results)?;
    let built = Built {
        target: &results.target,
        bases: targets.iter().filter_map(|made| made.base).collect(),
        names: &options.tags,
    };
    let files = || {
        let worker = LocalWorker::new(store, registry, contexts, WorkerSettings::default())?;
        targets.iter().map(|made| made.files(&worker)).collect::<Result<Vec<_>, _>>()
    };
    for output in &options.outputs {
        match output.kind {
            OutputKind::Local => output::tree::directory(store, &files()?, output)?,
            OutputKind::Tar => output::tree::tar(store, &files()?, output)?,
            OutputKind::Image => output::named(output, &built, store)?,
            OutputKind::Push => output::push(output, &built, store, registry)?,
            OutputKind::Oci | OutputKind::Docker => output::built_archive(output, &built, store, registry)?,
            OutputKind::CacheOnly => {}
        }
        results.written.push(output.describe());
    }
    write_files(options, &results)?;
    Ok(results)
}

fn name(options: &Options, store: &Store, results: &mut Results) -> Result<(), Failure> {
    for name in &options.tags {
        if store.resolve(name)?.is_none_or(|d| d.digest() != results.target.digest()) {
            store.tag(name, &results.target)?;
            results.changed = true;
        }
        results.written.push(format!("named {}", name.familiar()));
    }
    Ok(())
}

/// Returns what names stand for: the only image, or an index of all.
fn root(targets: &[Made<'_>], images: &[Assembled], store: &Store) -> Result<Descriptor, Failure> {
    if let [image] = images {
        return Ok(image.manifest.clone());
    }
    let platforms = targets.iter().map(|made| &made.target.platform);
    let manifests: Vec<Descriptor> =
        platforms.zip(images).map(|(platform, image)| with_platform(image.manifest.clone(), platform)).collect();
    assemble::index(store, &manifests)
}

/// One target and what it has come to.
struct Made<'a> {
    target: &'a Target,
    snapshot: &'a Snapshot,
    base: Option<&'a ResolvedBase>,
}

fn made<'a>(plan: &'a Plan, target: &'a Target, snapshot: &'a Snapshot) -> Made<'a> {
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

fn assemble_target(options: &Options, made: &Made<'_>, store: &Store) -> Result<Assembled, Failure> {
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
    assemble::image(
        store,
        Assembly {
            config: target.config.clone(),
            base_layers: base.map(|b| b.manifest.layers().clone()).unwrap_or_default(),
            layers: snapshot.layers.iter().map(|l| l.layer.clone()).collect(),
            history,
            options: assemble::Options {
                epoch: options.epoch,
                annotations: options.annotations.iter().cloned().collect(),
                ..assemble::Options::default()
            },
        },
    )
}

/// `--iidfile` and `--metadata-file`, with buildx's keys.
fn write_files(options: &Options, results: &Results) -> Result<(), Failure> {
    if let Some(path) = &options.iidfile {
        write_text(path, &results.id())?;
    }
    if let Some(path) = &options.metadata_file {
        let names: Vec<String> = options.tags.iter().map(ToString::to_string).collect();
        let mut metadata = json!({
            "containerimage.digest": results.target.digest().to_string(),
            "containerimage.descriptor": results.target,
        });
        if let [image] = results.images.as_slice() {
            metadata["containerimage.config.digest"] = image.config.digest().to_string().into();
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
