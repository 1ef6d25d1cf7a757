//! `ConsistentInstructionCasing`: all instruction words in upper case, or all in lower case.

use super::Report;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;

const RULE: &str = "ConsistentInstructionCasing";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    let is_lower = |word: &str| word == word.to_lowercase();
    let is_upper = |word: &str| word == word.to_uppercase();
    let lower = keywords(dockerfile).filter(|(word, _)| is_lower(&word.value)).count();
    let upper = keywords(dockerfile).filter(|(word, _)| is_upper(&word.value)).count();
    for (word, comments) in keywords(dockerfile) {
        let (name, expected) = if lower > upper {
            ("lowercase", word.value.to_lowercase())
        } else {
            ("uppercase", word.value.to_uppercase())
        };
        if word.value != expected {
            let message = format!("Command '{}' should match the case of the command majority ({name})", word.value);
            report.warn(
                comments,
                Diagnostic::warning(RULE, word.span, message)
                    .help(format!("write `{expected}`"))
                    .fix(word.span, expected),
            );
        }
    }
}

/// The words of all instructions within stages, with the comments above them.
fn keywords(dockerfile: &Dockerfile) -> impl Iterator<Item = (&Spanned<String>, &[Spanned<String>])> {
    dockerfile.stages.iter().flat_map(|stage| {
        let instructions = stage.instructions.iter();
        let inner = instructions.map(|instruction| (&instruction.keyword, instruction.comments.as_slice()));
        std::iter::once((&stage.keyword, stage.comments.as_slice())).chain(inner)
    })
}
