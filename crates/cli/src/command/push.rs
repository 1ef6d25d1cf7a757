//! `kiln push`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::error::Failure;
use crate::progress::Transfer;
use crate::settings::{open_store, registry_options};
use crate::{output, resolve, terminal};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Name of the image, with the registry to send it to
    image: String,
    #[command(flatten)]
    registry: resolve::RegistryArguments,
    /// Print nothing but the digest
    #[arg(short, long)]
    quiet: bool,
}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let store = open_store(root)?;
        let registry = registry::Registry::new(registry_options(self.registry.mirrors));
        let image = resolve::local(&store, &self.image)?;
        output::fetch_missing(&store, &registry, &image)?;
        let transfer = Transfer::new("pushing", self.quiet);
        let digest = registry.push(&image.name, &image.descriptor, &store, &transfer)?;
        transfer.finish();
        terminal::result(&digest.to_string());
        Ok(ExitCode::SUCCESS)
    }
}
