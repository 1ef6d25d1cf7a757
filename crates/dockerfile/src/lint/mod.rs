//! Warnings of things that work but are not meant, one module per rule.

use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostics;

/// Checks a file that has no errors.
pub fn lint(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    let _ = (dockerfile, diagnostics);
}
