//! `kiln push`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::error::Failure;
use crate::progress::Transfer;
use crate::settings::{self, open_store, registry_options};
use crate::{output, resolve, terminal};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Name of the image, with the registry to send it to
    image: String,
    /// Of an image for several platforms, the one for this [default: all]
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
        let platform = settings::platform_flag(self.platform.as_deref())?;
        let store = open_store(root)?;
        let registry = registry::Registry::new(registry_options(self.registry.mirrors));
        let (name, target) = resolve::find_for(&store, &self.image, platform.as_ref())?;
        output::fetch_missing(&store, &registry, &name, &target)?;
        let transfer = Transfer::new("pushing", self.quiet);
        let digest = match registry.push(&name, &target, &store, &transfer) {
            // The registry may have what is not here; if it has not, what is here goes.
            Err(registry::Error::Missing { role: "manifest", .. }) => {
                let whole = resolve::whole(&store, &name, &target)?;
                terminal::note(&format!(
                    "warning: not all platforms of {} are here: pushing those that are",
                    self.image
                ));
                registry.push(&name, &whole, &store, &transfer)?
            }
            pushed => pushed?,
        };
        transfer.finish();
        terminal::result(&digest.to_string());
        Ok(ExitCode::SUCCESS)
    }
}
