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
pub(crate) fn swap_escape(text: &str, escape: char) -> Cow<'_, str> {
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

/// Returns `text` with ASCII white space written as spaces, which hold its place.
pub(crate) fn plain_spaces(text: &str) -> Cow<'_, str> {
    let is_other = |character| matches!(character, '\t'..='\r');
    if text.contains(is_other) { Cow::Owned(text.replace(is_other, " ")) } else { Cow::Borrowed(text) }
}

/// Returns `text` with all white space written as spaces, as many as it has bytes; but white space behind an escape
/// character stays, since one space of several must not be escaped.
pub(crate) fn all_spaces(text: &str) -> Cow<'_, str> {
    let is_other = |character: char| character != ' ' && character.is_whitespace();
    if !text.contains(is_other) {
        return Cow::Borrowed(text);
    }
    let mut replaced = String::with_capacity(text.len());
    let mut escaped = false;
    for character in text.chars() {
        if is_other(character) && !escaped {
            replaced.extend(std::iter::repeat_n(' ', character.len_utf8()));
        } else {
            replaced.push(character);
        }
        escaped = character == '\\' && !escaped;
    }
    Cow::Owned(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backtick_and_the_backslash_change_places() {
        assert_eq!(swap_escape(r"C:\x ``", '`'), r"C:`x \\");
        assert_eq!(swap_escape(r"C:\x ``", '\\'), r"C:\x ``");
    }

    #[test]
    fn spaces_hold_the_place_of_white_space() {
        assert_eq!(plain_spaces("a\tb\u{a0}c"), "a b\u{a0}c");
        assert_eq!(all_spaces("a\tb\u{a0}c\u{3000}é"), "a b  c   é");
        assert_eq!(all_spaces("a\\\u{a0}b\\\\\u{a0}c"), "a\\\u{a0}b\\\\  c");
    }
}
