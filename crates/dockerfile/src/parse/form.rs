//! The forms arguments come in: words, names with values, commands (reference: section 1.2).

use std::ops::Range;

use pest::Parser;

use crate::ast::Command;
use crate::diagnostic::Diagnostics;
use crate::grammar;
use crate::grammar::line::{Grammar, Rule};
use crate::lines::Fragment;
use crate::source::Spanned;

use super::json::{self, Json};

/// Splits at white space; quotes are not special.
pub(super) fn words(fragment: Fragment<'_>) -> Vec<Fragment<'_>> {
    let mut start = 0;
    let ranges = fragment.normalized().split(' ').map(|word| {
        let range = start..start + word.len();
        start = range.end + 1;
        range
    });
    ranges.filter(|range| !range.is_empty()).map(|range| fragment.slice(range)).collect()
}

/// Splits at white space that is not quoted or escaped; quotes and escapes stay.
pub(super) fn names(fragment: Fragment<'_>) -> Vec<Fragment<'_>> {
    let text = grammar::all_spaces(fragment.normalized());
    match plain_names(&text) {
        Some(ranges) => ranges.into_iter().map(|range| fragment.slice(range)).collect(),
        None => split(fragment, &text, Rule::names).unwrap_or_default(),
    }
}

/// Splits what nearly every line has without the grammar, which takes many times as long: text with double quotes at most, all
/// of them closed.
fn plain_names(text: &str) -> Option<Vec<Range<usize>>> {
    if text.contains(['\'', '\\']) {
        return None;
    }
    let (mut names, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b' ' if !quoted => {
                names.push(start..at);
                start = at + 1;
            }
            _ => {}
        }
    }
    names.push(start..text.len());
    names.retain(|name| !name.is_empty());
    (!quoted).then_some(names)
}

/// Splits as a shell does, for heredocs: quotes and escapes stay. Nothing if a quote is not closed.
pub(super) fn shell_words(fragment: Fragment<'_>) -> Option<Vec<Fragment<'_>>> {
    split(fragment, &grammar::all_spaces(fragment.text()), Rule::shell_words)
}

fn split<'a>(fragment: Fragment<'a>, text: &str, rule: Rule) -> Option<Vec<Fragment<'a>>> {
    let words = Grammar::parse(rule, text).ok()?.next()?.into_inner();
    let spans = words.map(|pair| pair.as_span()).filter(|span| span.start() < span.end());
    Some(spans.map(|span| fragment.slice(span.start()..span.end())).collect())
}

/// Reads a JSON array or, if it is none, the whole text.
pub(super) fn command(fragment: Fragment<'_>, diagnostics: &mut Diagnostics) -> Option<Command> {
    match json::read(fragment) {
        Json::Strings(strings) => Some(Command::Exec(strings)),
        Json::Other => {
            diagnostics.push(json::not_strings(fragment));
            None
        }
        Json::No => Some(Command::Shell(fragment.spanned())),
    }
}

/// A word of a list, as it was written or from JSON.
#[derive(Debug)]
pub(super) enum Item<'a> {
    Written(Fragment<'a>),
    Decoded(Spanned<String>),
}

/// Reads a JSON array or, if it is none, white-space words.
pub(super) fn list<'a>(fragment: Fragment<'a>, diagnostics: &mut Diagnostics) -> Option<Vec<Item<'a>>> {
    match json::read(fragment) {
        Json::Strings(strings) => Some(strings.into_iter().map(Item::Decoded).collect()),
        Json::Other => {
            diagnostics.push(json::not_strings(fragment));
            None
        }
        Json::No => Some(words(fragment).into_iter().map(Item::Written).collect()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn names_are_what_the_grammar_reads(text in "[a= \"'\\\\é]{0,12}") {
            let Some(plain) = plain_names(&text) else { return Ok(()) };
            let mut pairs = Grammar::parse(Rule::names, &text).expect("any text is names");
            let words = pairs.next().expect("the entry rule").into_inner().map(|pair| pair.as_span());
            let read: Vec<_> = words.map(|span| span.start()..span.end()).filter(|range| !range.is_empty()).collect();
            prop_assert_eq!(plain, read);
        }
    }

    #[test]
    fn what_needs_the_grammar() {
        for text in ["a='b c'", "a=b\\ c", "a=\"b c"] {
            assert_eq!(plain_names(text), None, "{text}");
        }
        assert_eq!(plain_names("a=\"b c\"  d=é"), Some(vec![0..7, 9..13]));
    }
}
