//! The patterns of `${name#…}`, `${name%…}` and `${name/…/…}`: `*` and `?`, which do not match a line end, and escapes.
//!
//! They become regular expressions, which keeps every match linear in the text.

use regex::{Regex, RegexBuilder};

/// Largest compiled pattern, in bytes.
const MAX_COMPILED: usize = 4 << 20;

/// Longest pattern, in bytes: reading one takes far more than its length before it is known to compile to too much.
const MAX_PATTERN: usize = 64 << 10;

/// Returns `text` without the shortest or longest prefix that matches.
pub(super) fn trim_prefix(text: &str, pattern: &str, longest: bool) -> Result<String, String> {
    let regex = compile(pattern, pattern, longest, true)?;
    Ok(regex.find(text).map_or(text, |found| &text[found.end()..]).to_owned())
}

/// Returns `text` without the shortest or longest suffix that matches: a prefix, with text and pattern reversed.
pub(super) fn trim_suffix(text: &str, pattern: &str, longest: bool) -> Result<String, String> {
    let regex = compile(&reverse(pattern), pattern, longest, true)?;
    let reversed: String = text.chars().rev().collect();
    let matched = regex.find(&reversed).map_or(0, |found| found.len());
    Ok(text[..text.len() - matched].to_owned())
}

/// Replaces the first match or all matches; the leftmost, with each `*` as long as possible. With `all`, `$` in the
/// replacement is read as Go's `regexp` does, where `$$` is a dollar: so BuildKit behaves.
pub(super) fn replace(text: &str, pattern: &str, with: &str, all: bool, max: usize) -> Result<String, String> {
    let regex = compile(pattern, pattern, true, false)?;
    if !all {
        let Some(found) = regex.find(text) else { return Ok(text.to_owned()) };
        return Ok([&text[..found.start()], with, &text[found.end()..]].concat());
    }
    let mut replaced = String::new();
    let mut position = 0;
    for captures in regex.captures_iter(text) {
        let Some(found) = captures.get(0) else { continue };
        replaced.push_str(&text[position..found.start()]);
        captures.expand(with, &mut replaced);
        position = found.end();
        if replaced.len() > max {
            return Err(format!("the expansion is larger than {} MiB", max >> 20));
        }
    }
    replaced.push_str(&text[position..]);
    Ok(replaced)
}

fn compile(pattern: &str, written: &str, longest: bool, anchored: bool) -> Result<Regex, String> {
    let invalid = |reason: &str| format!("invalid pattern ({written}) in substitution: {reason}");
    if pattern.len() > MAX_PATTERN {
        let shown = &written[..crate::source::floor_boundary(written, 100)];
        return Err(format!("invalid pattern ({shown}…) in substitution: it is longer than {} KiB", MAX_PATTERN >> 10));
    }
    let text = translate(pattern, longest, anchored).map_err(|reason| invalid(&reason))?;
    RegexBuilder::new(&text).size_limit(MAX_COMPILED).build().map_err(|_| invalid("it is too large"))
}

fn translate(pattern: &str, longest: bool, anchored: bool) -> Result<String, String> {
    let mut regex = String::from(if anchored { "^" } else { "" });
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' => regex.push_str(if longest { ".*" } else { ".*?" }),
            '?' => regex.push('.'),
            // `\}` and `\/` were escaped for the sake of `${…}` alone.
            '\\' if matches!(characters.peek(), Some('}' | '/')) => {}
            '\\' => match characters.next() {
                Some(escaped @ ('*' | '?' | '\\')) => push_literal(escaped, &mut regex),
                Some(other) => return Err(format!("invalid escape '\\{other}'")),
                None => return Err("invalid escape '\\'".to_owned()),
            },
            other => push_literal(other, &mut regex),
        }
    }
    Ok(regex)
}

fn push_literal(character: char, regex: &mut String) {
    let mut buffer = [0; 4];
    regex.push_str(&regex::escape(character.encode_utf8(&mut buffer)));
}

/// Reverses a pattern, escapes kept before what they escape.
fn reverse(pattern: &str) -> String {
    let mut units = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        units.push((character, (character == '\\').then(|| characters.next()).flatten()));
    }
    let mut reversed = String::with_capacity(pattern.len());
    for (character, escaped) in units.into_iter().rev() {
        reversed.push(character);
        reversed.extend(escaped);
    }
    reversed
}
