//! `InvalidDefinitionDescription` (experimental): a comment above a stage or an argument begins with its name.

use super::Report;
use crate::ast::{Dockerfile, Kind};
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;

const RULE: &str = "InvalidDefinitionDescription";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    let stages = dockerfile.stages.iter();
    let instructions = dockerfile.globals.iter().chain(stages.clone().flat_map(|stage| &stage.instructions));
    for instruction in instructions {
        if let Kind::Arg(items) = &instruction.kind {
            let names: Vec<&str> = items.iter().map(|item| item.name.text.as_str()).collect();
            describe("ARG", &names, &instruction.comments, report);
        }
    }
    for stage in stages {
        let name = stage.from.name.as_ref().map(|name| name.value.to_lowercase());
        describe("FROM", &name.iter().map(String::as_str).collect::<Vec<_>>(), &stage.comments, report);
    }
}

fn describe(what: &str, names: &[&str], comments: &[Spanned<String>], report: &mut Report<'_>) {
    let (Some(comment), Some(example)) = (comments.last(), names.first()) else { return };
    if comment.value.split(' ').next().is_some_and(|first| names.contains(&first)) {
        return;
    }
    let example = if names.len() > 1 { "<arg_key>" } else { example };
    let message = format!("Comment for {what} should follow the format: `# {example} <description>`");
    let warning = Diagnostic::warning(RULE, comment.span, message)
        .help("or leave an empty line, or one with `#` alone, below the comment");
    report.warn(comments, warning);
}
