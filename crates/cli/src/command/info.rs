//! `kiln info`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use image::Platform;

use crate::error::Failure;
use crate::settings::store_root;
use crate::terminal;

#[derive(Args, Debug)]
pub(crate) struct Arguments {}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let root = store_root(root)?;
        terminal::result(&format!("Version:    {}", env!("CARGO_PKG_VERSION")));
        terminal::result(&format!("Platform:   {}", Platform::host()));
        terminal::result(&format!("Store:      {}", root.display()));
        let network = match crate::network::private() {
            Ok(_) => "private".to_owned(),
            Err(lack) => format!("that of this machine ({lack})"),
        };
        terminal::result(&format!("Network:    {network}"));
        terminal::result(&format!("Isolation:  {}", sandbox::userns::probe()));
        Ok(ExitCode::SUCCESS)
    }
}
