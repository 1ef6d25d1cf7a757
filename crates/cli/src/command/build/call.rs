//! `kiln build --call`: questions about a Dockerfile that are answered without building it.

mod outline;

use std::process::ExitCode;

use dockerfile::{Diagnostics, Dockerfile, Source, Sources, Span};
use serde_json::{Value, json};
use store::Store;

use super::arguments::Options;
use super::failure;
use super::input::Input;
use crate::error::Failure;
use crate::lint;
use crate::lint::report;
use crate::terminal;

/// Which question, and how it is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Call {
    what: What,
    json: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Check,
    Outline,
    Targets,
}

impl Call {
    /// `--check`.
    pub(crate) fn check() -> Self {
        Self { what: What::Check, json: false }
    }

    /// Reads `check|outline|targets[,format=json|text]`; `build` is no question.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, Failure> {
        let mut parts = text.split(',');
        let what = match parts.next().unwrap_or_default() {
            "build" => return Ok(None),
            "check" | "lint" => What::Check,
            "targets" => What::Targets,
            "outline" => What::Outline,
            other => {
                let failure = Failure::new(format!("--call: unknown method `{other}`")).code(2);
                return Err(failure.help("build, check, outline or targets"));
            }
        };
        let mut json = false;
        for part in parts {
            match part.split_once('=') {
                Some(("format", format)) => json = report::is_json(format)?,
                _ => return Err(Failure::new(format!("--call: unknown option `{part}`")).help("format=json").code(2)),
            }
        }
        Ok(Some(Self { what, json }))
    }
}

/// Answers a question. As with buildx, a check that finds anything at all exits with 1.
pub(super) fn run(
    call: Call,
    options: &Options,
    input: &Input,
    store: &Store,
    dockerfile: &Dockerfile,
    mut sources: Sources,
    diagnostics: Diagnostics,
) -> Result<ExitCode, Failure> {
    match call.what {
        What::Outline => {
            let mut diagnostics = diagnostics;
            failure::stop_on_errors(&diagnostics, &sources)?;
            let outline = plan::outline(dockerfile, &options.plan, &mut diagnostics);
            failure::stop_on_errors(&diagnostics, &sources)?;
            let outline = outline.ok_or_else(|| Failure::new("there is no stage to tell of"))?;
            terminal::result(&match call.json {
                true => outline::json(&outline, &input.dockerfile),
                false => outline::text(&outline),
            });
            Ok(ExitCode::SUCCESS)
        }
        What::Targets => {
            failure::stop_on_errors(&diagnostics, &sources)?;
            terminal::result(&targets(dockerfile, input, call.json));
            Ok(ExitCode::SUCCESS)
        }
        What::Check => {
            let ignore = input.ignore()?;
            let found = lint::check(dockerfile, diagnostics, &mut sources, &options.plan, Some(store), ignore.as_ref());
            found.notes.iter().for_each(|note| terminal::note(&format!("note: {note}")));
            if call.json {
                terminal::result(&report::buildx(&found.items, &input.dockerfile, &sources));
            } else if found.items.is_empty() {
                terminal::result("Check complete, no warnings found.");
            } else {
                terminal::result(&report::write(report::Format::Text, &found.items, &sources, false));
                terminal::note(&format!("check complete: {}", report::count(&found.items)));
            }
            Ok(ExitCode::from(u8::from(!found.items.is_empty())))
        }
    }
}

/// Lists the stages with what the comment above each says of it.
fn targets(dockerfile: &Dockerfile, input: &Input, json: bool) -> String {
    let last = dockerfile.stages.len().saturating_sub(1);
    let stages = dockerfile.stages.iter().enumerate().map(|(index, stage)| {
        let name = stage.from.name.as_ref().map(|name| name.value.to_lowercase());
        let comment = name.as_deref().and_then(|name| plan::description(&stage.comments, name));
        (stage, name.unwrap_or_default(), comment.unwrap_or_default(), index == last)
    });
    if !json {
        let mut rows = vec![("TARGET".to_owned(), "DESCRIPTION".to_owned())];
        rows.extend(stages.map(|(_, name, comment, default)| match (name.as_str(), default) {
            ("", true) => ("(default)".to_owned(), comment),
            (_, true) => (format!("{name} (default)"), comment),
            _ => (name, comment),
        }));
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let lines: Vec<String> =
            rows.iter().map(|(name, text)| format!("{name:width$} {text}").trim_end().to_owned()).collect();
        return lines.join("\n");
    }
    let source = &input.dockerfile;
    let list: Vec<Value> = stages
        .map(|(stage, name, comment, default)| {
            let fields = [
                ("name", json!(name)),
                ("default", json!(default)),
                ("description", json!(comment)),
                ("base", json!(stage.from.image.text)),
                ("platform", json!(stage.from.platform.as_ref().map_or("", |word| word.text.as_str()))),
            ];
            // What is empty is left out, as buildx does.
            let given = fields.into_iter().filter(|(_, value)| *value != json!("") && *value != json!(false));
            let mut object: serde_json::Map<String, Value> =
                given.map(|(key, value)| (key.to_owned(), value)).collect();
            object.insert("location".to_owned(), location(source, stage.span));
            Value::Object(object)
        })
        .collect();
    format!("{:#}", json!({ "targets": list, "sources": [report::base64(source.text.as_bytes())] }))
}

/// Says where something stands, as BuildKit does.
fn location(source: &Source, span: Span) -> Value {
    let line = |offset: u32| source.line_column(offset as usize).0;
    json!({ "ranges": [{ "start": { "line": line(span.start) }, "end": { "line": line(span.end) } }] })
}
