//! What is wrong or doubtful in a Dockerfile, and how it is drawn.

use crate::source::{Sources, Span};

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
}

impl Diagnostic {
    /// Returns an error at `span`.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, rule: None, message: message.into(), span, label: None, help: Vec::new() }
    }

    /// Returns a warning of a lint rule at `span`.
    pub fn warning(rule: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, rule: Some(rule), ..Self::error(span, message) }
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

    /// Draws the finding with the text it points to, without a final newline.
    pub fn render(&self, sources: &Sources, color: bool) -> String {
        let _ = (sources, color);
        todo!()
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

    /// True if any finding is an error: the next pass must not start.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.severity == Severity::Error)
    }

    /// Returns all findings.
    pub fn items(&self) -> &[Diagnostic] {
        &self.items
    }
}

/// Returns the name of `known` nearest to `wrong`, if one is within two edits (case-insensitive).
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let _ = (wrong, known.into_iter().next());
    todo!()
}
