//! What is wrong or doubtful in a Dockerfile, and how it is drawn.

mod excerpt;
mod nearest;
mod render;
mod text;

use crate::source::Span;

pub use excerpt::excerpt;
pub use nearest::nearest;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    Warning,
    Error,
}

/// One finding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Name of the lint rule (`StageNameCasing`), `None` for errors of the language.
    pub rule: Option<&'static str>,
    pub message: String,
    pub span: Span,
    /// Stands beside the marker.
    pub label: Option<String>,
    pub help: Vec<String>,
    /// A change of the text that ends the finding and means the same.
    pub fix: Option<Box<Fix>>,
}

/// A change of the text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fix {
    pub span: Span,
    pub replacement: String,
}

impl Diagnostic {
    /// Returns an error at `span`.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            rule: None,
            message: message.into(),
            span,
            label: None,
            help: Vec::new(),
            fix: None,
        }
    }

    /// Returns a warning of a lint rule at `span`.
    pub fn warning(rule: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, rule: Some(rule), ..Self::error(span, message) }
    }

    /// Adds a change of the text that ends the finding.
    #[must_use]
    pub fn fix(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.fix = Some(Box::new(Fix { span, replacement: replacement.into() }));
        self
    }

    /// Adds words beside the marker.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds a line of help below.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

/// The findings of the passes so far, in the order they were made.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Takes a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.items.push(diagnostic);
    }

    /// Keeps the findings that `wanted` says yes to.
    pub fn retain(&mut self, wanted: impl FnMut(&Diagnostic) -> bool) {
        self.items.retain(wanted);
    }

    /// True if any finding is an error: the next pass must not start.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.severity == Severity::Error)
    }

    /// Returns all findings.
    pub fn items(&self) -> &[Diagnostic] {
        &self.items
    }

    /// Returns all findings as they were made.
    pub fn into_items(self) -> Vec<Diagnostic> {
        self.items
    }

    /// Returns all findings in the order of the text they point to; those at one place as they were made.
    #[must_use]
    pub fn sorted(mut self) -> Vec<Diagnostic> {
        self.items.sort_by_key(|diagnostic| (diagnostic.span.source, diagnostic.span.start));
        self.items
    }

    /// Returns the number of errors.
    pub fn errors(&self) -> usize {
        self.items.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<T: IntoIterator<Item = Diagnostic>>(&mut self, items: T) {
        self.items.extend(items);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}
