//! `--call=outline`, in the words of buildx.

use dockerfile::Source;
use plan::{Outline, OutlineMount};
use serde_json::{Map, Value, json};

use super::location;
use crate::lint::report;

/// The space between columns.
const GAP: usize = 3;

/// Draws tables; those without rows are left out.
pub(super) fn text(outline: &Outline) -> String {
    let mut head = vec![row(["TARGET:", outline.name.as_deref().unwrap_or("(default)")])];
    head.extend(outline.description.as_deref().map(|text| row(["DESCRIPTION:", text])));
    let mut tables = vec![table(&head)];
    let arguments = outline.arguments.iter().map(|argument| {
        let (value, description) = (argument.value.as_deref(), argument.description.as_deref());
        row([argument.name.as_str(), value.unwrap_or_default(), description.unwrap_or_default()])
    });
    tables.extend(titled(row(["BUILD ARG", "VALUE", "DESCRIPTION"]), arguments));
    for (title, mounts) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        let rows = mounts.iter().map(|mount| row([mount.id.as_str(), if mount.required { "true" } else { "" }]));
        tables.extend(titled(row([title, "REQUIRED"]), rows));
    }
    tables.extend(titled(row(["CACHE"]), outline.caches.iter().map(|cache| row([cache.id.as_str()]))));
    tables.join("\n\n")
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    // A value may have line ends, and what else a terminal obeys.
    cells.map(|cell| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()).to_vec()
}

fn titled(title: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Option<String> {
    let all: Vec<_> = std::iter::once(title).chain(rows).collect();
    (all.len() > 1).then(|| table(&all))
}

fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default() + GAP;
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Writes the object of BuildKit's subrequest; what is empty is left out.
pub(super) fn json(outline: &Outline, source: &Source) -> String {
    let arguments = outline.arguments.iter().map(|argument| {
        object([
            ("name", json!(argument.name)),
            ("description", json!(argument.description)),
            ("value", json!(argument.value)),
            ("location", location(source, argument.span)),
        ])
    });
    let mounts = |key, list: &[OutlineMount]| -> Value {
        let object = |mount: &OutlineMount| {
            let required = if mount.required { json!(true) } else { Value::Null };
            object([(key, json!(mount.id)), ("required", required), ("location", location(source, mount.span))])
        };
        list.iter().map(object).collect()
    };
    let whole = object([
        ("name", json!(outline.name)),
        ("description", json!(outline.description)),
        ("args", arguments.collect()),
        ("secrets", mounts("name", &outline.secrets)),
        ("ssh", mounts("name", &outline.ssh)),
        ("cache", mounts("ID", &outline.caches)),
        ("sources", json!([report::base64(source.text.as_bytes())])),
    ]);
    format!("{whole:#}")
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let given = fields.into_iter().filter(|(_, value)| !value.is_null() && *value != json!("") && *value != json!([]));
    Value::Object(given.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}
