//! `kiln rmi`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use store::Target;

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
            let Ok((name, target)) = resolve::find(&store, text) else {
                terminal::note(&resolve::unknown_image(&store, text).to_string());
                missing = Some(ExitCode::FAILURE);
                continue;
            };
            // An id stands for all names of the image, a name for itself.
            let by_id = resolve::reference(text).map_or(true, |given| given.or_latest() != name);
            let names = match target {
                Target::Manifest(manifest) if by_id => resolve::names_of(&store, &manifest)?,
                _ => vec![name.clone()],
            };
            if names.is_empty() {
                terminal::note(&format!("error: {text} is part of the index `{}`", name.familiar()));
                missing = Some(ExitCode::FAILURE);
            }
            for name in names {
                store.untag(&name)?;
                terminal::result(&format!("Untagged: {}", name.familiar()));
            }
        }
        store.sync()?;
        Ok(missing.unwrap_or(ExitCode::SUCCESS))
    }
}
