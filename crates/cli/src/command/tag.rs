//! `kiln tag`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::error::Failure;
use crate::resolve;
use crate::settings::open_store;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The image as it is named now
    source: String,
    /// The new name
    target: String,
}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let store = open_store(root)?;
        let (_, image) = resolve::find(&store, &self.source)?;
        let target = resolve::tag_name(&self.target)?;
        store.tag(&target, image)?;
        store.sync()?;
        Ok(ExitCode::SUCCESS)
    }
}
