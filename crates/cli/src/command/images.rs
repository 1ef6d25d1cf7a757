//! `kiln images`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

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

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let store = open_store(root)?;
        let wanted = self.repository.as_deref().map(resolve::reference).transpose()?;
        let mut rows = Vec::new();
        for (name, descriptor) in store.references()? {
            if wanted.as_ref().is_some_and(|w| {
                (&w.registry, &w.repository) != (&name.registry, &name.repository)
                    || w.tag.is_some() && w.tag != name.tag
            }) {
                continue;
            }
            let image = resolve::open(&store, name, descriptor)?;
            let full = image.id();
            let id = if self.no_trunc { full.clone() } else { full["sha256:".len()..].chars().take(12).collect() };
            let all = resolve::images_of(&store, &image.name, &image.target)?;
            let layers: BTreeMap<&str, u64> = all
                .iter()
                .flat_map(|image| image.manifest.layers())
                .map(|layer| (layer.digest().as_ref(), layer.size()))
                .collect();
            let size = layers.values().sum::<u64>();
            let platforms: Vec<String> = all.iter().map(|image| image.config.platform().to_string()).collect();
            let created = image.config.created.clone().unwrap_or_default();
            let repository = resolve::familiar_repository(&image.name);
            let tag = image.name.tag.clone().unwrap_or_else(|| "<none>".to_owned());
            match self.format {
                Format::Json => terminal::result(
                    &json!({
                        "Repository": repository, "Tag": tag, "ID": full,
                        "Digest": image.target.digest().to_string(), "CreatedAt": created, "Size": size,
                        "Platforms": platforms,
                    })
                    .to_string(),
                ),
                Format::Table if self.quiet => terminal::result(&id),
                Format::Table => {
                    let mut row = vec![repository, tag, id, created, table::size(size)];
                    if self.digests {
                        row.push(image.target.digest().to_string());
                    }
                    rows.push(row);
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
