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
        if names_of(&platform.text.to_lowercase()).any(|part| name.contains(part)) {
            // A stage named after its platform means it.
            continue;
        }
        let message = format!("FROM --platform flag should not use constant value {}", quote(&platform.text));
        let warning = Diagnostic::warning(RULE, platform.span, message)
            .help("leave it out, use $BUILDPLATFORM, or name the stage after the platform");
        report.warn(&stage.comments, warning);
    }
}

/// Returns the system and the architecture of a platform by their usual names (reference: section 12). An architecture
/// alone is one of Linux.
fn names_of(platform: &str) -> impl Iterator<Item = &str> {
    let parts = platform.split('/').take(2).filter(|part| !part.is_empty());
    let system = (!platform.contains('/')).then_some("linux");
    let usual = parts.map(|part| match part {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" => "386",
        "armhf" | "armel" => "arm",
        "macos" => "darwin",
        other => other,
    });
    usual.chain(system)
}
