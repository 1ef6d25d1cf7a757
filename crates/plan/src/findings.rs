//! The findings of one pass: a mistake seen for several platforms is reported once.

use std::collections::HashSet;

use dockerfile::word::{Expanded, Variables};
use dockerfile::{Diagnostic, Diagnostics, Severity, Span, Word};

/// The most bytes that texts made by one lowering may have together: a small file can ask for any number of them
/// (`ENV A=$A$A` forty times, a long `ENV` before a thousand `RUN`s).
const MAX_TEXT: usize = 64 << 20;

#[derive(Debug, Default)]
pub(crate) struct Findings {
    items: Vec<Diagnostic>,
    /// Bytes of texts made.
    spent: usize,
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
        let expanded = word.expand(variables).map_err(|error| self.error(error.span, error.message)).ok()?;
        self.charge(expanded.value.len(), word.span)?;
        Some(expanded)
    }

    /// Counts bytes that are kept; `None` if they have become too many, which has been reported.
    pub(crate) fn charge(&mut self, bytes: usize, span: Span) -> Option<()> {
        let within = self.spent <= MAX_TEXT;
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > MAX_TEXT && within {
            let message = format!("the values of this file take more than {} MiB in all", MAX_TEXT >> 20);
            self.push(Diagnostic::error(span, message).label("the limit is reached here"));
        }
        (self.spent <= MAX_TEXT).then_some(())
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
