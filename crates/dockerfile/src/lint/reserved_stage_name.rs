//! `ReservedStageName`: `scratch` and `context` mean something else.

use super::Report;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostic;

const RULE: &str = "ReservedStageName";

const RESERVED: [&str; 2] = ["context", "scratch"];

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    for stage in &dockerfile.stages {
        let Some(name) = &stage.from.name else { continue };
        if let Some(reserved) = RESERVED.iter().find(|reserved| name.value.to_lowercase() == **reserved) {
            let message = format!("the name `{reserved}` is reserved and should not be that of a stage");
            report.warn(&stage.comments, Diagnostic::warning(RULE, name.span, message));
        }
    }
}
