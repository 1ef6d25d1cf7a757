//! `ENV`: variables of the build and of the image.

use dockerfile::ast::KeyValues;

use super::scope::Scope;
use crate::lint;

pub(super) fn lower(scope: &mut Scope<'_, '_>, pairs: &KeyValues) -> Option<()> {
    let mut expanded = Vec::with_capacity(pairs.pairs.len());
    // All see the variables from before the instruction.
    for (key, value) in &pairs.pairs {
        let name = scope.expand(key)?;
        if name.is_empty() {
            scope.error(key.span, "ENV names can not be blank");
            return None;
        }
        lint::secret("ENV", &name, key.span, scope.stages.findings);
        let text = scope.expand(value)?;
        scope.check_variable(&name, &text, value.span)?;
        expanded.push((name, text));
    }
    let length = expanded.iter().map(|(key, value)| key.len() + value.len() + 2).sum::<usize>();
    let mut line = String::with_capacity("ENV".len() + length);
    line.push_str("ENV");
    for (key, value) in expanded {
        line.extend([" ", &key, "=", &value]);
        scope.state.export(&key, value);
    }
    scope.note(line);
    Some(())
}
