//! `LABEL`: words about the image.

use dockerfile::ast::KeyValues;

use super::scope::Scope;

pub(super) fn lower(scope: &mut Scope<'_, '_>, pairs: &KeyValues) -> Option<()> {
    let mut line = "LABEL".to_owned();
    for (key, value) in &pairs.pairs {
        let (key, value) = (scope.expand(key)?, scope.expand(value)?);
        line.push_str(&format!(" {key}={value}"));
        scope.config().labels.insert(key, value);
    }
    scope.note(line);
    Some(())
}
