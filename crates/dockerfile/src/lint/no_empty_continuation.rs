//! `NoEmptyContinuation`: an empty line inside of an instruction.

use super::Report;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostic;

const RULE: &str = "NoEmptyContinuation";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    for span in &dockerfile.empty_continuations {
        let warning = Diagnostic::warning(RULE, *span, "Empty continuation line")
            .help("remove it, or put `#` there: it does not end the instruction above");
        report.warn(&[], warning);
    }
}
