//! `kiln load`.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::error::Failure;
use crate::settings::{Swept, open_store};
use crate::{resolve, terminal};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Archive (OCI or docker, also compressed) or OCI layout directory [default: stdin]
    #[arg(short, long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// The same, without the flag
    #[arg(conflicts_with = "input", value_name = "PATH")]
    path: Option<PathBuf>,
    /// Name for an image that the archive leaves without one
    #[arg(short, long, value_name = "NAME")]
    tag: Option<String>,
}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let store = Swept(open_store(root)?);
        let path = self.input.or(self.path).filter(|p| p.as_os_str() != "-");
        let loaded = match &path {
            Some(path) if path.is_dir() => image::layout::read_dir(path, None, &*store),
            Some(path) => {
                let file = File::open(path)
                    .map_err(|e| Failure::from_error(&e).context(format!("failed to open {}", path.display())))?;
                image::archive::load(file, &*store)
            }
            None => image::archive::load(io::stdin(), &*store),
        };
        let source = path.map_or_else(|| "stdin".to_owned(), |p| p.display().to_string());
        let loaded = loaded.map_err(|e| Failure::from_error(&e).context(format!("failed to load {source}")))?;
        for image in loaded {
            let mut names = image.names;
            if let Some(tag) = &self.tag {
                names.push(resolve::tag_name(tag)?);
            }
            if names.is_empty() {
                terminal::note(&format!("warning: {} has no name; give it one with --tag", image.manifest.digest()));
            }
            for name in names {
                store.tag(&name, &image.manifest)?;
                terminal::result(&format!("Loaded image: {}", name.familiar()));
            }
        }
        store.close()?;
        Ok(ExitCode::SUCCESS)
    }
}
