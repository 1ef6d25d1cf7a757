//! `kiln inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::error::Failure;
use crate::settings::{self, open_store};
use crate::{resolve, terminal};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Images to show
    #[arg(required = true)]
    images: Vec<String>,
    /// Of an image for several platforms, the one for this [default: this machine's]
    #[arg(long)]
    platform: Option<String>,
}

impl Arguments {
    /// Prints an array with the keys of `docker image inspect`.
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let platform = settings::platform_flag(self.platform.as_deref())?;
        let store = open_store(root)?;
        let mut shown = Vec::new();
        for text in &self.images {
            let mut image = resolve::local(&store, text, platform.as_ref())?;
            let names = resolve::names_of(&store, &image.target)?;
            let named = image.target.digest().to_string();
            let platforms = resolve::images_of(&store, &image.name, &image.target)?;
            let platforms: Vec<String> = platforms.iter().map(|image| image.config.platform().to_string()).collect();
            if platform.is_some() {
                // Asked for one image, not for the index it is in.
                image.target = image.descriptor.clone();
            }
            let repo_digests: Vec<String> =
                names.iter().map(|n| format!("{}@{named}", resolve::familiar_repository(n))).collect();
            shown.push(json!({
                "Id": image.id(),
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
                "Descriptor": image.target,
                "Platforms": platforms,
            }));
        }
        let text = serde_json::to_string_pretty(&shown)?;
        terminal::result(&text);
        Ok(ExitCode::SUCCESS)
    }
}
