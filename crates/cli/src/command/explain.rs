//! `kiln explain`: why each step of a build ran, or did not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use plan::{Op, Plan};
use serde_json::json;
use solver::Missing;
use store::{Record, RecordInput, Store};

use crate::account::{self, Account, End, Step, Word};
use crate::assemble::rfc3339;
use crate::error::Failure;
use crate::output::table::shorten;
use crate::progress::seconds;
use crate::resolve;
use crate::settings::open_store;
use crate::terminal;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Build to explain: (the start of) an id of `kiln builds`, or the name of an image, which is the last build of it
    /// [default: the last in which something ran]
    #[arg(value_name = "BUILD|IMAGE")]
    build: Option<String>,
    /// Only steps whose name contains this; it may stand alone
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
        let Chosen { position, account, step } = self.choose(&store, &ids)?;
        ids.truncate(position + 1);
        let id = ids.pop().unwrap_or_default();
        let wanted = |name: &str| step.is_none_or(|text| name.contains(text));
        if !self.json
            && let Some(line) = ending(&id, &account)
        {
            terminal::result(&line);
        }
        let earlier = Earlier::read(&store, &ids)?;
        for (index, step) in account.steps.iter().enumerate().filter(|(_, step)| wanted(&step.name)) {
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

    /// Finds out which build is meant, and which steps of it: the first word may be a build, an image or a step.
    fn choose(&self, store: &Store, ids: &[String]) -> Result<Chosen<'_>, Failure> {
        let unreadable = |at: usize| Failure::new(format!("build `{}` is not readable", ids[at]));
        let read = |at: usize| account::read(store, &ids[at])?.ok_or_else(|| unreadable(at));
        let last =
            || ids.len().checked_sub(1).ok_or_else(|| Failure::new("no build has run anything in this store yet"));
        let step = self.step.as_deref();
        let (position, account, step) = match &self.build {
            None => {
                let last = last()?;
                (last, read(last)?, step)
            }
            Some(text) => match account::find(ids, text)? {
                Some(at) => (at, read(at)?, step),
                None => match last_of(store, ids, text)? {
                    Some((at, account)) => (at, account, step),
                    None if step.is_some() => {
                        let failure = Failure::new(format!("no build `{text}`, nor one of an image of that name"));
                        return Err(failure.help("`kiln builds` lists them"));
                    }
                    None => {
                        let last = last()?;
                        (last, read(last)?, Some(text.as_str()))
                    }
                },
            },
        };
        if let Some(text) = step.filter(|text| !account.steps.iter().any(|step| step.name.contains(text))) {
            return Err(match self.step {
                Some(_) => Failure::new(format!("no step of build `{}` contains `{text}`", ids[position])),
                None => Failure::new(format!(
                    "no build `{text}`, nor one of an image of that name; no step of the last build contains it"
                ))
                .help("`kiln builds` lists builds; `kiln explain` without arguments shows the steps of the last"),
            });
        }
        Ok(Chosen { position, account, step })
    }
}

/// A build and what is asked of it.
struct Chosen<'a> {
    /// Among the ids of all builds.
    position: usize,
    account: Account,
    step: Option<&'a str>,
}

/// Finds the last build of an image, by its name.
fn last_of(store: &Store, ids: &[String], name: &str) -> Result<Option<(usize, Account)>, Failure> {
    let Ok(name) = resolve::reference(name) else { return Ok(None) };
    let name = name.or_latest().familiar();
    for (at, id) in ids.iter().enumerate().rev() {
        if let Some(account) = account::read(store, id)?
            && account.images.contains(&name)
        {
            return Ok(Some((at, account)));
        }
    }
    Ok(None)
}

/// Says that a build did not end well.
fn ending(id: &str, account: &Account) -> Option<String> {
    match &account.end {
        End::Done => None,
        End::Canceled => Some(format!("build {id} was canceled")),
        End::Failed { step: Some(_), error } => Some(format!("build {id} failed: {error}")),
        End::Failed { step: None, error } => Some(format!("build {id} failed after its steps: {error}")),
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
        Word::Failed => format!("failed  {} ({took})", step.name),
        Word::Canceled => format!("stopped {} ({took})", step.name),
        Word::Pending => format!("not run {}", step.name),
    };
    let mut lines = vec![head];
    lines.extend(reasons.iter().map(|reason| format!("        because {reason}")));
    lines.join("\n")
}

/// The steps of earlier builds, newest first.
struct Earlier(Vec<Past>);

/// A step of an earlier build.
#[derive(Clone)]
struct Past {
    step: Step,
    /// The base image that it started from, if it did from one.
    base: Option<String>,
}

/// A step whose earlier record is looked for.
struct Sought<'a> {
    name: &'a str,
    inputs: &'a [RecordInput],
    /// The names of all steps of its build.
    names: Vec<&'a str>,
}

impl Earlier {
    fn read(store: &Store, ids: &[String]) -> Result<Self, Failure> {
        let mut steps = Vec::new();
        for id in ids.iter().rev().take(LOOK_BACK) {
            let earlier = account::read(store, id)?.map(|account| account.steps).unwrap_or_default();
            let bases: Vec<Option<String>> = earlier.iter().map(|step| step.base.clone()).collect();
            let base = |step: &Step| step.parent.and_then(|parent| bases.get(parent).cloned().flatten());
            steps.extend(earlier.into_iter().map(|step| Past { base: base(&step), step }));
        }
        Ok(Self(steps))
    }

    /// Finds the nearest earlier step, and what went into it then: the last that was written alike; else the last that was
    /// in its place; else the last of its kind that started from the same.
    fn record(&self, store: &Store, sought: &Sought<'_>) -> Result<Option<(Past, Record)>, Failure> {
        let any = |_: &Record| true;
        let alike = |step: &Step| instruction(&step.name) == instruction(sought.name);
        // What the build still has elsewhere is not what this one was.
        let others: BTreeSet<&str> = sought.names.iter().map(|name| instruction(name)).collect();
        let replaced = |step: &Step| kind(&step.name) == kind(sought.name) && !others.contains(instruction(&step.name));
        let in_place = |step: &Step| place(&step.name) == place(sought.name) && replaced(step);
        let parent = sought.inputs.iter().find(|input| input.name == PARENT);
        let same_parent = |record: &Record| parent.is_some_and(|parent| record.inputs.contains(parent));
        let found = match self.last(store, |step| step.name == sought.name, any)? {
            None => self.last(store, alike, any)?,
            found => found,
        };
        let found = match found {
            None => self.last(store, in_place, any)?,
            found => found,
        };
        match found {
            None => self.last(store, replaced, same_parent),
            found => Ok(found),
        }
    }

    /// Finds the last step whose record is still there.
    fn last(
        &self,
        store: &Store,
        step: impl Fn(&Step) -> bool,
        fits: impl Fn(&Record) -> bool,
    ) -> Result<Option<(Past, Record)>, Failure> {
        for earlier in self.0.iter().filter(|earlier| step(&earlier.step)) {
            if let Some(key) = earlier.step.record_key()
                && let Some(record) = store.record(&key)?
                && fits(&record)
            {
                return Ok(Some((earlier.clone(), record)));
            }
        }
        Ok(None)
    }
}

/// The input that a command starts from.
const PARENT: &str = "parent";

/// The name without the stage's counter: a step that moved is still the same step.
fn instruction(name: &str) -> &str {
    name.split_once("] ").map_or(name, |(_, instruction)| instruction)
}

/// `RUN`, `COPY`: the first word.
fn kind(name: &str) -> &str {
    instruction(name).split(' ').next().unwrap_or_default()
}

/// The stage and the number in it, without how many there are.
fn place(name: &str) -> Option<&str> {
    let (front, _) = name.split_once("] ")?;
    front.rsplit_once('/').map(|(place, _)| place)
}

/// Says why a step ran: the inputs that differ from the last time.
fn reasons(store: &Store, account: &Account, index: usize, earlier: &Earlier) -> Result<Vec<String>, Failure> {
    let step = &account.steps[index];
    if !step.outcome.ran() {
        return Ok(step.reasons.clone());
    }
    let Some(now) = step.record_key().map(|key| store.record(&key)).transpose()?.flatten() else {
        let removed = step.record_key().map(|key| store.removed_at(&key)).transpose()?.flatten();
        return Ok(vec![match removed {
            Some(time) => format!("unknown: its record was removed by collection on {}", rfc3339(time)),
            None => "its record has been removed since".to_owned(),
        }]);
    };
    let names = account.steps.iter().map(|step| step.name.as_str()).collect();
    let Some((before, record)) = earlier.record(store, &Sought { name: &step.name, inputs: &now.inputs, names })?
    else {
        return Ok(vec!["it was never built".to_owned()]);
    };
    if before.step.key == step.key {
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
    let parent = step.parent.and_then(|parent| account.steps.get(parent));
    let start = parent.map(|parent| Start { name: &parent.name, base: parent.base.clone(), before: before.base });
    compare(store, record.inputs, now.inputs, start)
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
    let names = plan.vertices.iter().map(|vertex| vertex.name.as_str()).collect();
    let sought = Sought { name: &vertex.name, inputs, names };
    let Some((before, record)) = Earlier::read(store, &store.builds()?)?.record(store, &sought)? else {
        return Ok(vec!["it was never built".to_owned()]);
    };
    let parent = vertex.parent.map(|parent| &plan.vertices[parent.index()]);
    let start = parent.map(|parent| Start { name: &parent.name, base: account::base(parent), before: before.base });
    compare(store, record.inputs, inputs.clone(), start)
}

/// What a step starts from.
struct Start<'a> {
    /// Of the step whose result it is.
    name: &'a str,
    /// Which base image that is, if it is one.
    base: Option<String>,
    /// The base image that it started from before.
    before: Option<String>,
}

impl Start<'_> {
    fn changed(&self) -> String {
        match (&self.before, &self.base) {
            (Some(before), Some(now)) if before != now => format!("the base image changed: `{before}` → `{now}`"),
            _ => format!("what it starts from changed: {}", shorten(self.name, 70)),
        }
    }
}

/// Says what differs between two records of a step; `start` is what it starts from.
fn compare(
    store: &Store,
    before: Vec<RecordInput>,
    now: Vec<RecordInput>,
    start: Option<Start<'_>>,
) -> Result<Vec<String>, Failure> {
    let mut reasons = differences(&with_files(store, before)?, &with_files(store, now)?);
    for reason in &mut reasons {
        if reason.starts_with(PARENT) {
            *reason = start.as_ref().map_or_else(|| "what it starts from changed".to_owned(), Start::changed);
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
    let (label, [old, new]) = match name {
        // What runs a shell command says nothing when both are such.
        "argv" => (
            "the command",
            [old, new].map(|text| match old.starts_with(SHELL) && new.starts_with(SHELL) {
                true => &text[SHELL.len()..],
                false => text,
            }),
        ),
        _ => (name, [old, new]),
    };
    let same = same_front(old, new);
    format!("{label} changed: `{}` → `{}`", piece(old, same), piece(new, same))
}

/// How the default shell is asked to run a command.
const SHELL: &str = "/bin/sh -c ";
/// As much of a value is shown.
const SHOWN: usize = 60;

/// Returns how many bytes at the start of two long texts need not be shown: all but some words before they differ.
fn same_front(old: &str, new: &str) -> usize {
    if old.len().max(new.len()) <= SHOWN {
        return 0;
    }
    let pairs = old.char_indices().zip(new.chars());
    let differs = pairs.take_while(|((_, a), b)| a == b).last().map_or(0, |((at, c), _)| at + c.len_utf8());
    if differs <= SHOWN / 2 {
        return 0;
    }
    let context = old.floor_char_boundary(differs - SHOWN / 3);
    old[..context].rfind(char::is_whitespace).map_or(context, |at| at + 1)
}

fn piece(text: &str, from: usize) -> String {
    let shown = shorten(&text[from..], SHOWN);
    if from == 0 { shown } else { format!("…{shown}") }
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
                "the command changed: `make` → `make all`",
                "env A changed",
                "file x changed (mode, content)",
                "file z is new",
                "gone is gone"
            ]
        );
    }

    #[test]
    fn a_change_far_inside_a_long_command_is_shown() {
        let long = "/bin/sh -c ".to_owned() + &"apt-get install -y something ".repeat(9);
        let said = changed("argv", &format!("{long}curl"), &format!("{long}wget é"));
        assert_eq!(said, "the command changed: `…install -y something curl` → `…install -y something wget é`");
        assert_eq!(changed("argv", "/bin/sh -c make", "make"), "the command changed: `/bin/sh -c make` → `make`");
    }

    #[test]
    fn many_differences_are_counted() {
        let names: Vec<String> = (0..9).map(|n| format!("file {n}")).collect();
        let now = inputs(&names.iter().map(|name| (name.as_str(), "directory")).collect::<Vec<_>>());
        assert_eq!(differences(&[], &now).last().map(String::as_str), Some("4 more inputs changed"));
    }
}
