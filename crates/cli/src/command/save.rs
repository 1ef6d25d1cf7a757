//! `kiln save`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::error::Failure;
use crate::settings::{self, open_store, registry_options};
use crate::{output, resolve};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Images to write
    #[arg(required = true)]
    images: Vec<String>,
    /// File to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to write: an archive for `docker load` that OCI readers understand too, or a plain OCI archive
    #[arg(long, value_enum, default_value_t = Format::DockerArchive)]
    format: Format,
    /// Of an image for several platforms, the one for this [default: all]
    #[arg(long)]
    platform: Option<String>,
    #[command(flatten)]
    registry: resolve::RegistryArguments,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    DockerArchive,
    OciArchive,
}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let platform = settings::platform_flag(self.platform.as_deref())?;
        let store = open_store(root)?;
        let registry = registry::Registry::new(registry_options(self.registry.mirrors));
        let mut images = Vec::new();
        for text in &self.images {
            images.push(resolve::find_for(&store, text, platform.as_ref())?);
        }
        for (name, target) in &images {
            output::fetch_missing(&store, &registry, name, target)?;
        }
        let kind = match self.format {
            Format::DockerArchive => output::ArchiveKind::Docker,
            Format::OciArchive => output::ArchiveKind::Oci,
        };
        output::archive(&store, kind, &images, self.output.as_deref())?;
        Ok(ExitCode::SUCCESS)
    }
}
