//! `kiln ps` and `kiln rm`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use runtime::{Container, Status};

use super::enter_namespace;
use crate::assemble::rfc3339;
use crate::error::Failure;
use crate::output::table;
use crate::settings::open_store;
use crate::terminal;

#[derive(Args, Debug)]
pub(crate) struct PsArguments {
    /// Also those that do not run
    #[arg(short, long)]
    all: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
}

impl PsArguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let store = open_store(root)?;
        let mut rows = Vec::new();
        for container in Container::list(&store)? {
            let status = container.status()?;
            if !self.all && status != Status::Running {
                continue;
            }
            let state = container.state();
            if self.quiet {
                terminal::result(&state.id[..12]);
                continue;
            }
            rows.push(vec![
                state.id[..12].to_owned(),
                state.image.clone(),
                table::shorten(&state.command.join(" "), 30),
                rfc3339(state.created),
                match status {
                    Status::Running => "running".to_owned(),
                    Status::Exited(code) => format!("exited ({code})"),
                    Status::Dead => "dead".to_owned(),
                },
                state.name.clone().unwrap_or_default(),
            ]);
        }
        if !self.quiet {
            terminal::result(&table::draw(&["CONTAINER", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAME"], &rows));
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args, Debug)]
pub(crate) struct RmArguments {
    /// Containers, by name or the start of the id
    #[arg(required = true)]
    containers: Vec<String>,
}

impl RmArguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        enter_namespace()?;
        let store = open_store(root)?;
        let mut code = ExitCode::SUCCESS;
        for text in &self.containers {
            match Container::find(&store, text).and_then(Container::remove) {
                Ok(()) => terminal::result(text),
                Err(error) => {
                    terminal::note(&Failure::from_error(&error).to_string());
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }
}
