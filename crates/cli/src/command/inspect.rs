//! `kiln inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::error::Failure;
use crate::settings::open_store;
use crate::{resolve, terminal};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Images to show
    #[arg(required = true)]
    images: Vec<String>,
}

impl Arguments {
    /// Prints an array with the keys of `docker image inspect`.
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let store = open_store(root)?;
        let mut shown = Vec::new();
        for text in &self.images {
            let image = resolve::local(&store, text)?;
            let names = resolve::names_of(&store, &image.descriptor)?;
            let repo_digests: Vec<String> = names
                .iter()
                .map(|n| format!("{}@{}", resolve::familiar_repository(n), image.descriptor.digest()))
                .collect();
            shown.push(json!({
                "Id": image.manifest.config().digest().to_string(),
                "RepoTags": names.iter().map(image::Reference::familiar).collect::<Vec<_>>(),
                "RepoDigests": repo_digests,
                "Created": image.config.created,
                "Author": image.config.author,
                "Architecture": image.config.architecture,
                "Variant": image.config.variant,
                "Os": image.config.os,
                "Size": image.manifest.layers().iter().map(image::Descriptor::size).sum::<u64>(),
                "Config": image.config.config,
                "RootFS": { "Type": "layers", "Layers": image.config.rootfs.diff_ids },
                "Descriptor": image.descriptor,
            }));
        }
        let text = serde_json::to_string_pretty(&shown)?;
        terminal::result(&text);
        Ok(ExitCode::SUCCESS)
    }
}
