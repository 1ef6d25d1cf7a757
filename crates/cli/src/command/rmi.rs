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
            let Ok(image) = resolve::local(&store, text) else {
                terminal::note(&resolve::unknown_image(&store, text).to_string());
                missing = Some(ExitCode::FAILURE);
                continue;
            };
            // An id stands for all names of the image, a name for itself.
            let by_id = resolve::reference(text).map_or(true, |name| name.or_latest() != image.name);
            let names = if by_id { resolve::names_of(&store, &image.descriptor)? } else { vec![image.name] };
            for name in names {
                store.untag(&name)?;
                terminal::result(&format!("Untagged: {}", name.familiar()));
            }
        }
        store.sync()?;
        Ok(missing.unwrap_or(ExitCode::SUCCESS))
    }
}
