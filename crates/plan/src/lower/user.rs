//! `USER`: who runs commands; looked up in the image only when something runs.

use dockerfile::Word;

use super::scope::Scope;

pub(super) fn lower(scope: &mut Scope<'_, '_>, word: &Word) -> Option<()> {
    let user = scope.expand(word)?;
    scope.note(format!("USER {user}"));
    scope.config().user = user;
    Some(())
}
