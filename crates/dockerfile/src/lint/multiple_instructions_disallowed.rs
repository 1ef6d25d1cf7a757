//! `MultipleInstructionsDisallowed`: of several the last one counts.

use super::Report;
use crate::ast::{Dockerfile, Instruction, Kind};
use crate::diagnostic::Diagnostic;

const RULE: &str = "MultipleInstructionsDisallowed";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    for stage in &dockerfile.stages {
        let mut last: [Option<&Instruction>; 3] = [None; 3];
        for instruction in &stage.instructions {
            let slot = match instruction.kind {
                Kind::Cmd(_) => 0,
                Kind::Entrypoint(_) => 1,
                Kind::Healthcheck(_) => 2,
                _ => continue,
            };
            if let Some(hidden) = last[slot].replace(instruction) {
                let keyword = hidden.keyword.value.to_uppercase();
                let message = format!(
                    "Multiple {keyword} instructions should not be used in the same stage because only the last one will be used"
                );
                // Comments above the one that counts are asked, as they were when it was found.
                report.warn(&instruction.comments, Diagnostic::warning(RULE, hidden.span, message));
            }
        }
    }
}
