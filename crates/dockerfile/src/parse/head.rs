//! The head of an instruction: its word and its flags.

use pest::Parser;
use pest::iterators::Pair;

use crate::grammar::line::{Grammar, Rule};
use crate::lines::Fragment;
use crate::source::{Span, Spanned};

/// An instruction split into its parts.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) keyword: Fragment<'a>,
    pub(super) flags: Vec<Flag>,
    /// What follows the keyword, flags included.
    pub(super) all: Fragment<'a>,
    /// What follows the flags.
    pub(super) rest: Fragment<'a>,
}

/// `--name` or `--name=value`, quotes and escapes removed.
#[derive(Debug)]
pub(super) struct Flag {
    pub(super) name: String,
    pub(super) value: Option<Spanned<String>>,
    pub(super) span: Span,
}

impl<'a> Head<'a> {
    /// Splits a logical line, or the text behind `ONBUILD`.
    pub(super) fn split(fragment: Fragment<'a>) -> Self {
        let fragment = fragment.trim();
        let end = fragment.normalized().find(' ').unwrap_or(fragment.text().len());
        let (keyword, all) = (fragment.slice(0..end), fragment.from(end).trim());
        let (flags, end) = flags(all);
        Self { keyword, flags, all, rest: all.from(end).trim() }
    }
}

/// Returns the flags at the start of a text, and where they end.
fn flags(fragment: Fragment<'_>) -> (Vec<Flag>, usize) {
    let (mut flags, mut end) = (Vec::new(), 0);
    if !fragment.text().starts_with("--") {
        return (flags, end);
    }
    let parsed = Grammar::parse(Rule::flags, fragment.normalized()).ok().and_then(|mut pairs| pairs.next());
    for pair in parsed.into_iter().flat_map(Pair::into_inner) {
        let range = pair.as_span().start()..pair.as_span().end();
        end = range.end;
        let text = unescape(pair, fragment);
        if text == "--" {
            break;
        }
        flags.push(Flag::new(&text, fragment.slice(range)));
    }
    (flags, end)
}

impl Flag {
    fn new(text: &str, written: Fragment<'_>) -> Self {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let behind = written.text().find('=').map_or(written.text().len(), |at| at + 1);
        let value = value.map(|value| Spanned { value: value.to_owned(), span: written.from(behind).span() });
        Self { name: name.strip_prefix("--").unwrap_or(name).to_owned(), value, span: written.span() }
    }
}

/// Returns the text of a flag without quotes and escapes.
fn unescape(pair: Pair<'_, Rule>, fragment: Fragment<'_>) -> String {
    let mut text = String::new();
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::flag_escape => {
                let escaped = part.into_inner().next().map(|character| character.as_span());
                text.extend(escaped.map(|span| fragment.slice(span.start()..span.end()).text()));
            }
            Rule::EOI => {}
            _ => {
                let span = part.as_span();
                text.push_str(fragment.slice(span.start()..span.end()).text());
            }
        }
    }
    text
}
