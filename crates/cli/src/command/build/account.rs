//! The account of a build, kept for `explain` and reports.

use std::time::{Duration, SystemTime};

use plan::Plan;
use serde::Serialize;
use solver::{Outcome, Solution};
use store::Store;

use crate::error::Failure;

/// What is written for a build. Versioned: later kilns read what this one wrote.
#[derive(Serialize)]
struct Account<'a> {
    version: u32,
    finished: u64,
    milliseconds: u128,
    vertices: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Step<'a> {
    name: &'a str,
    key: Option<String>,
    outcome: &'a str,
    milliseconds: u128,
}

/// Writes the account of a build that ran something; one that only hit has nothing new to tell.
pub(super) fn write(
    store: &Store,
    plan: &Plan,
    solution: &Solution,
    elapsed: Duration,
    ran: bool,
) -> Result<(), Failure> {
    if !ran {
        return Ok(());
    }
    let finished = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let vertices = plan
        .vertices
        .iter()
        .zip(&solution.vertices)
        .map(|(vertex, report)| Step {
            name: &vertex.name,
            key: report.key.map(|key| key.to_string()),
            outcome: match report.outcome {
                Outcome::Base => "base",
                Outcome::Hit => "hit",
                Outcome::Ran => "ran",
                Outcome::Unchanged => "unchanged",
            },
            milliseconds: report.elapsed.as_millis(),
        })
        .collect();
    let account = Account { version: 1, finished: finished.as_secs(), milliseconds: elapsed.as_millis(), vertices };
    let id = format!("{:011}-{:09}-{}", finished.as_secs(), finished.subsec_nanos(), std::process::id());
    store.put_build(&id, &serde_json::to_vec(&account)?)?;
    Ok(())
}
