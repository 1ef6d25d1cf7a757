//! `CMD`: what a container runs.

use dockerfile::ast::{Command, Instruction};

use super::scope::Scope;
use crate::text::quoted_list;

pub(super) fn lower(scope: &mut Scope<'_, '_>, instruction: &Instruction, command: &Command) -> Option<()> {
    scope.note_shell(instruction, command);
    let arguments = scope.arguments(command);
    scope.note(format!("CMD {}", quoted_list(&arguments)));
    scope.config().cmd = Some(arguments).filter(|arguments| !arguments.is_empty());
    scope.config().args_escaped = true;
    scope.has_command = true;
    Some(())
}
