//! Words with variables: parsed once, expanded later.

use crate::source::Span;

/// A piece of text that may refer to variables, as written. Quotes and escapes are resolved by [`expand`](Self::expand).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Word {
    /// The text as written, continuation lines joined.
    pub text: String,
    pub span: Span,
    // The parsed pieces follow; private.
}

/// Where the value of a variable comes from.
pub trait Variables {
    /// Returns the value of `name`, `None` if it is unset.
    fn get(&self, name: &str) -> Option<&str>;
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
    /// Expands variables and removes quotes and escapes (reference: section 2).
    pub fn expand(&self, variables: &dyn Variables) -> Result<Expanded, ExpandError> {
        let _ = variables;
        todo!()
    }

    /// Expands like [`expand`](Self::expand) and splits at white space that is not quoted.
    pub fn expand_words(&self, variables: &dyn Variables) -> Result<Vec<Expanded>, ExpandError> {
        let _ = variables;
        todo!()
    }
}
