//! `--require-cache`: a build in which something would run fails before it does.

use dockerfile::{Diagnostic, Sources};
use plan::Plan;
use serde_json::json;
use solver::Contexts;
use store::Store;

use super::arguments::Options;
use super::failure;
use crate::command::explain::why_missing;
use crate::error::Failure;
use crate::progress::Mode;
use crate::terminal;

/// Returns why the build is not known: the steps that would run first, and what differs from the last time.
pub(super) fn failure(
    plan: &Plan,
    options: &Options,
    store: &Store,
    contexts: &Contexts,
    sources: &Sources,
) -> Failure {
    explain(plan, options, store, contexts, sources).unwrap_or_else(|failure| failure)
}

fn explain(
    plan: &Plan,
    options: &Options,
    store: &Store,
    contexts: &Contexts,
    sources: &Sources,
) -> Result<Failure, Failure> {
    let missing = solver::missing(plan, store, contexts).map_err(|error| failure::solve(error, plan, sources))?;
    let mut drawn = Vec::new();
    for missing in &missing {
        let vertex = &plan.vertices[missing.vertex.index()];
        let reasons = why_missing(store, plan, missing)?;
        if options.progress == Mode::Json {
            let object = json!({
                "event": "missing", "vertex": missing.vertex.0, "name": vertex.name, "reasons": reasons,
            });
            terminal::note(&object.to_string());
        } else {
            let diagnostic = Diagnostic::error(vertex.span, "this step is not in the cache");
            drawn.push(diagnostic.label(reasons.join("; ")).render(sources, terminal::color()));
        }
    }
    let steps = if missing.len() == 1 { "a step".to_owned() } else { format!("{} steps", missing.len()) };
    let failure = Failure::new(format!("--require-cache: {steps} would run; nothing was"));
    Ok(if drawn.is_empty() { failure } else { failure.excerpt(drawn.join("\n\n")) })
}
