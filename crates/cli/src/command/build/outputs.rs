//! What a build gives: the image in the store, its names, and what `--output` asks for.

use std::path::Path;

use image::config::History;
use plan::{Op, Plan, ResolvedBase, Target};
use registry::Registry;
use serde_json::json;
use solver::{Contexts, LocalWorker, Snapshot, Solution, WorkerSettings};
use store::{LayerId, Store};

use super::arguments::Options;
use crate::assemble::{self, Assembled, Assembly, Line};
use crate::error::Failure;
use crate::output::{self, Built, Output, OutputKind};

/// The images that were made.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) images: Vec<Assembled>,
    /// Where outputs went, for people.
    pub(crate) written: Vec<String>,
    /// Something new is in the store.
    pub(crate) changed: bool,
}

/// Assembles the image and writes every output.
pub(super) fn write(
    options: &Options,
    plan: &Plan,
    solution: &Solution,
    store: &Store,
    registry: &Registry,
    contexts: &Contexts,
) -> Result<Results, Failure> {
    let mut results = Results::default();
    for (target, snapshot) in plan.targets.iter().zip(&solution.targets) {
        let base = snapshot.base.and_then(|id| match &plan.vertices[id.0 as usize].op {
            Op::Base(base) => Some(base),
            _ => None,
        });
        let image = assemble_target(options, target, snapshot, base, store)?;
        for name in &options.tags {
            if store.resolve(name)?.is_none_or(|d| d.digest() != image.manifest.digest()) {
                store.tag(name, &image.manifest)?;
                results.changed = true;
            }
            results.written.push(format!("named {}", name.familiar()));
        }
        let tree = |with: &mut dyn FnMut(&[LayerId]) -> Result<(), Failure>| {
            let worker = LocalWorker::new(store, registry, contexts, WorkerSettings::default())?;
            let mut layers = match base {
                Some(base) => worker.materialize(base)?,
                None => Vec::new(),
            };
            layers.extend(snapshot.layers.iter().map(|l| l.layer.clone()));
            with(&layers)
        };
        let built = Built { image: &image, base, names: &options.tags };
        for output in &options.outputs {
            write_one(output, &built, store, registry, &tree)?;
            results.written.push(output.describe());
        }
        results.images.push(image);
    }
    write_files(options, &results)?;
    Ok(results)
}

type WithLayers<'a> = dyn Fn(&mut dyn FnMut(&[LayerId]) -> Result<(), Failure>) -> Result<(), Failure> + 'a;

fn write_one(
    output: &Output,
    built: &Built<'_>,
    store: &Store,
    registry: &Registry,
    tree: &WithLayers<'_>,
) -> Result<(), Failure> {
    match output.kind {
        OutputKind::Local => tree(&mut |layers| output::tree::directory(store, layers, output.path()?)),
        OutputKind::Tar => tree(&mut |layers| output::tree::tar(store, layers, output)),
        OutputKind::Image => output::named(output, built, store),
        OutputKind::Push => output::push(output, built, store, registry),
        OutputKind::Oci | OutputKind::Docker => output::built_archive(output, built, store, registry),
        OutputKind::CacheOnly => Ok(()),
    }
}

fn assemble_target(
    options: &Options,
    target: &Target,
    snapshot: &Snapshot,
    base: Option<&ResolvedBase>,
    store: &Store,
) -> Result<Assembled, Failure> {
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
    let Some(image) = results.images.first() else { return Ok(()) };
    if let Some(path) = &options.iidfile {
        // The id is the config's digest, as docker's image store has it.
        write_text(path, image.config.digest().as_ref())?;
    }
    if let Some(path) = &options.metadata_file {
        let names: Vec<String> = options.tags.iter().map(ToString::to_string).collect();
        let mut metadata = json!({
            "containerimage.config.digest": image.config.digest().to_string(),
            "containerimage.digest": image.manifest.digest().to_string(),
            "containerimage.descriptor": image.manifest,
        });
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
