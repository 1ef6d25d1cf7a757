//! `ENTRYPOINT`: what a container runs `CMD` with.

use dockerfile::ast::{Command, Instruction};

use super::scope::Scope;
use crate::text::quoted_list;

/// A `CMD` of the base was made for the base's entry point and goes; one of this stage stays.
pub(super) fn lower(scope: &mut Scope<'_, '_>, instruction: &Instruction, command: &Command) -> Option<()> {
    scope.note_shell(instruction, command);
    let arguments = scope.arguments(command);
    scope.note(format!("ENTRYPOINT {}", quoted_list(&arguments)));
    if !scope.has_command {
        scope.config().cmd = None;
    }
    scope.config().entrypoint = Some(arguments).filter(|arguments| !arguments.is_empty());
    Some(())
}
