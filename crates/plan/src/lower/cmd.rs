//! `CMD`: what a container runs.

use dockerfile::ast::Command;

use super::scope::Scope;
use crate::text::quoted_list;

pub(super) fn lower(scope: &mut Scope<'_, '_>, command: &Command) -> Option<()> {
    let arguments = scope.arguments(command);
    scope.note(format!("CMD {}", quoted_list(&arguments)));
    scope.config().cmd = Some(arguments).filter(|arguments| !arguments.is_empty());
    scope.config().args_escaped = true;
    scope.has_command = true;
    Some(())
}
