//! Text of others made fit for a terminal.

use unicode_width::UnicodeWidthChar;

/// Columns of a tab: text is shown with spaces, so that markers stand where they belong.
const TAB: usize = 4;

/// Returns what is drawn for a character, and its width in columns. Characters that would move the cursor, change
/// colors or the direction of writing become pictures.
pub(super) fn cell(character: char) -> (char, usize) {
    match character {
        '\t' => (' ', TAB),
        control @ '\0'..='\u{1F}' => (char::from_u32(0x2400 + control as u32).unwrap_or('\u{FFFD}'), 1),
        '\u{7F}' => ('\u{2421}', 1),
        '\u{80}'..='\u{9F}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
            ('\u{FFFD}', 1)
        }
        other => (other, other.width().unwrap_or(1)),
    }
}

/// Appends what is drawn for a character.
pub(super) fn push(character: char, drawn: &mut String) {
    if character == '\t' {
        drawn.extend(std::iter::repeat_n(' ', TAB));
    } else {
        drawn.push(cell(character).0);
    }
}

/// Returns the text as one line fit for a terminal.
pub(super) fn clean(text: &str) -> String {
    let mut drawn = String::with_capacity(text.len());
    text.chars().for_each(|character| push(character, &mut drawn));
    drawn
}

/// Returns the columns that the text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|character| cell(character).1).sum()
}
