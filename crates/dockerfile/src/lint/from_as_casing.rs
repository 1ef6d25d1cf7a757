//! `FromAsCasing`: `AS` is written like `FROM`.

use super::Report;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostic;

const RULE: &str = "FromAsCasing";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    for stage in &dockerfile.stages {
        let Some(word) = &stage.from.as_keyword else { continue };
        let from = &stage.keyword.value;
        // A mixed `From` is the matter of another rule.
        let expected = match () {
            () if *from == from.to_lowercase() => "as",
            () if *from == from.to_uppercase() => "AS",
            () => continue,
        };
        if word.value != expected {
            let message = format!("'{}' and '{from}' keywords' casing do not match", word.value);
            let warning = Diagnostic::warning(RULE, word.span, message)
                .help(format!("write `{expected}`"))
                .fix(word.span, expected);
            report.warn(&stage.comments, warning);
        }
    }
}
