//! `MAINTAINER`: the author, a label's work today.

use dockerfile::Spanned;

use super::scope::Scope;

pub(super) fn lower(scope: &mut Scope<'_, '_>, name: &Spanned<String>) -> Option<()> {
    scope.state.config.author = Some(name.value.clone());
    scope.note(format!("MAINTAINER {}", name.value));
    Some(())
}
