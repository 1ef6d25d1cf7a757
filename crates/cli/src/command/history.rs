//! `kiln history`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::error::Failure;
use crate::output::table;
use crate::settings::{self, open_store};
use crate::{resolve, terminal};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The image
    image: String,
    /// Do not shorten
    #[arg(long)]
    no_trunc: bool,
    /// Of an image for several platforms, the one for this [default: this machine's]
    #[arg(long)]
    platform: Option<String>,
}

impl Arguments {
    /// Newest line first, as docker has it; sizes are those of the layer blobs.
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let platform = settings::platform_flag(self.platform.as_deref())?;
        let store = open_store(root)?;
        let image = resolve::local(&store, &self.image, platform.as_ref())?;
        let mut layers = image.manifest.layers().iter();
        let mut rows = Vec::new();
        for line in &image.config.history {
            let size = if line.empty_layer { 0 } else { layers.next().map_or(0, image::Descriptor::size) };
            let created_by = line.created_by.clone().unwrap_or_default();
            rows.push(vec![
                line.created.clone().unwrap_or_default(),
                if self.no_trunc { created_by } else { table::shorten(&created_by, 60) },
                table::size(size),
                line.comment.clone().unwrap_or_default(),
            ]);
        }
        rows.reverse();
        terminal::result(&table::draw(&["CREATED", "CREATED BY", "SIZE", "COMMENT"], &rows));
        Ok(ExitCode::SUCCESS)
    }
}
