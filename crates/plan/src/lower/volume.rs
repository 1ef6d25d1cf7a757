//! `VOLUME`: directories that a container keeps apart; nothing happens in the build.

use dockerfile::Word;
use image::config::Empty;

use super::scope::Scope;
use crate::text::plain_list;

pub(super) fn lower(scope: &mut Scope<'_, '_>, words: &[Word]) -> Option<()> {
    let mut volumes = Vec::new();
    for word in words {
        let volume = scope.expand(word)?;
        if volume.is_empty() {
            scope.error(word.span, "VOLUME specified can not be an empty string");
            return None;
        }
        scope.config().volumes.insert(volume.clone(), Empty {});
        volumes.push(volume);
    }
    scope.note(format!("VOLUME {}", plain_list(&volumes)));
    Some(())
}
