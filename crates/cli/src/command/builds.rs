//! `kiln builds`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::account::{self, Account, End};
use crate::assemble::rfc3339;
use crate::error::Failure;
use crate::output::table;
use crate::settings::open_store;
use crate::terminal;
use crate::timings::draw;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Show where the time of this build went
    #[arg(long, value_name = "BUILD")]
    timings: Option<String>,
}

impl Arguments {
    /// Newest first. Builds in which nothing had to run leave no account.
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let store = open_store(root)?;
        if let Some(id) = &self.timings {
            return timings(&store, id);
        }
        let mut rows = Vec::new();
        for id in store.builds()?.into_iter().rev() {
            let Some(account) = account::read(&store, &id)? else { continue };
            if self.quiet {
                terminal::result(&id);
                continue;
            }
            let result = result(&account);
            let count = |wanted: fn(account::Word) -> bool| account.steps.iter().filter(|s| wanted(s.outcome)).count();
            rows.push(vec![
                id,
                rfc3339(i64::try_from(account.finished).unwrap_or(i64::MAX)),
                format!("{:.1}s", std::time::Duration::from_millis(account.milliseconds).as_secs_f64()),
                count(|outcome| outcome.ran() || outcome == account::Word::Failed).to_string(),
                count(|outcome| outcome == account::Word::Hit).to_string(),
                result,
                account.images.join(", "),
            ]);
        }
        if !self.quiet {
            terminal::result(&table::draw(&["BUILD", "FINISHED", "TOOK", "RUN", "CACHED", "RESULT", "IMAGE"], &rows));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What came of a build, in a few words.
fn result(account: &Account) -> String {
    match &account.end {
        End::Done => "done".to_owned(),
        End::Canceled => "canceled".to_owned(),
        End::Failed { step, .. } => match step.and_then(|step| account.steps.get(step)) {
            Some(step) => format!("failed at {}", table::shorten(&step.name, 60)),
            None => "failed to write its outputs".to_owned(),
        },
    }
}

fn timings(store: &store::Store, id: &str) -> Result<ExitCode, Failure> {
    let ids = store.builds()?;
    let unknown = || Failure::new(format!("no build `{id}`")).help("`kiln builds` lists them");
    let found = account::find(&ids, id)?.ok_or_else(unknown)?;
    let account = account::read(store, &ids[found])?.ok_or_else(unknown)?;
    let names: Vec<&str> = account.steps.iter().map(|step| step.name.as_str()).collect();
    terminal::result(&draw(&account.spans, &names));
    Ok(ExitCode::SUCCESS)
}
