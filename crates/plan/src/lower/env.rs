//! `ENV`: variables of the build and of the image.

use dockerfile::ast::KeyValues;

use super::scope::Scope;
use crate::lint;

pub(super) fn lower(scope: &mut Scope<'_, '_>, pairs: &KeyValues) -> Option<()> {
    let mut expanded = Vec::new();
    // All see the variables from before the instruction.
    for (key, value) in &pairs.pairs {
        let name = scope.expand(key)?;
        if name.is_empty() {
            scope.error(key.span, "ENV names can not be blank");
            return None;
        }
        lint::secret("ENV", &name, key.span, scope.stages.findings);
        expanded.push((name, scope.expand(value)?));
    }
    let mut line = "ENV".to_owned();
    for (key, value) in expanded {
        line.extend([" ", &key, "=", &value]);
        scope.state.export(&key, value);
    }
    scope.note(line);
    Some(())
}
