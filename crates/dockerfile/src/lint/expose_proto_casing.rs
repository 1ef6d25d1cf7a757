//! `ExposeProtoCasing`: `80/TCP`.

use super::{Report, instructions};
use crate::ast::{Dockerfile, Kind};
use crate::diagnostic::Diagnostic;

const RULE: &str = "ExposeProtoCasing";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    for (_, instruction) in instructions(dockerfile) {
        let Kind::Expose(words) = &instruction.kind else { continue };
        for word in words.iter().filter(|word| word.is_literal()) {
            let Some((port, protocol)) = word.text.rsplit_once('/') else { continue };
            let lower = protocol.to_lowercase();
            if protocol != lower {
                let message = format!("Defined protocol '{}' in EXPOSE instruction should be lowercase", word.text);
                let warning = Diagnostic::warning(RULE, word.span, message)
                    .help(format!("write `{port}/{lower}`"))
                    .fix(word.span, format!("{port}/{lower}"));
                report.warn(&instruction.comments, warning);
            }
        }
    }
}
