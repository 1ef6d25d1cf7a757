//! `DuplicateStageName`: a later stage hides an earlier one of its name.

use std::collections::HashMap;

use super::Report;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostic;
use crate::word::quote;

const RULE: &str = "DuplicateStageName";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    let mut seen = HashMap::new();
    for (index, stage) in dockerfile.stages.iter().enumerate() {
        let Some(name) = &stage.from.name else { continue };
        if let Some(earlier) = seen.insert(name.value.to_lowercase(), index) {
            let message =
                format!("Duplicate stage name {}, stage names should be unique", quote(&name.value.to_lowercase()));
            let help = format!("from here on the name means this stage; the earlier one is stage {earlier}");
            report.warn(&stage.comments, Diagnostic::warning(RULE, name.span, message).help(help));
        }
    }
}
