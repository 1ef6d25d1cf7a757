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
    replace_spaces(text, |character| matches!(character, '\t'..='\r'))
}

/// Returns `text` with all white space written as spaces, as many as it has bytes.
pub(crate) fn all_spaces(text: &str) -> Cow<'_, str> {
    replace_spaces(text, |character| character != ' ' && character.is_whitespace())
}

fn replace_spaces(text: &str, is_space: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_space) {
        return Cow::Borrowed(text);
    }
    let mut replaced = String::with_capacity(text.len());
    for character in text.chars() {
        if is_space(character) {
            replaced.extend(std::iter::repeat_n(' ', character.len_utf8()));
        } else {
            replaced.push(character);
        }
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
    }
}
