//! `MaintainerDeprecated`: a label says it better.

use super::{Report, instructions};
use crate::ast::{Dockerfile, Kind};
use crate::diagnostic::Diagnostic;
use crate::word::quote;

const RULE: &str = "MaintainerDeprecated";

const MESSAGE: &str = "Maintainer instruction is deprecated in favor of using label";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    for (_, instruction) in instructions(dockerfile) {
        if let Kind::Maintainer(name) = &instruction.kind {
            let help = format!("write `LABEL org.opencontainers.image.authors={}`", quote(&name.value));
            let warning = Diagnostic::warning(RULE, instruction.keyword.span, MESSAGE);
            let warning = warning.help(help);
            report.warn(
                &instruction.comments,
                match fixed(&instruction.keyword.value, &name.value) {
                    Some(text) => warning.fix(instruction.span, text),
                    None => warning,
                },
            );
        }
    }
}

/// Returns the label, if the name is the same there: labels expand variables, and know quotes and escapes.
fn fixed(keyword: &str, name: &str) -> Option<String> {
    let label = if keyword == keyword.to_lowercase() { "label" } else { "LABEL" };
    let plain = !name.contains(['"', '\'', '\\', '`', '$', '\n', '\r']);
    plain.then(|| format!("{label} org.opencontainers.image.authors=\"{name}\""))
}
