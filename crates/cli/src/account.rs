//! The accounts of builds: what each step did, kept in the store for `explain` and `builds`.

use std::time::{Duration, SystemTime};

use image::Reference;
use plan::{Op, Plan, Vertex, VertexId};
use serde::{Deserialize, Deserializer, Serialize};
use solver::{Outcome, Reached, Solution, SolveError, SolveErrorKind, VertexReport};
use store::{RecordKey, Store};

use crate::error::Failure;
use crate::output::table;
use crate::timings::{Span, Timings};

/// The first had no result: all builds it tells of ended well.
const VERSION: u32 = 2;
const OLDEST: u32 = 1;

/// What is written of a build. Versioned: later kilns read what this one wrote.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Account {
    version: u32,
    /// Seconds since 1970.
    pub(crate) finished: u64,
    pub(crate) milliseconds: u64,
    /// The names given to the image.
    #[serde(default, alias = "image", deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub(crate) images: Vec<String>,
    #[serde(default)]
    pub(crate) end: End,
    /// Where the time went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) spans: Vec<Span>,
    #[serde(rename = "vertices")]
    pub(crate) steps: Vec<Step>,
}

/// How a build ended.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "result")]
pub(crate) enum End {
    #[default]
    Done,
    /// `step`: the one that failed; none if its steps had ended well, and an output failed.
    Failed {
        step: Option<usize>,
        error: String,
    },
    Canceled,
}

/// One vertex of the plan.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Step {
    pub(crate) name: String,
    /// Hexadecimal; base images have none.
    pub(crate) key: Option<String>,
    /// Of a base image: its name, with the digest of its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<String>,
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
    /// Why it was begun, if it did not end well: then no record can tell later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) reasons: Vec<String>,
}

/// [`Outcome`] as it is written, and what becomes of steps in a build that fails.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    Base,
    Hit,
    Ran,
    Unchanged,
    Failed,
    /// It was stopped while it ran.
    Canceled,
    /// It was not begun.
    Pending,
}

impl Word {
    /// True if the step had to run, and did so to its end.
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

/// A build that ran something, for its account.
#[derive(Debug)]
pub(crate) struct Build<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) images: Vec<String>,
    pub(crate) timings: &'a Timings,
}

impl Build<'_> {
    /// Writes the account of a build whose steps ended well; one in which all was known has nothing new to tell.
    pub(crate) fn write(&self, store: &Store, solution: &Solution, end: End) -> Result<(), Failure> {
        let steps = self.plan.vertices.iter().zip(&solution.vertices);
        self.put(store, end, steps.map(|(vertex, report)| step(vertex, report)).collect())
    }

    /// Writes the account of a build that failed or was stopped, if anything had begun to run. `reasons`: why what did not
    /// come to its end had to run.
    pub(crate) fn write_failed(
        &self,
        store: &Store,
        error: &SolveError,
        reasons: &[(VertexId, Vec<String>)],
    ) -> Result<(), Failure> {
        if !error.unfinished.vertices.iter().any(has_run) {
            return Ok(());
        }
        let failed = error.vertex.map(VertexId::index);
        let steps =
            self.plan.vertices.iter().zip(&error.unfinished.vertices).enumerate().map(|(at, (vertex, reached))| {
                let unfinished = |outcome, elapsed| Step {
                    outcome,
                    milliseconds: milliseconds(elapsed),
                    reasons: reasons
                        .iter()
                        .find(|(id, _)| id.index() == at)
                        .map(|(_, r)| r.clone())
                        .unwrap_or_default(),
                    ..unknown(vertex)
                };
                match reached {
                    Reached::Done(report) => step(vertex, report),
                    Reached::Begun(elapsed) if failed == Some(at) => unfinished(Word::Failed, *elapsed),
                    Reached::Begun(elapsed) => unfinished(Word::Canceled, *elapsed),
                    Reached::Nothing if failed == Some(at) => unfinished(Word::Failed, Duration::ZERO),
                    Reached::Nothing => unknown(vertex),
                }
            });
        let end = match &error.kind {
            SolveErrorKind::Canceled => End::Canceled,
            kind => End::Failed { step: failed, error: short(&kind.to_string()) },
        };
        self.put(store, end, steps.collect())
    }

    fn put(&self, store: &Store, end: End, steps: Vec<Step>) -> Result<(), Failure> {
        let finished = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let account = Account {
            version: VERSION,
            finished: finished.as_secs(),
            milliseconds: milliseconds(self.timings.elapsed()),
            end,
            spans: self.timings.spans(),
            images: self.images.clone(),
            steps,
        };
        // Sorts by time; the process makes it unique.
        let id = format!("{:011}-{:09}-{}", finished.as_secs(), finished.subsec_nanos(), std::process::id());
        Ok(store.put_build(&id, &serde_json::to_vec(&account)?)?)
    }
}

/// An error as an account has it: one line.
pub(crate) fn short(error: &str) -> String {
    table::shorten(error, 200)
}

fn has_run(reached: &Reached) -> bool {
    match reached {
        Reached::Nothing => false,
        Reached::Begun(_) => true,
        Reached::Done(report) => matches!(report.outcome, Outcome::Ran | Outcome::Unchanged),
    }
}

fn step(vertex: &Vertex, report: &VertexReport) -> Step {
    Step {
        key: report.key.map(|key| key.to_string()),
        outcome: match report.outcome {
            Outcome::Base => Word::Base,
            Outcome::Hit => Word::Hit,
            Outcome::Ran => Word::Ran,
            Outcome::Unchanged => Word::Unchanged,
        },
        milliseconds: milliseconds(report.elapsed),
        content: report.content.hex(),
        ..unknown(vertex)
    }
}

/// A step of which nothing is known.
fn unknown(vertex: &Vertex) -> Step {
    Step {
        name: vertex.name.clone(),
        key: None,
        base: base(vertex),
        outcome: Word::Pending,
        milliseconds: 0,
        parent: vertex.parent.map(VertexId::index),
        content: String::new(),
        ignored_cache: vertex.ignore_cache,
        reasons: Vec::new(),
    }
}

/// Returns which base image a vertex is, down to the bytes.
pub(crate) fn base(vertex: &Vertex) -> Option<String> {
    let Op::Base(base) = &vertex.op else { return None };
    let name = Reference { digest: None, ..base.reference.clone() };
    Some(format!("{}@{}", name.familiar(), base.descriptor.digest()))
}

/// Reads a list; the first accounts had one name, or none.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Names::deserialize(deserializer)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads an account; `None` if it is gone or another version wrote it.
pub(crate) fn read(store: &Store, id: &str) -> Result<Option<Account>, Failure> {
    let account = store.build(id)?.and_then(|bytes| serde_json::from_slice::<Account>(&bytes).ok());
    Ok(account.filter(|account| (OLDEST..=VERSION).contains(&account.version)))
}

/// Finds a build among the ids of all by its id, or the start of it.
pub(crate) fn find(ids: &[String], text: &str) -> Result<Option<usize>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut fitting = ids.iter().enumerate().filter(|(_, id)| id.starts_with(text)).map(|(at, _)| at);
    let first = fitting.next();
    let others = fitting.count();
    // Ids differ in length: one may be the start of another.
    let exact = ids.iter().position(|id| id == text);
    if exact.is_none() && others > 0 {
        let message = format!("`{text}` is the start of the ids of {} builds", others + 1);
        return Err(Failure::new(message).help("`kiln builds` lists them"));
    }
    Ok(exact.or(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_are_found_by_the_start_of_their_id() {
        let ids = ["011-5-7".to_owned(), "011-5-77".to_owned(), "012-1-1".to_owned()];
        let find = |text| find(&ids, text).map_err(|failure| failure.message().to_owned());
        assert_eq!(find("012"), Ok(Some(2)));
        assert_eq!(find("011-5-7"), Ok(Some(0)));
        assert_eq!(find("013"), Ok(None));
        assert_eq!(find("011"), Err("`011` is the start of the ids of 2 builds".to_owned()));
    }

    #[test]
    fn accounts_of_the_first_version_are_read() {
        let old = r#"{"version":1,"finished":1,"milliseconds":2,"vertices":[]}"#;
        let account: Account = serde_json::from_str(old).expect("an account");
        assert_eq!((account.end, account.images), (End::Done, Vec::new()));
        let named = r#"{"version":2,"finished":1,"milliseconds":2,"image":"a:b","vertices":[]}"#;
        let account: Account = serde_json::from_str(named).expect("an account");
        assert_eq!(account.images, ["a:b"]);
    }
}
