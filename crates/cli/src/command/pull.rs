//! `kiln pull`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use image::Platform;

use super::enter_namespace;
use crate::error::Failure;
use crate::progress::Transfer;
use crate::settings::{self, Swept, open_store, registry_options};
use crate::{resolve, terminal};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Name of the image
    image: String,
    /// Platform to pull [default: DOCKER_DEFAULT_PLATFORM, else this machine's]
    #[arg(long)]
    platform: Option<String>,
    #[command(flatten)]
    registry: resolve::RegistryArguments,
    /// Print nothing but the digest
    #[arg(short, long)]
    quiet: bool,
}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let platform = settings::platform(self.platform.as_deref())?;
        enter_namespace()?;
        let store = Swept(open_store(root)?);
        let registry = registry::Registry::new(registry_options(self.registry.mirrors));
        let name = resolve::reference(&self.image)?.or_latest();
        let pinned = registry.resolve(&name, &platform.clone().unwrap_or_else(Platform::host), &store)?;
        if let Some(platform) = &platform {
            resolve::check_platform(&name, &pinned.platform, platform)?;
        }
        let transfer = Transfer::new("pulling", self.quiet);
        registry.pull(&pinned, &store, &transfer)?;
        transfer.finish();
        if name.tag.is_some() {
            store.tag(&name, &pinned.root)?;
        }
        store.close()?;
        terminal::result(pinned.root.digest().as_ref());
        Ok(ExitCode::SUCCESS)
    }
}
