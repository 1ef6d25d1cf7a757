//! Warnings of things that work but are not meant, one module per rule (reference: section 15).
//!
//! Here are the rules that the tree alone decides; those that need values are where values are known.

mod checks;
mod consistent_instruction_casing;
mod duplicate_stage_name;
mod expose_proto_casing;
mod fix;
mod from_as_casing;
mod from_platform_flag_const_disallowed;
mod invalid_definition_description;
mod json_args_recommended;
mod legacy_key_value_format;
mod maintainer_deprecated;
mod multiple_instructions_disallowed;
mod no_empty_continuation;
mod plain_command;
mod reserved_stage_name;
mod rules;
mod stage_name_casing;

use crate::ast::{Dockerfile, Instruction, Stage};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{Span, Spanned};

pub use checks::Checks;
pub use fix::fix;
pub use rules::{Rule, rule};

/// The rules of this module.
const CHECKS: &[fn(&Dockerfile, &mut Report<'_>)] = &[
    stage_name_casing::check,
    from_as_casing::check,
    no_empty_continuation::check,
    consistent_instruction_casing::check,
    duplicate_stage_name::check,
    reserved_stage_name::check,
    json_args_recommended::check,
    maintainer_deprecated::check,
    multiple_instructions_disallowed::check,
    legacy_key_value_format::check,
    from_platform_flag_const_disallowed::check,
    expose_proto_casing::check,
    invalid_definition_description::check,
];

/// Checks a file that has no errors. What `# check=` and comments above an instruction say is heeded.
pub fn lint(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    let checks = match Checks::of(&dockerfile.directives) {
        Ok(checks) => checks,
        Err(error) => return diagnostics.push(*error),
    };
    let mut report = Report { checks, diagnostics };
    for check in CHECKS {
        check(dockerfile, &mut report);
    }
}

/// Takes out the warnings of other passes that `# check=` or a comment above their instruction does not want.
pub fn retain(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    let Ok(checks) = Checks::of(&dockerfile.directives) else { return };
    let comments = Comments::of(dockerfile);
    diagnostics.retain(|found| found.rule.is_none_or(|rule| checks.shows(rule, comments.at(found.span))));
}

/// The comments above each instruction, in the order of the file.
struct Comments<'a>(Vec<(Span, &'a [Spanned<String>])>);

impl<'a> Comments<'a> {
    fn of(dockerfile: &'a Dockerfile) -> Self {
        let own = |instruction: &'a Instruction| (instruction.span, instruction.comments.as_slice());
        let mut comments: Vec<_> = dockerfile.globals.iter().map(own).collect();
        for stage in &dockerfile.stages {
            comments.push((stage.span, stage.comments.as_slice()));
            comments.extend(stage.instructions.iter().map(own));
        }
        Self(comments)
    }

    /// Returns those above the instruction that a place is in; none for a place in another text.
    fn at(&self, place: Span) -> &'a [Spanned<String>] {
        let behind = self.0.partition_point(|(span, _)| span.start <= place.start);
        let found = self.0[..behind].last().filter(|(span, _)| span.source == place.source && place.start < span.end);
        found.map(|(_, comments)| *comments).unwrap_or_default()
    }
}

/// Takes the findings of the rules.
struct Report<'a> {
    checks: Checks,
    diagnostics: &'a mut Diagnostics,
}

impl Report<'_> {
    /// Takes a finding, unless it is not wanted; `comments` are those above the instruction.
    fn warn(&mut self, comments: &[Spanned<String>], warning: Diagnostic) {
        if warning.rule.is_some_and(|rule| self.checks.shows(rule, comments)) {
            self.diagnostics.push(warning);
        }
    }
}

/// Returns the instructions of all stages, with their stage.
fn instructions(dockerfile: &Dockerfile) -> impl Iterator<Item = (&Stage, &Instruction)> {
    dockerfile.stages.iter().flat_map(|stage| stage.instructions.iter().map(move |instruction| (stage, instruction)))
}
