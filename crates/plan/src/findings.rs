//! The findings of one pass: a mistake seen for several platforms is reported once.

use std::collections::HashSet;

use dockerfile::word::{Expanded, Variables};
use dockerfile::{Diagnostic, Diagnostics, Severity, Span, Word};

#[derive(Debug, Default)]
pub(crate) struct Findings {
    items: Vec<Diagnostic>,
    seen: HashSet<(Span, String)>,
}

impl Findings {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if self.seen.insert((diagnostic.span, diagnostic.message.clone())) {
            self.items.push(diagnostic);
        }
    }

    /// Takes an error.
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(span, message));
    }

    pub(crate) fn extend(&mut self, diagnostics: &Diagnostics) {
        diagnostics.items().iter().for_each(|d| self.push(d.clone()));
    }

    /// Expands a word; a failure becomes an error.
    pub(crate) fn expand(&mut self, word: &Word, variables: &dyn Variables) -> Option<Expanded> {
        word.expand(variables).map_err(|error| self.error(error.span, error.message)).ok()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.severity == Severity::Error)
    }

    /// Hands all findings over.
    pub(crate) fn report(self, diagnostics: &mut Diagnostics) {
        self.items.into_iter().for_each(|d| diagnostics.push(d));
    }

    /// Hands errors over alone: the pass is repeated, and its warnings with it.
    pub(crate) fn report_errors(self, diagnostics: &mut Diagnostics) {
        self.items.into_iter().filter(|d| d.severity == Severity::Error).for_each(|d| diagnostics.push(d));
    }
}
