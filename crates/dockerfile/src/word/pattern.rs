//! The patterns of `${name#…}`, `${name%…}` and `${name/…/…}`: `*` and `?`, which do not match a line end, and escapes.
//!
//! A pattern is matched piece by piece, without going back: since a `*` stays within its line, each piece between two of
//! them may be taken where it comes first, the last one where it comes last if the match is to be long. So a match takes
//! no more than pattern times text, which the [`Budget`] bounds.

use std::ops::Range;

use super::Budget;
use super::budget::Spent;
use super::replacement::Replacement;

/// What a replacement costs beside what is compared and copied for it.
const MATCH: usize = 16;

/// Why there is no result.
#[derive(Debug)]
pub(super) enum Failure {
    Spent,
    Other(String),
}

impl From<Spent> for Failure {
    fn from(_: Spent) -> Self {
        Self::Spent
    }
}

/// Returns `text` without the shortest or longest prefix that matches.
pub(super) fn trim_prefix(text: &str, pattern: &str, longest: bool, budget: &mut Budget) -> Result<String, Failure> {
    let end = Pattern::parse(pattern, budget)?.prefix(text, longest, budget)?;
    Ok(text[end.unwrap_or(0)..].to_owned())
}

/// Returns `text` without the shortest or longest suffix that matches: a prefix, with text and pattern reversed.
pub(super) fn trim_suffix(text: &str, pattern: &str, longest: bool, budget: &mut Budget) -> Result<String, Failure> {
    let pattern = Pattern::parse(pattern, budget)?.reversed();
    budget.spend(text.len())?;
    let reversed: String = text.chars().rev().collect();
    let length = pattern.prefix(&reversed, longest, budget)?.unwrap_or(0);
    Ok(text[..text.len() - length].to_owned())
}

/// Replaces the first match or all matches; the leftmost, with each `*` as long as possible. With `all`, `$` in the
/// replacement means something: so BuildKit behaves.
pub(super) fn replace(
    text: &str,
    pattern: &str,
    with: &str,
    all: bool,
    budget: &mut Budget,
    max: usize,
) -> Result<String, Failure> {
    let pattern = Pattern::parse(pattern, budget)?;
    if !all {
        let Some(found) = pattern.find(text, 0, budget)? else { return Ok(text.to_owned()) };
        budget.copy(with)?;
        return Ok([&text[..found.start], with, &text[found.end..]].concat());
    }
    budget.spend(with.len())?;
    let with = Replacement::parse(with);
    let mut replaced = String::new();
    let (mut copied, mut position) = (0, 0);
    let mut last = None;
    while let Some(found) = pattern.find(text, position, budget)? {
        position = found.end;
        if found.is_empty() {
            // An empty match directly behind another one is none, and the next is at another place.
            position += text[position..].chars().next().map_or(1, char::len_utf8);
        }
        if !found.is_empty() || last != Some(found.end) {
            replaced.push_str(&text[copied..found.start]);
            let kept = replaced.len();
            with.push(&text[found.clone()], &mut replaced);
            budget.copy(&replaced[kept..])?;
            copied = found.end;
        }
        if replaced.len() > max {
            return Err(Failure::Other(format!("the expansion is larger than {} MiB", max >> 20)));
        }
        budget.spend(with.len() + MATCH)?;
        last = Some(found.end);
        if position > text.len() {
            break;
        }
    }
    replaced.push_str(&text[copied..]);
    Ok(replaced)
}

/// What one character of a piece must be.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// `?`
    Any,
    Character(char),
}

impl Unit {
    /// Returns the byte that what matches begins with, if there is one.
    fn first_byte(&self) -> Option<u8> {
        match self {
            Self::Any => None,
            Self::Character(character) => Some(character.encode_utf8(&mut [0; 4]).as_bytes()[0]),
        }
    }
}

type Piece = Vec<Unit>;

/// A pattern, cut at each `*`.
#[derive(Debug)]
struct Pattern {
    first: Piece,
    /// Each behind a `*`.
    rest: Vec<Piece>,
}

impl Pattern {
    fn parse(text: &str, budget: &mut Budget) -> Result<Self, Failure> {
        budget.spend(text.len())?;
        let invalid = |escape: &str| {
            let reason = format!("invalid pattern ({text}) in substitution: invalid escape '{escape}'");
            Err(Failure::Other(reason))
        };
        let mut pieces = vec![Vec::new()];
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let unit = match character {
                '*' => {
                    pieces.push(Vec::new());
                    continue;
                }
                '?' => Unit::Any,
                // `\}` and `\/` were escaped for the sake of `${…}` alone.
                '\\' if matches!(characters.peek(), Some('}' | '/')) => continue,
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '?' | '\\')) => Unit::Character(escaped),
                    Some(other) => return invalid(&format!("\\{other}")),
                    None => return invalid("\\"),
                },
                other => Unit::Character(other),
            };
            pieces.last_mut().expect("never empty").push(unit);
        }
        let first = pieces.remove(0);
        Ok(Self { first, rest: pieces })
    }

    /// Returns the pattern of the texts that are those of this one, reversed.
    fn reversed(self) -> Self {
        let mut pieces: Vec<Piece> = std::iter::once(self.first).chain(self.rest).collect();
        pieces.reverse();
        pieces.iter_mut().for_each(|piece| piece.reverse());
        let first = pieces.remove(0);
        Self { first, rest: pieces }
    }

    /// Returns where the shortest or longest prefix that matches ends.
    fn prefix(&self, text: &str, longest: bool, budget: &mut Budget) -> Result<Option<usize>, Spent> {
        let Some(end) = matched(&self.first, text, 0, budget)? else { return Ok(None) };
        let line = line_end(text, end, budget)?;
        self.behind(text, end, line, longest, budget)
    }

    /// Returns the leftmost match at `from` or later, and the longest there.
    fn find(&self, text: &str, from: usize, budget: &mut Budget) -> Result<Option<Range<usize>>, Spent> {
        // What ends its first piece up to here leaves no more to the first `*` than what has failed already.
        let mut hopeless = None;
        for start in boundaries(text, from..text.len()) {
            let Some(end) = matched(&self.first, text, start, budget)? else { continue };
            if self.rest.is_empty() {
                return Ok(Some(start..end));
            }
            if hopeless.is_some_and(|hopeless| end <= hopeless) {
                continue;
            }
            let line = line_end(text, end, budget)?;
            if let Some(end) = self.behind(text, end, line, true, budget)? {
                return Ok(Some(start..end));
            }
            hopeless = Some(line);
        }
        Ok(None)
    }

    /// Matches what is behind the first piece, which ends at `position` in a line that ends at `line`.
    fn behind(
        &self,
        text: &str,
        mut position: usize,
        mut line: usize,
        longest: bool,
        budget: &mut Budget,
    ) -> Result<Option<usize>, Spent> {
        for (index, piece) in self.rest.iter().enumerate() {
            let reach = boundaries(text, position..line);
            let is_last = index + 1 == self.rest.len();
            let found = if is_last && longest {
                search(piece, text, reach.rev(), budget)?
            } else {
                search(piece, text, reach, budget)?
            };
            let Some(end) = found else { return Ok(None) };
            position = end;
            if position > line {
                line = line_end(text, position, budget)?;
            }
        }
        Ok(Some(position))
    }
}

/// Returns the offsets in `range` at which a character begins, and its end.
fn boundaries(text: &str, range: Range<usize>) -> impl DoubleEndedIterator<Item = usize> {
    text[range.clone()].char_indices().map(move |(at, _)| range.start + at).chain([range.end])
}

/// Returns where the line ends that `position` is in.
fn line_end(text: &str, position: usize, budget: &mut Budget) -> Result<usize, Spent> {
    let end = text[position..].find('\n').map_or(text.len(), |at| position + at);
    budget.spend(end - position)?;
    Ok(end)
}

/// Returns where a piece ends that begins at the first of `starts` at which it matches.
fn search(
    piece: &Piece,
    text: &str,
    starts: impl Iterator<Item = usize>,
    budget: &mut Budget,
) -> Result<Option<usize>, Spent> {
    let first = piece.first().and_then(Unit::first_byte);
    let mut skipped = 0;
    for start in starts {
        if first.is_some_and(|first| text.as_bytes().get(start) != Some(&first)) {
            skipped += 1;
            continue;
        }
        budget.spend(std::mem::take(&mut skipped))?;
        if let Some(end) = matched(piece, text, start, budget)? {
            return Ok(Some(end));
        }
    }
    budget.spend(skipped)?;
    Ok(None)
}

/// Returns where a piece ends that begins at `start`, if it matches there.
fn matched(piece: &Piece, text: &str, start: usize, budget: &mut Budget) -> Result<Option<usize>, Spent> {
    let mut rest = text[start..].chars();
    for (compared, unit) in piece.iter().enumerate() {
        let same = rest.next().is_some_and(|character| match unit {
            Unit::Any => character != '\n',
            Unit::Character(expected) => character == *expected,
        });
        if !same {
            budget.spend(compared + 1)?;
            return Ok(None);
        }
    }
    budget.spend(piece.len() + 1)?;
    Ok(Some(text.len() - rest.as_str().len()))
}

#[cfg(test)]
mod tests;
