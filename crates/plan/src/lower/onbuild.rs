//! `ONBUILD`: an instruction for the stages made from this one; it leaves no line of history.

use dockerfile::ast::Onbuild;

use super::scope::Scope;

pub(super) fn lower(scope: &mut Scope<'_, '_>, onbuild: &Onbuild) -> Option<()> {
    scope.config().on_build.push(onbuild.trigger.clone());
    Some(())
}
