//! `kiln import`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use image::config::History;
use image::layer::{ApplyOptions, Compression, Expansion, apply, decompress};
use image::{ImageConfig, Platform};
use store::{Draft, Layer, Store};

use super::enter_namespace;
use crate::assemble::{self, Assembly};
use crate::error::Failure;
use crate::settings::{Swept, open_store};
use crate::{resolve, terminal};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Root filesystem as a tar, also compressed; `-` for stdin
    file: PathBuf,
    /// Name for the image
    name: String,
    /// Platform the files are for [default: this machine's]
    #[arg(long)]
    platform: Option<Platform>,
}

/// Makes a layer of a tar from outside.
fn unpack(store: &Store, tar: Box<dyn Read + Send>) -> Result<Layer, Failure> {
    let draft = store.new_layer()?;
    let (overlay, ids) = store::layer_flavor();
    let options = ApplyOptions { overlay, ids, ..ApplyOptions::default() };
    let index = apply(decompress(tar, Expansion::default())?, File::open(draft.tree())?.as_fd(), &[], &options)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(draft.commit(index, i64::try_from(now.as_secs()).unwrap_or(i64::MAX))?)
}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let name = resolve::tag_name(&self.name)?;
        enter_namespace()?;
        let store = Swept(open_store(root)?);
        let reader: Box<dyn Read + Send> = if self.file.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            Box::new(
                File::open(&self.file)
                    .map_err(|e| Failure::from_error(&e).context(format!("failed to open {}", self.file.display())))?,
            )
        };
        let layer =
            unpack(&store, reader).map_err(|f| f.context(format!("failed to import {}", self.file.display())))?;
        let platform = self.platform.unwrap_or_else(Platform::host);
        let image = assemble::image(Assembly {
            config: ImageConfig {
                architecture: platform.architecture.clone(),
                os: platform.os.clone(),
                variant: platform.variant.clone(),
                ..ImageConfig::default()
            },
            platform,
            base: None,
            layers: vec![layer.id().clone()],
            history: vec![assemble::Line {
                history: History { comment: Some("imported from a root filesystem".into()), ..History::default() },
                created: Some(layer.meta()?.created),
            }],
            epoch: None,
        });
        let draft = Draft {
            images: vec![image],
            compression: Compression::default(),
            epoch: None,
            index_annotations: BTreeMap::new(),
        };
        // To be built on it needs a digest anyway.
        store.tag(&name, &store.make_image(&draft)?)?;
        store.close()?;
        terminal::result(&format!("Imported image: {}", name.familiar()));
        Ok(ExitCode::SUCCESS)
    }
}
