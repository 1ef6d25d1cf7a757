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
            report.warn(&instruction.comments, warning.help(help));
        }
    }
}
