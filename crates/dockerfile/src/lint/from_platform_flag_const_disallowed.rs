//! `FromPlatformFlagConstDisallowed`: a stage that can be built for one platform only.

use super::Report;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostic;
use crate::word::quote;

const RULE: &str = "FromPlatformFlagConstDisallowed";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    for stage in &dockerfile.stages {
        let Some(platform) = stage.from.platform.as_ref().filter(|word| !word.has_variables()) else { continue };
        let name = stage.from.name.as_ref().map(|name| name.value.to_lowercase()).unwrap_or_default();
        // A stage named after its platform means it.
        let text = platform.text.to_lowercase();
        if text.split('/').take(2).any(|part| !part.is_empty() && name.contains(part)) {
            continue;
        }
        let message = format!("FROM --platform flag should not use constant value {}", quote(&platform.text));
        let warning = Diagnostic::warning(RULE, platform.span, message)
            .help("leave it out, use $BUILDPLATFORM, or name the stage after the platform");
        report.warn(&stage.comments, warning);
    }
}
