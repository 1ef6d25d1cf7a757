//! `ENV`, `LABEL`, `ARG`: names with values.

use crate::ast::{ArgItem, KeyValues};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::lines::Fragment;
use crate::word::quote;

use super::form;
use super::instruction::missing;

/// Reads `k=v …` or the legacy `k v`.
pub(super) fn pairs(
    instruction: &str,
    keyword: Fragment<'_>,
    rest: Fragment<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<KeyValues> {
    let words = form::names(rest);
    let Some(first) = words.first() else {
        diagnostics.push(missing(instruction, keyword));
        return None;
    };
    if !first.text().contains('=') {
        return legacy(instruction, rest, diagnostics);
    }
    let mut pairs = Vec::with_capacity(words.len());
    for word in words {
        let Some(at) = word.text().find('=') else {
            let shown: String = word.text().chars().take(100).collect();
            let message = format!("Syntax error - can't find = in {}. Must be of the form: name=value", quote(&shown));
            diagnostics.push(Diagnostic::error(word.span(), message).help("a value with spaces goes in double quotes"));
            continue;
        };
        if at == 0 {
            diagnostics.push(blank(instruction, word));
        }
        pairs.push((word.slice(0..at).word(), word.from(at + 1).word()));
    }
    Some(KeyValues { pairs, legacy: false })
}

/// The name ends at the first white space, and all the rest is the value.
fn legacy(instruction: &str, rest: Fragment<'_>, diagnostics: &mut Diagnostics) -> Option<KeyValues> {
    let text = rest.text();
    let separator = |character: char| matches!(character, '\t' | '\u{0B}' | '\u{0C}' | '\r' | ' ');
    let Some(at) = text.find(separator) else {
        let error = Diagnostic::error(rest.span(), format!("{instruction} must have two arguments"));
        diagnostics.push(error.help(format!("write `{instruction} NAME=value`")));
        return None;
    };
    let value = at + text[at..].len() - text[at..].trim_start_matches(separator).len();
    let pair = (rest.slice(0..at).word(), rest.from(value).word());
    Some(KeyValues { pairs: vec![pair], legacy: true })
}

/// Reads `NAME[=default] …`.
pub(super) fn arguments(keyword: Fragment<'_>, rest: Fragment<'_>, diagnostics: &mut Diagnostics) -> Vec<ArgItem> {
    let words = form::names(rest);
    if words.is_empty() {
        diagnostics.push(missing("ARG", keyword));
    }
    let mut items = Vec::with_capacity(words.len());
    for word in words {
        let (name, default) = match word.text().find('=') {
            Some(at) => (word.slice(0..at), Some(word.from(at + 1).word())),
            None => (word, None),
        };
        if name.text().is_empty() {
            diagnostics.push(blank("ARG", word));
        }
        items.push(ArgItem { span: word.span(), name: name.word(), default });
    }
    items
}

fn blank(instruction: &str, word: Fragment<'_>) -> Diagnostic {
    Diagnostic::error(word.span(), format!("{instruction} names can not be blank"))
}
