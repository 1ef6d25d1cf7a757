//! Words with variables: parsed once, expanded later.

mod budget;
mod build;
mod expand;
mod pattern;
mod plain;
mod replacement;
mod tree;

use crate::source::Span;
use tree::Tree;

pub use budget::Budget;
pub use expand::{MAX_EXPANSION, Variables};

/// A piece of text that may refer to variables, as written. Quotes and escapes are resolved by [`expand`](Self::expand).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Word {
    /// The text as written, continuation lines joined.
    pub text: String,
    pub span: Span,
    tree: Tree,
    places: Places,
}

/// Where the bytes of a word's text stand.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Places {
    /// In one run.
    Direct,
    /// Nowhere in particular: the text was decoded.
    Whole,
    /// In several physical lines: offset in the text, offset in the source.
    Joined(Box<[(u32, u32)]>),
}

/// An expansion that failed: the span of the part at fault, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExpandError {
    pub span: Span,
    /// Already wrapped as `failed to process "WORD": …`.
    pub message: String,
}

/// The result of an expansion.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expanded {
    pub value: String,
    /// Variables that were referred to, in order, each once, and whether each was unset (for UndefinedVar).
    pub used: Vec<(String, bool)>,
}

impl Word {
    /// Reads a word in which `$`, quotes and `escape` are special. A mistake in it is reported when it is expanded.
    pub fn parse(text: impl Into<String>, span: Span, escape: char) -> Self {
        let text = text.into();
        let tree = Tree::parse(&text, escape, tree::Quotes::Special);
        let places = if span.len() == text.len() { Places::Direct } else { Places::Whole };
        Self { text, span, tree, places }
    }

    /// Takes a text that stands for itself, with no variables, quotes or escapes.
    pub fn literal(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span, tree: Tree::Literal, places: Places::Whole }
    }

    /// Reads the body of a heredoc: `$` and `\` are special, quotes are not (reference: section 1.3).
    pub fn here_document(text: impl Into<String>, span: Span) -> Self {
        let text = text.into();
        let tree = Tree::parse(&text, '\\', tree::Quotes::Plain);
        let places = if span.len() == text.len() { Places::Direct } else { Places::Whole };
        Self { text, span, tree, places }
    }

    /// Reads a word that goes over several physical lines.
    pub(crate) fn joined(text: &str, span: Span, escape: char, segments: Box<[(u32, u32)]>) -> Self {
        Self { places: Places::Joined(segments), ..Self::parse(text, span, escape) }
    }

    /// True if the text stands for itself: no variable, quote or escape is in it.
    pub fn is_literal(&self) -> bool {
        matches!(self.tree, Tree::Literal)
    }

    /// True if a variable is referred to.
    pub fn has_variables(&self) -> bool {
        self.tree.has_variables()
    }

    /// Returns what is wrong with the word whatever the variables are, which [`expand`](Self::expand) will report.
    pub fn syntax_error(&self) -> Option<ExpandError> {
        match &self.tree {
            Tree::Fault(fault) => Some(self.error(fault.range.clone(), &fault.message)),
            _ => None,
        }
    }

    /// Returns the span of a part of the text.
    fn place(&self, range: std::ops::Range<usize>) -> Span {
        let id = self.span.source;
        match &self.places {
            Places::Direct => {
                let start = self.span.start as usize;
                Span::new(id, start + range.start, start + range.end)
            }
            Places::Whole => self.span,
            Places::Joined(segments) => {
                let offset = |position: usize| {
                    let index = segments.partition_point(|&(at, _)| at as usize <= position).max(1) - 1;
                    let (at, source) = segments[index];
                    source as usize + position - at as usize
                };
                let end = if range.is_empty() { offset(range.end) } else { offset(range.end - 1) + 1 };
                Span::new(id, offset(range.start), end)
            }
        }
    }

    fn error(&self, range: std::ops::Range<usize>, reason: &str) -> ExpandError {
        let message = format!("failed to process {}: {reason}", quote(&shorten(&self.text)));
        ExpandError { span: self.place(range), message }
    }
}

/// Cuts a text that is too long to be shown in a message.
fn shorten(text: &str) -> std::borrow::Cow<'_, str> {
    const MAX_SHOWN: usize = 400;
    if text.len() <= MAX_SHOWN {
        return text.into();
    }
    let end = crate::source::floor_boundary(text, MAX_SHOWN);
    format!("{}…", &text[..end]).into()
}

/// Returns the text in double quotes, with what cannot be shown escaped as Go's `%q` does.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{07}' => quoted.push_str("\\a"),
            '\u{08}' => quoted.push_str("\\b"),
            '\u{0C}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{0B}' => quoted.push_str("\\v"),
            control if (control as u32) < 0x20 || control as u32 == 0x7F => {
                quoted.push_str(&format!("\\x{:02x}", control as u32));
            }
            control if control.is_control() => quoted.push_str(&format!("\\u{:04x}", control as u32)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
