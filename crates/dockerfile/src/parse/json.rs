//! The JSON array of the exec form.

use pest::Parser;
use pest::iterators::Pair;

use crate::diagnostic::Diagnostic;
use crate::grammar::line::{Grammar, Rule};
use crate::lines::Fragment;
use crate::source::Spanned;

/// Arrays with more brackets are not looked into: they are no JSON to us. The grammar recurses for each.
const MAX_BRACKETS: usize = 64;

/// What a text is.
#[derive(Debug)]
pub(super) enum Json {
    Strings(Vec<Spanned<String>>),
    /// A JSON array that holds something else than strings.
    Other,
    /// No JSON array: the shell form.
    No,
}

/// Reads a text that may be a JSON array.
pub(super) fn read(fragment: Fragment<'_>) -> Json {
    let text = fragment.text();
    if !text.trim_start().starts_with('[') {
        return Json::No;
    }
    if let Some(array) = Grammar::parse(Rule::exec, text).ok().and_then(|mut pairs| pairs.next()) {
        let strings = array.into_inner().filter(|pair| pair.as_rule() == Rule::string);
        let strings = strings.map(|string| decode(string, fragment)).collect::<Option<_>>();
        return strings.map_or(Json::No, Json::Strings);
    }
    let array = brackets(text) <= MAX_BRACKETS && Grammar::parse(Rule::array, text).is_ok();
    if array { Json::Other } else { Json::No }
}

/// Returns the error for an array that does not hold strings alone.
pub(super) fn not_strings(fragment: Fragment<'_>) -> Diagnostic {
    let message = "when using JSON array syntax, arrays must be comprised of strings only";
    Diagnostic::error(fragment.trim().span(), message).help("put every element in double quotes")
}

/// Returns an upper bound of the nesting, strings not told apart.
fn brackets(text: &str) -> usize {
    text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count()
}

/// Returns the value of a string. Nothing if it has a control character, which JSON forbids.
fn decode(string: Pair<'_, Rule>, fragment: Fragment<'_>) -> Option<Spanned<String>> {
    let span = fragment.slice(string.as_span().start()..string.as_span().end()).span();
    let mut value = String::with_capacity(string.as_str().len());
    let mut high = None;
    if string.as_str().contains(|character| character < ' ') {
        return None;
    }
    for part in string.into_inner() {
        let text = part.as_str();
        if text.is_empty() {
            continue;
        }
        if part.as_rule() == Rule::unicode_escape {
            let unit = u16::from_str_radix(&text[2..], 16).unwrap_or(0xFFFD);
            high = push_unit(unit, high, &mut value);
            continue;
        }
        if high.take().is_some() {
            value.push(char::REPLACEMENT_CHARACTER);
        }
        match part.as_rule() {
            Rule::short_escape => value.push(short(text)),
            _ => value.push_str(text),
        }
    }
    if high.is_some() {
        value.push(char::REPLACEMENT_CHARACTER);
    }
    Some(Spanned { value, span })
}

/// Appends a UTF-16 unit, `high` being the first of a pair before it; returns it if it waits for its second.
fn push_unit(unit: u16, high: Option<u16>, value: &mut String) -> Option<u16> {
    if let Some(high) = high {
        if let Some(Ok(pair)) = char::decode_utf16([high, unit]).next() {
            value.push(pair);
            return None;
        }
        value.push(char::REPLACEMENT_CHARACTER);
    }
    match char::from_u32(u32::from(unit)) {
        Some(character) => value.push(character),
        None if (0xD800..0xDC00).contains(&unit) => return Some(unit),
        None => value.push(char::REPLACEMENT_CHARACTER),
    }
    None
}

fn short(escape: &str) -> char {
    match escape.as_bytes().last() {
        Some(b'b') => '\u{08}',
        Some(b'f') => '\u{0C}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(&other) => char::from(other),
        None => char::REPLACEMENT_CHARACTER,
    }
}
