//! `ARG`: a variable of the build, not of the image (reference: section 4).

use dockerfile::ast::ArgItem;
use dockerfile::word::Variables as _;

use super::scope::Scope;
use crate::env::NOT_IN_ENV;
use crate::{epoch, lint};

pub(super) fn lower(scope: &mut Scope<'_, '_>, items: &[ArgItem]) -> Option<()> {
    let mut noted = Vec::new();
    for item in items {
        noted.push(declare(scope, item)?);
    }
    scope.note(format!("ARG {}", noted.join(" ")));
    Some(())
}

/// Declares one variable and returns its text for the history. The next of the same line sees it already.
fn declare(scope: &mut Scope<'_, '_>, item: &ArgItem) -> Option<String> {
    let name = scope.expand(&item.name)?;
    lint::secret("ARG", &name, item.name.span, scope.stages.findings);
    let value = value(scope, &name, item)?;
    if let Some(value) = &value {
        scope.check_variable(&name, value, item.span)?;
    }
    if let Some(value) = value.as_ref().filter(|_| !NOT_IN_ENV.contains(&name.as_str())) {
        scope.state.env.set(&name, value);
    }
    scope.state.declare(&name, value.as_deref());
    Some(value.map_or_else(|| name.clone(), |value| format!("{name}={value}")))
}

/// Returns the value, if there is one; `None` outside if the default is wrong.
fn value(scope: &mut Scope<'_, '_>, name: &str, item: &ArgItem) -> Option<Option<String>> {
    let given = scope.stages.options.build_args.get(name);
    if let Some(given) = given.filter(|value| !epoch::is_unresolved(name, value)) {
        return Some(Some(given.clone()));
    }
    match &item.default {
        Some(default) => scope.expand(default).map(Some),
        None => Some(scope.stages.graph.globals.env.get(name).map(str::to_owned)),
    }
}
