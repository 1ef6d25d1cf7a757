//! `kiln images`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use image::{Descriptor, Entry, Index, Kind, Reference};
use serde_json::json;
use store::{DraftId, Store, Target};

use crate::error::Failure;
use crate::output::table;
use crate::settings::open_store;
use crate::{resolve, terminal};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only images of this repository (with a tag: only that one)
    repository: Option<String>,
    /// Print image ids only
    #[arg(short, long)]
    quiet: bool,
    /// Show the digest of the manifest
    #[arg(long)]
    digests: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Table for people, or one JSON object a line
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Stands for the id and digest of an image that was built but not packed: it has none yet.
const NOT_PACKED: &str = "-";

fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

/// What is shown of one name.
struct Row {
    id: Option<String>,
    digest: Option<String>,
    created: String,
    size: u64,
    platforms: Vec<String>,
}

impl Row {
    fn of_image(store: &Store, name: &Reference, manifest: Descriptor) -> Result<Self, Failure> {
        let image = resolve::open(store, name.clone(), manifest)?;
        let all = resolve::images_of(store, &image.name, &image.target)?;
        let layers: BTreeMap<&str, u64> = all
            .iter()
            .flat_map(|image| image.manifest.layers())
            .map(|layer| (layer.digest().as_ref(), layer.size()))
            .collect();
        Ok(Self {
            id: Some(image.id()),
            digest: Some(image.target.digest().to_string()),
            created: image.config.created.clone().unwrap_or_default(),
            size: layers.values().sum(),
            platforms: all.iter().map(|image| image.config.platform().to_string()).collect(),
        })
    }

    /// Layers that are not packed count as what their files hold.
    fn of_draft(store: &Store, id: &DraftId) -> Result<Self, Failure> {
        let images = store.draft(id)?.map(|draft| draft.images).unwrap_or_default();
        let mut sizes = BTreeMap::new();
        for image in &images {
            if let Some(base) = &image.base {
                for layer in store.layers_of(base)? {
                    sizes.insert(layer.digest().to_string(), layer.size());
                }
            }
            for layer in &image.layers {
                sizes.insert(layer.to_string(), data_of(&*store.layer(layer)?.index()?));
            }
        }
        Ok(Self {
            id: None,
            digest: None,
            created: images.first().and_then(|image| image.config.created.clone()).unwrap_or_default(),
            size: sizes.values().sum(),
            platforms: images.iter().map(|image| image.config.platform().to_string()).collect(),
        })
    }
}

/// Returns the bytes in the files of a layer.
fn data_of(index: &Index) -> u64 {
    let size = |entry: &Entry| match entry.kind {
        Kind::File { size, .. } => size,
        _ => 0,
    };
    index.entries().iter().map(size).sum()
}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let store = open_store(root)?;
        let wanted = self.repository.as_deref().map(resolve::reference).transpose()?;
        let mut rows = Vec::new();
        for (name, target) in store.references()? {
            if wanted.as_ref().is_some_and(|w| {
                (&w.registry, &w.repository) != (&name.registry, &name.repository)
                    || w.tag.is_some() && w.tag != name.tag
            }) {
                continue;
            }
            // Who asks for ids alone wants to use them.
            let known =
                if self.quiet { Some(resolve::packed(&store, &target)?) } else { store.manifest_of(&target)? };
            let row = match (known, target) {
                (Some(manifest), _) | (None, Target::Manifest(manifest)) => Row::of_image(&store, &name, manifest)?,
                (None, Target::Draft(draft)) => Row::of_draft(&store, &draft)?,
            };
            let id = row.id.as_ref().map_or(NOT_PACKED, |id| if self.no_trunc { id } else { short(id) });
            let repository = resolve::familiar_repository(&name);
            let tag = name.tag.clone().unwrap_or_else(|| "<none>".to_owned());
            match self.format {
                Format::Json => terminal::result(
                    &json!({
                        "Repository": repository, "Tag": tag, "ID": row.id, "Digest": row.digest,
                        "CreatedAt": row.created, "Size": row.size, "Platforms": row.platforms,
                    })
                    .to_string(),
                ),
                Format::Table if self.quiet => terminal::result(id),
                Format::Table => {
                    let mut columns = vec![repository, tag, id.to_owned(), row.created, table::size(row.size)];
                    if self.digests {
                        columns.push(row.digest.unwrap_or_else(|| NOT_PACKED.to_owned()));
                    }
                    rows.push(columns);
                }
            }
        }
        if self.format == Format::Table && !self.quiet {
            let mut head = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
            if self.digests {
                head.push("DIGEST");
            }
            terminal::result(&table::draw(&head, &rows));
        }
        Ok(ExitCode::SUCCESS)
    }
}
