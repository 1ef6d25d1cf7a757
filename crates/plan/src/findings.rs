//! The findings of one pass: a mistake seen for several platforms is reported once.

use std::collections::HashMap;
use std::hash::BuildHasher;

use dockerfile::diagnostic::nearest;
use dockerfile::word::{Budget, ExpandError, Expanded, Variables};
use dockerfile::{Diagnostic, Diagnostics, Severity, Span, Word};

/// The most bytes that texts made by one lowering may have together: a small file can ask for any number of them
/// (`ENV A=$A$A` forty times, a long `ENV` before a thousand `RUN`s).
const MAX_TEXT: usize = 64 << 20;

/// The most names that are compared: each of a thousand unknown ones may be almost each of a thousand known ones.
const MAX_COMPARED: usize = 50_000;

#[derive(Debug, Default)]
pub(crate) struct Findings {
    items: Vec<Diagnostic>,
    /// Bytes of texts made.
    spent: usize,
    /// Names compared with one that nobody knows.
    compared: usize,
    /// What expansions may still cost.
    budget: Budget,
    /// Items by their span and the hash of their message.
    found: HashMap<(Span, u64), usize>,
}

impl Findings {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let hash = self.found.hasher().hash_one(&diagnostic.message);
        let place = *self.found.entry((diagnostic.span, hash)).or_insert(self.items.len());
        if self.items.get(place).is_none_or(|item| item.message != diagnostic.message) {
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
        let expanded = self.expansion(|budget| word.expand_within(variables, budget))?;
        self.charge(expanded.value.len(), word.span)?;
        Some(expanded)
    }

    /// Expands a word to several; a failure becomes an error.
    pub(crate) fn expand_words(&mut self, word: &Word, variables: &dyn Variables) -> Option<Vec<Expanded>> {
        let expanded = self.expansion(|budget| word.expand_words_within(variables, budget))?;
        self.charge(expanded.iter().map(|expanded| expanded.value.len()).sum(), word.span)?;
        Some(expanded)
    }

    /// Expands a word that may fail.
    pub(crate) fn try_expand(&mut self, word: &Word, variables: &dyn Variables) -> Option<Expanded> {
        let spent = self.budget.is_spent();
        let expanded = word.expand_within(variables, &mut self.budget);
        if let (Err(error), false, true) = (&expanded, spent, self.budget.is_spent()) {
            self.error(error.span, error.message.clone());
        }
        expanded.ok()
    }

    /// Once the budget is spent, which is reported where it happens, nothing is expanded any more.
    fn expansion<T>(&mut self, expand: impl FnOnce(&mut Budget) -> Result<T, ExpandError>) -> Option<T> {
        if self.budget.is_spent() {
            return None;
        }
        expand(&mut self.budget).map_err(|error| self.error(error.span, error.message)).ok()
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

    /// True if nothing more can be made: whatever follows would only fail.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.spent > MAX_TEXT || self.budget.is_spent()
    }

    /// Returns the name nearest to `wrong`, as long as there have not been too many to compare.
    pub(crate) fn nearest<'n>(&mut self, wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
        let left = MAX_COMPARED.saturating_sub(self.compared);
        nearest(wrong, names.take(left).inspect(|_| self.compared += 1))
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
