//! `StageNameCasing`: names of stages compare without case, so they are best written without any.

use super::Report;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostic;

const RULE: &str = "StageNameCasing";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    for stage in &dockerfile.stages {
        let Some(name) = &stage.from.name else { continue };
        let lower = name.value.to_lowercase();
        if name.value != lower {
            let message = format!("Stage name '{}' should be lowercase", name.value);
            report.warn(
                &stage.comments,
                Diagnostic::warning(RULE, name.span, message).help(format!("write `{lower}`")).fix(name.span, lower),
            );
        }
    }
}
