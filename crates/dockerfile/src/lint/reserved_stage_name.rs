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
            let message = format!("Stage name should not use the same name as reserved stage \"{reserved}\"");
            report.warn(&stage.comments, Diagnostic::warning(RULE, name.span, message));
        }
    }
}
