//! `kiln rmi`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use image::Reference;
use store::Target;

use crate::error::Failure;
use crate::settings::open_store;
use crate::{resolve, terminal};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Names to remove; the cache keeps what builds can still use
    #[arg(required = true)]
    images: Vec<String>,
    /// Of an image given by its id remove all names, however many; do not fail for what is not there
    #[arg(short, long)]
    force: bool,
}

impl Arguments {
    /// Removes every name it can, and fails if one was not there. An id that stands for several names removes none of
    /// them, as with docker: whoever gives it may not know of the others.
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let store = open_store(root)?;
        let mut failed = None;
        for text in &self.images {
            let Ok((name, target)) = resolve::find(&store, text) else {
                terminal::note(&resolve::unknown_image(&store, text).to_string());
                if !self.force {
                    failed = Some(ExitCode::FAILURE);
                }
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
                failed = Some(ExitCode::FAILURE);
            }
            if by_id && names.len() > 1 && !self.force {
                terminal::note(&several(text, &names).to_string());
                failed = Some(ExitCode::FAILURE);
                continue;
            }
            for name in names {
                store.untag(&name)?;
                terminal::result(&format!("Untagged: {}", name.familiar()));
            }
        }
        store.sync()?;
        Ok(failed.unwrap_or(ExitCode::SUCCESS))
    }
}

fn several(id: &str, names: &[Reference]) -> Failure {
    let list: Vec<String> = names.iter().map(|name| format!("`{}`", name.familiar())).collect();
    Failure::new(format!("cannot remove {id}: the image has several names: {}", list.join(", ")))
        .help("give one of the names to remove that alone, or --force to remove all")
}
