//! The two grammars, and how text is made ready for them.

use std::borrow::Cow;

/// The grammar of logical lines.
pub(crate) mod line {
    /// `grammar/dockerfile.pest`.
    #[derive(Debug, pest_derive::Parser)]
    #[grammar = "../../grammar/dockerfile.pest"]
    pub(crate) struct Grammar;
}

/// The grammar of words.
pub(crate) mod word {
    /// `grammar/word.pest`.
    #[derive(Debug, pest_derive::Parser)]
    #[grammar = "../../grammar/word.pest"]
    pub(crate) struct Grammar;
}

/// Returns `text` with the escape character written as `\`, which is what the grammars know. With `# escape=` set to
/// the backtick the two characters change places: both are one byte, so offsets hold, and nothing is lost.
pub(crate) fn normalize(text: &str, escape: char) -> Cow<'_, str> {
    if escape == '\\' || !text.contains(['\\', '`']) {
        return Cow::Borrowed(text);
    }
    let swap = |character| match character {
        '\\' => '`',
        '`' => '\\',
        other => other,
    };
    Cow::Owned(text.chars().map(swap).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backtick_and_the_backslash_change_places() {
        assert_eq!(normalize(r"C:\x ``", '`'), r"C:`x \\");
        assert_eq!(normalize(r"C:\x ``", '\\'), r"C:\x ``");
    }
}
