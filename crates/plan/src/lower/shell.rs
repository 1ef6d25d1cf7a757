//! `SHELL`: what the shell form of a command is given to, from here on and in the image.

use dockerfile::Spanned;

use super::scope::Scope;
use crate::text::plain_list;

pub(super) fn lower(scope: &mut Scope<'_, '_>, words: &[Spanned<String>]) -> Option<()> {
    let words: Vec<_> = words.iter().map(|word| word.value.clone()).collect();
    scope.note(format!("SHELL {}", plain_list(&words)));
    scope.config().shell = Some(words);
    Some(())
}
