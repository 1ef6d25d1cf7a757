//! Values that are one of a few words.

use dockerfile::diagnostic::nearest;

/// The words that a value may be.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Name of the flag or key.
    pub(crate) of: &'static str,
    pub(crate) known: &'static [&'static str],
}

impl Choice {
    /// Returns ` (did you mean cache?)`, to follow a message; nothing if no word is near to `wrong`.
    pub(crate) fn question(&self, wrong: &str) -> String {
        let near = nearest(wrong, self.known.iter().copied());
        near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
    }

    /// Returns all words, as a line of help.
    pub(crate) fn list(&self) -> String {
        format!("`{}` is one of {}", self.of, self.known.join(", "))
    }
}
