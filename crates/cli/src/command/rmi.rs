//! `kiln rmi`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::error::Failure;
use crate::settings::open_store;
use crate::{resolve, terminal};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Names to remove; the cache keeps what builds can still use
    #[arg(required = true)]
    images: Vec<String>,
}

impl Arguments {
    /// Removes every name it can, and fails if one was not there.
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let store = open_store(root)?;
        let mut missing = None;
        for text in &self.images {
            let name = resolve::reference(text)?.or_latest();
            if store.untag(&name)? {
                terminal::result(&format!("Untagged: {}", name.familiar()));
            } else {
                terminal::note(&resolve::unknown_image(&store, text).to_string());
                missing = Some(ExitCode::FAILURE);
            }
        }
        store.sync()?;
        Ok(missing.unwrap_or(ExitCode::SUCCESS))
    }
}
