//! The accounts of builds: what each step did, kept in the store for `explain` and `builds`.

use std::time::{Duration, SystemTime};

use plan::Plan;
use serde::{Deserialize, Serialize};
use solver::{Outcome, Solution};
use store::{RecordKey, Store};

use crate::error::Failure;
use crate::timings::{Span, Timings};

const VERSION: u32 = 1;

/// What is written of a build. Versioned: later kilns read what this one wrote.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Account {
    version: u32,
    /// Seconds since 1970.
    pub(crate) finished: u64,
    pub(crate) milliseconds: u64,
    /// The first name of the image, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image: Option<String>,
    /// Where the time went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) spans: Vec<Span>,
    #[serde(rename = "vertices")]
    pub(crate) steps: Vec<Step>,
}

/// One vertex of the plan.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Step {
    pub(crate) name: String,
    /// Hexadecimal; base images have none.
    pub(crate) key: Option<String>,
    pub(crate) outcome: Word,
    pub(crate) milliseconds: u64,
    /// The step whose result it starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<usize>,
    /// The content of its result, hexadecimal.
    #[serde(default)]
    pub(crate) content: String,
    /// `--no-cache` or `--no-cache-filter` made it run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ignored_cache: bool,
}

/// [`Outcome`] as it is written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    Base,
    Hit,
    Ran,
    Unchanged,
}

impl Word {
    /// True if the step had to run.
    pub(crate) fn ran(self) -> bool {
        matches!(self, Self::Ran | Self::Unchanged)
    }
}

impl Step {
    /// Returns the key of the step's record.
    pub(crate) fn record_key(&self) -> Option<RecordKey> {
        self.key.as_deref().and_then(image::digest::unhex).map(RecordKey)
    }
}

/// Writes the account of a build that ran something; one in which all was known has nothing new to tell.
pub(crate) fn write(
    store: &Store,
    plan: &Plan,
    solution: &Solution,
    image: Option<String>,
    timings: &Timings,
) -> Result<(), Failure> {
    let finished = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let steps = plan.vertices.iter().zip(&solution.vertices).map(|(vertex, report)| Step {
        name: vertex.name.clone(),
        key: report.key.map(|key| key.to_string()),
        outcome: match report.outcome {
            Outcome::Base => Word::Base,
            Outcome::Hit => Word::Hit,
            Outcome::Ran => Word::Ran,
            Outcome::Unchanged => Word::Unchanged,
        },
        milliseconds: milliseconds(report.elapsed),
        parent: vertex.parent.map(|parent| parent.0 as usize),
        content: report.content.hex(),
        ignored_cache: vertex.ignore_cache,
    });
    let account = Account {
        version: VERSION,
        finished: finished.as_secs(),
        milliseconds: milliseconds(timings.elapsed()),
        spans: timings.spans(),
        image,
        steps: steps.collect(),
    };
    // Sorts by time; the process makes it unique.
    let id = format!("{:011}-{:09}-{}", finished.as_secs(), finished.subsec_nanos(), std::process::id());
    Ok(store.put_build(&id, &serde_json::to_vec(&account)?)?)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads an account; `None` if it is gone or another version wrote it.
pub(crate) fn read(store: &Store, id: &str) -> Result<Option<Account>, Failure> {
    let account = store.build(id)?.and_then(|bytes| serde_json::from_slice::<Account>(&bytes).ok());
    Ok(account.filter(|account| account.version == VERSION))
}
