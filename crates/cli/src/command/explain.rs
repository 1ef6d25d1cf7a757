//! `kiln explain`: why each step of a build ran, or did not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use plan::{Op, Plan};
use serde_json::json;
use solver::Missing;
use store::{Record, RecordInput, Store};

use crate::account::{self, Account, Step, Word};
use crate::assemble::rfc3339;
use crate::error::Failure;
use crate::output::table::shorten;
use crate::progress::seconds;
use crate::settings::open_store;
use crate::terminal;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Build to explain, see `kiln builds` [default: the last in which something ran]
    build: Option<String>,
    /// Only steps whose name contains this
    step: Option<String>,
    /// One JSON object a step
    #[arg(long)]
    json: bool,
}

/// Earlier accounts looked at in search of the same step.
const LOOK_BACK: usize = 100;

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let store = open_store(root)?;
        let mut ids = store.builds()?;
        let chosen = match &self.build {
            Some(wanted) => ids.iter().position(|id| id == wanted),
            None => ids.len().checked_sub(1),
        };
        let Some(position) = chosen else {
            return Err(match &self.build {
                Some(id) => Failure::new(format!("no build `{id}`")).help("`kiln builds` lists them"),
                None => Failure::new("no build has run anything in this store yet"),
            });
        };
        ids.truncate(position + 1);
        let id = ids.pop().unwrap_or_default();
        let account =
            account::read(&store, &id)?.ok_or_else(|| Failure::new(format!("build `{id}` is not readable")))?;
        let earlier = Earlier::read(&store, &ids)?;
        for (index, step) in account.steps.iter().enumerate() {
            if self.step.as_ref().is_some_and(|text| !step.name.contains(text)) {
                continue;
            }
            let reasons = reasons(&store, &account, index, &earlier)?;
            if self.json {
                let line = json!({
                    "name": step.name, "outcome": step.outcome, "milliseconds": step.milliseconds, "reasons": reasons,
                });
                terminal::result(&line.to_string());
            } else {
                terminal::result(&describe(step, &reasons));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(step: &Step, reasons: &[String]) -> String {
    let took = seconds(std::time::Duration::from_millis(step.milliseconds));
    let head = match step.outcome {
        Word::Base => format!("base    {}", step.name),
        Word::Hit => format!("reused  {}", step.name),
        Word::Ran => format!("ran     {} ({took})", step.name),
        Word::Unchanged => {
            format!("ran     {} ({took}), with the result it had before: what only reads that is reused", step.name)
        }
    };
    let mut lines = vec![head];
    lines.extend(reasons.iter().map(|reason| format!("        because {reason}")));
    lines.join("\n")
}

/// The steps of earlier builds, newest first.
struct Earlier(Vec<Step>);

impl Earlier {
    fn read(store: &Store, ids: &[String]) -> Result<Self, Failure> {
        let mut steps = Vec::new();
        for id in ids.iter().rev().take(LOOK_BACK) {
            steps.extend(account::read(store, id)?.map(|account| account.steps).unwrap_or_default());
        }
        Ok(Self(steps))
    }

    /// Finds the last time the step was there, and what went into it then.
    fn record(&self, store: &Store, name: &str) -> Result<Option<(Step, Record)>, Failure> {
        let same = |earlier: &&Step| instruction(&earlier.name) == instruction(name);
        let named = self.0.iter().filter(|earlier| earlier.name == name).chain(self.0.iter().filter(same));
        for earlier in named {
            if let Some(key) = earlier.record_key()
                && let Some(record) = store.record(&key)?
            {
                return Ok(Some((earlier.clone(), record)));
            }
        }
        Ok(None)
    }
}

/// The name without the stage's counter: a step that moved is still the same step.
fn instruction(name: &str) -> &str {
    name.split_once("] ").map_or(name, |(_, instruction)| instruction)
}

/// Says why a step ran: the inputs that differ from the last time.
fn reasons(store: &Store, account: &Account, index: usize, earlier: &Earlier) -> Result<Vec<String>, Failure> {
    let step = &account.steps[index];
    if !step.outcome.ran() {
        return Ok(Vec::new());
    }
    let Some(now) = step.record_key().map(|key| store.record(&key)).transpose()?.flatten() else {
        let removed = step.record_key().map(|key| store.removed_at(&key)).transpose()?.flatten();
        return Ok(vec![match removed {
            Some(time) => format!("unknown: its record was removed by collection on {}", rfc3339(time)),
            None => "its record has been removed since".to_owned(),
        }]);
    };
    let Some((before, record)) = earlier.record(store, &step.name)? else {
        return Ok(vec!["it was never built".to_owned()]);
    };
    if before.key == step.key {
        let address = now.inputs.iter().find(|input| input.name == solver::ADDRESS);
        if let Some(address) = address.filter(|_| !step.ignored_cache) {
            let find =
                |name: &str| now.inputs.iter().find(|input| input.name == name).map(|input| shorten(&input.value, 12));
            if let (Some(commit), Some(before)) = (find(solver::COMMIT), find(solver::COMMIT_BEFORE)) {
                return Ok(vec![format!("{} is at commit {commit} now, and was at {before}", address.value)]);
            }
            return Ok(vec![match step.outcome {
                Word::Unchanged => format!("the server of {} did not say that it is the same", address.value),
                _ => format!("what is at {} changed", address.value),
            }]);
        }
        return Ok(vec![if step.ignored_cache {
            "the cache was ignored (--no-cache)".to_owned()
        } else {
            match step.record_key().map(|key| store.removed_at(&key)).transpose()?.flatten() {
                Some(time) => format!("its earlier result was removed by collection on {}", rfc3339(time)),
                None => "its earlier result had been removed".to_owned(),
            }
        }]);
    }
    let parent = step.parent.and_then(|parent| account.steps.get(parent)).map(|parent| parent.name.as_str());
    compare(store, record.inputs, now.inputs, parent)
}

/// Says why the result of a step is not known that has not run yet.
pub(crate) fn why_missing(store: &Store, plan: &Plan, missing: &Missing) -> Result<Vec<String>, Failure> {
    let vertex = &plan.vertices[missing.vertex.index()];
    let Some((key, inputs)) = &missing.wanted else {
        return Ok(vec!["the layers of its base image are not here, and only they can tell".to_owned()]);
    };
    if vertex.ignore_cache {
        return Ok(vec!["the cache is ignored (--no-cache)".to_owned()]);
    }
    if let Some(time) = store.removed_at(&key.record())? {
        return Ok(vec![format!("its earlier result was removed by collection on {}", rfc3339(time))]);
    }
    if let Op::Source(source) = &vertex.op {
        return Ok(vec![match source.is_pinned() {
            true => "it was never fetched".to_owned(),
            false => "only its server can tell whether it is still the same".to_owned(),
        }]);
    }
    let Some((_, record)) = Earlier::read(store, &store.builds()?)?.record(store, &vertex.name)? else {
        return Ok(vec!["it was never built".to_owned()]);
    };
    let parent = vertex.parent.map(|parent| plan.vertices[parent.index()].name.as_str());
    compare(store, record.inputs, inputs.clone(), parent)
}

/// Says what differs between two records of a step; `parent` is the name of the step it starts from.
fn compare(
    store: &Store,
    before: Vec<RecordInput>,
    now: Vec<RecordInput>,
    parent: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let mut reasons = differences(&with_files(store, before)?, &with_files(store, now)?);
    for reason in &mut reasons {
        if reason.starts_with("parent") {
            *reason = match parent {
                Some(parent) => format!("what it starts from changed: {}", shorten(parent, 70)),
                None => "what it starts from changed".to_owned(),
            };
        }
    }
    if reasons.is_empty() {
        reasons.push("the order of its inputs changed".to_owned());
    }
    Ok(reasons)
}

/// Puts the files of a copy in the place of their common hash, as far as they were kept.
fn with_files(store: &Store, inputs: Vec<RecordInput>) -> Result<Vec<RecordInput>, Failure> {
    let mut all = Vec::with_capacity(inputs.len());
    for input in inputs {
        match solver::files_of(store, &input)? {
            Some(files) => all.extend(files.into_iter().map(|file| RecordInput {
                name: format!("file {}", String::from_utf8_lossy(&file.path)),
                value: file.what,
            })),
            None => all.push(input),
        }
    }
    Ok(all)
}

/// At most this many differences are told; the rest is counted.
const TOLD: usize = 5;

fn differences(before: &[RecordInput], now: &[RecordInput]) -> Vec<String> {
    let index = |inputs: &[RecordInput]| -> BTreeMap<String, String> {
        inputs.iter().map(|input| (input.name.clone(), input.value.clone())).collect()
    };
    let (old, new) = (index(before), index(now));
    let mut found: Vec<String> = now
        .iter()
        .filter_map(|input| match old.get(&input.name) {
            None => Some(format!("{} is new", input.name)),
            Some(value) if *value != input.value => Some(changed(&input.name, value, &input.value)),
            Some(_) => None,
        })
        .collect();
    found.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{name} is gone")));
    if found.len() > TOLD {
        let more = found.len() - TOLD;
        found.truncate(TOLD);
        found.push(format!("{more} more inputs changed"));
    }
    found
}

/// Says what of an input changed. Values of files are mode, owner and content; hashes say nothing to people.
fn changed(name: &str, old: &str, new: &str) -> String {
    if let Some(path) = name.strip_prefix("file ") {
        let (old, new): (Vec<&str>, Vec<&str>) = (old.splitn(3, ' ').collect(), new.splitn(3, ' ').collect());
        let parts: Vec<&str> = ["mode", "owner", "content"]
            .into_iter()
            .enumerate()
            .filter(|(i, _)| old.get(*i) != new.get(*i))
            .map(|(_, part)| part)
            .collect();
        return format!("file {path} changed ({})", parts.join(", "));
    }
    let is_hash = |text: &str| text.len() >= 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hash(old) || is_hash(new) {
        return format!("{name} changed");
    }
    format!("{name} changed: {} -> {}", shorten(old, 40), shorten(new, 40))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(pairs: &[(&str, &str)]) -> Vec<RecordInput> {
        pairs.iter().map(|&(name, value)| RecordInput { name: name.into(), value: value.into() }).collect()
    }

    #[test]
    fn differences_are_told_by_name() {
        let hash = "0123456789abcdef0123456789abcdef";
        let other = "0123456789abcdef0123456789abcdee";
        let before = inputs(&[
            ("argv", "make"),
            ("env A", hash),
            ("file x", &format!("644 0:0 {hash}")),
            ("file y", &format!("644 0:0 {hash}")),
            ("gone", "1"),
        ]);
        let now = inputs(&[
            ("argv", "make all"),
            ("env A", other),
            ("file x", &format!("755 0:0 {other}")),
            ("file y", &format!("644 0:0 {hash}")),
            ("file z", "directory"),
        ]);
        assert_eq!(
            differences(&before, &now),
            [
                "argv changed: make -> make all",
                "env A changed",
                "file x changed (mode, content)",
                "file z is new",
                "gone is gone"
            ]
        );
    }

    #[test]
    fn many_differences_are_counted() {
        let names: Vec<String> = (0..9).map(|n| format!("file {n}")).collect();
        let now = inputs(&names.iter().map(|name| (name.as_str(), "directory")).collect::<Vec<_>>());
        assert_eq!(differences(&[], &now).last().map(String::as_str), Some("4 more inputs changed"));
    }
}
