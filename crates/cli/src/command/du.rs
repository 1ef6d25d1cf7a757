//! `kiln du`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;
use store::{Holder, Item, RecordKey, Store, What};

use super::enter_namespace;
use crate::account;
use crate::assemble::rfc3339;
use crate::error::Failure;
use crate::output::table;
use crate::settings::open_store;
use crate::terminal;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Each thing: its size, when it was last used, and why it is kept
    #[arg(short, long)]
    verbose: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Also read everything, and fail if something is not what its name says
    #[arg(long)]
    verify: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    Table,
    Json,
}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        if self.verify {
            // Files that only their owners can read are read, too.
            enter_namespace()?;
        }
        let store = open_store(root)?;
        if self.verify {
            let problems = store.verify()?;
            for problem in &problems {
                terminal::note(&format!("{}: {}", problem.name, problem.reason));
            }
            if !problems.is_empty() {
                return Err(Failure::new(format!("{} things in the store are damaged", problems.len())));
            }
        }
        let items = store.usage()?;
        let steps = steps(&store)?;
        match self.format {
            Format::Json => terminal::result(&document(&items, &steps).to_string()),
            Format::Table => {
                if self.verbose {
                    terminal::result(&details(&items, &steps));
                    terminal::result("");
                }
                terminal::result(&totals(&items));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Names a kind of thing.
pub(super) fn kind(what: &What) -> &'static str {
    match what {
        What::Layer(_) => "layer",
        What::Blob(_) => "blob",
        What::Record(_) => "record",
        What::Draft(_) => "image draft",
        What::Flat(_) => "flattened layers",
        What::Fact => "fact",
        What::Context => "context",
        What::Build => "build",
        What::CacheMount => "cache mount",
        What::Volume => "volume",
        What::Container => "container",
        What::Temporary => "temporary",
        What::Trash => "trash",
    }
}

/// The steps that records belong to, as far as accounts of builds tell.
fn steps(store: &Store) -> Result<HashMap<RecordKey, String>, Failure> {
    let mut steps = HashMap::new();
    for id in store.builds()? {
        for step in account::read(store, &id)?.map(|account| account.steps).unwrap_or_default() {
            if let Some(key) = step.record_key() {
                steps.insert(key, step.name);
            }
        }
    }
    Ok(steps)
}

/// Says why a thing is kept: names and containers first, else the step that gave it.
fn reason(item: &Item, steps: &HashMap<RecordKey, String>) -> Vec<String> {
    let mut reasons = Vec::new();
    for holder in item.holders.iter().filter(|holder| !matches!(holder, Holder::Record(_))) {
        reasons.push(match holder {
            Holder::Name(name) => format!("image {}", name.familiar()),
            Holder::Container(id) => format!("container {}", id.get(..12).unwrap_or(id)),
            Holder::Record(_) => continue,
        });
    }
    if reasons.is_empty() {
        let known = item.holders.iter().filter_map(|holder| match holder {
            Holder::Record(key) => steps.get(key),
            _ => None,
        });
        reasons.extend(known.map(|step| format!("cache of {step}")));
        reasons.dedup();
    }
    if reasons.is_empty() && !item.holders.is_empty() {
        reasons.push("cache".to_owned());
    }
    reasons
}

fn details(items: &[Item], steps: &HashMap<RecordKey, String>) -> String {
    let rows = items.iter().map(|item| {
        let reasons = reason(item, steps).join(", ");
        vec![
            kind(&item.what).to_owned(),
            item.path.rsplit('/').next().unwrap_or_default().chars().take(12).collect(),
            table::size(item.size),
            rfc3339(item.used),
            table::shorten(&reasons, 60),
        ]
    });
    table::draw(&["KIND", "ID", "SIZE", "LAST USED", "KEPT BY"], &rows.collect::<Vec<_>>())
}

fn totals(items: &[Item]) -> String {
    let mut kinds: BTreeMap<&'static str, (usize, u64, u64)> = BTreeMap::new();
    for item in items {
        let sum = kinds.entry(kind(&item.what)).or_default();
        sum.0 += 1;
        sum.1 += item.size;
        sum.2 += if item.is_reclaimable() { item.size } else { 0 };
    }
    let (size, reclaimable) = kinds.values().fold((0, 0), |sum, kind| (sum.0 + kind.1, sum.1 + kind.2));
    let row = |name: &str, count: usize, size: u64, reclaimable: u64| {
        vec![name.to_owned(), count.to_string(), table::size(size), table::size(reclaimable)]
    };
    let mut rows: Vec<_> = kinds.iter().map(|(name, sum)| row(name, sum.0, sum.1, sum.2)).collect();
    rows.push(row("total", items.len(), size, reclaimable));
    table::draw(&["KIND", "COUNT", "SIZE", "RECLAIMABLE"], &rows)
}

fn document(items: &[Item], steps: &HashMap<RecordKey, String>) -> serde_json::Value {
    let size: u64 = items.iter().map(|item| item.size).sum();
    let reclaimable: u64 = items.iter().filter(|item| item.is_reclaimable()).map(|item| item.size).sum();
    let items = items.iter().map(|item| {
        json!({
            "kind": kind(&item.what), "path": item.path, "size": item.size, "lastUsed": rfc3339(item.used),
            "keptBy": reason(item, steps), "reclaimable": item.is_reclaimable(),
        })
    });
    json!({ "items": items.collect::<Vec<_>>(), "size": size, "reclaimable": reclaimable })
}
