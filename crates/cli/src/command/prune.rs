//! `kiln prune`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use store::{Policy, Store};

use super::du::kind;
use super::enter_namespace;
use crate::collect::{bytes, duration, now};
use crate::error::Failure;
use crate::output::table;
use crate::settings::{open_store, store_root};
use crate::terminal;

/// Without options only what nothing reaches: no name, no container, no record of the cache.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Also all of the cache that no image or container keeps
    #[arg(short, long)]
    all: bool,
    /// Take of the cache, least recently used first, until the store is no larger: 10GB, 512MiB
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    keep_storage: Option<u64>,
    /// `until=24h`: take what was last used longer ago, of the cache too
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let policy = self.policy()?;
        if self.dry_run {
            let collected = open_store(root)?.collectable(&policy)?;
            for item in &collected.items {
                terminal::result(&format!("{}\t{}\t{}", kind(&item.what), table::size(item.size), item.path));
            }
            terminal::note(&format!("{} would be reclaimed", table::size(collected.size())));
            return Ok(ExitCode::SUCCESS);
        }
        if !self.force && !confirmed()? {
            return Ok(ExitCode::FAILURE);
        }
        enter_namespace()?;
        let root = store_root(root)?;
        let store = match Store::try_exclusive(&root)? {
            Some(store) => store,
            None => {
                terminal::note("waiting for other kiln processes that use the store");
                Store::exclusive(&root)?
            }
        };
        let collected = store.collect(&policy)?;
        // Deleting takes the longest, and nobody has to wait for it.
        drop(store);
        let store = Store::open(&root)?;
        store.sweep()?;
        store.sync()?;
        for item in &collected.items {
            tracing::debug!(path = item.path, size = item.size, "removed");
        }
        terminal::result(&format!("Total reclaimed space: {}", table::size(collected.size())));
        Ok(ExitCode::SUCCESS)
    }

    fn policy(&self) -> Result<Policy, Failure> {
        let now = now();
        let mut until = None;
        for filter in &self.filter {
            let Some(text) = filter.strip_prefix("until=") else {
                return Err(Failure::new(format!("--filter {filter}: only `until=DURATION` is supported")));
            };
            let age = duration(text).map_err(|why| Failure::new(format!("--filter {filter}: {why}")))?;
            until = Some(now.saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX)));
        }
        Ok(Policy { now, all: self.all, until, keep_storage: self.keep_storage, grace: 0 })
    }
}

fn confirmed() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("nobody is there to ask whether to remove").help("`--force` does not ask"));
    }
    terminal::note("This removes what nothing in the store uses. Continue? [y/N]");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|error| Failure::from_error(&error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
