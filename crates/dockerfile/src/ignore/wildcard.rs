//! Go's `filepath.Match`.

use super::InvalidPattern;

/// Go's `filepath.Match` for `COPY` wildcards: no `**`; `*`, `?` and classes never match `/`. An error for a bad pattern.
#[derive(Clone, Debug)]
pub struct Wildcard {
    items: Vec<Item>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Item {
    Literal(char),
    /// `?`
    Any,
    /// `*`
    Star,
    Class(Class),
}

/// `[a-z]`, `[^a]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Class {
    pub(super) negated: bool,
    pub(super) ranges: Vec<(char, char)>,
}

impl Class {
    pub(super) fn contains(&self, character: char) -> bool {
        self.ranges.iter().any(|&(low, high)| low <= character && character <= high) != self.negated
    }
}

impl Wildcard {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Result<Self, InvalidPattern> {
        items(pattern).map(|items| Self { items }).map_err(|message| InvalidPattern { line: 1, message, help: None })
    }

    /// True if the whole of `path` matches. Bytes that are no UTF-8 count as one character each.
    pub fn is_match(&self, path: &[u8]) -> bool {
        let (mut item, mut rest) = (0, path);
        // Where to go on if the match fails: after the last star, one character later.
        let mut retry: Option<(usize, &[u8])> = None;
        loop {
            let matched = match self.items.get(item) {
                Some(Item::Star) => {
                    item += 1;
                    retry = Some((item, rest));
                    continue;
                }
                Some(one) => next(rest).filter(|&(character, _)| one.matches(character)).map(|(_, length)| length),
                None if rest.is_empty() => return true,
                None => None,
            };
            if let Some(length) = matched {
                (item, rest) = (item + 1, &rest[length..]);
                continue;
            }
            let Some((after, from)) = retry else { return false };
            match next(from) {
                Some((character, length)) if character != Some('/') => {
                    (item, rest) = (after, &from[length..]);
                    retry = Some((after, rest));
                }
                _ => return false,
            }
        }
    }

    /// True if there is no special character in the pattern.
    pub fn is_literal(&self) -> bool {
        self.items.iter().all(|item| matches!(item, Item::Literal(_)))
    }
}

impl Item {
    /// True if it matches a character, `None` being a byte that is none.
    fn matches(&self, character: Option<char>) -> bool {
        match self {
            Self::Literal(literal) => character == Some(*literal),
            Self::Any => character != Some('/'),
            Self::Star => false,
            Self::Class(class) => character != Some('/') && class.contains(character.unwrap_or('\u{FFFD}')),
        }
    }
}

/// Returns the first character and its length, or one byte if it is none.
fn next(bytes: &[u8]) -> Option<(Option<char>, usize)> {
    let head = &bytes[..bytes.len().min(4)];
    let first = match std::str::from_utf8(head) {
        Ok(text) => text.chars().next(),
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).ok().and_then(|text| text.chars().next()),
    };
    match first {
        Some(character) => Some((Some(character), character.len_utf8())),
        None if bytes.is_empty() => None,
        None => Some((None, 1)),
    }
}

/// Returns the items of a pattern, or why it is none.
pub(super) fn items(pattern: &str) -> Result<Vec<Item>, String> {
    let bad = || "syntax error in pattern".to_owned();
    let mut items = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        items.push(match character {
            '*' if items.last() == Some(&Item::Star) => continue,
            '*' => Item::Star,
            '?' => Item::Any,
            '\\' => Item::Literal(characters.next().ok_or_else(bad)?),
            '[' => Item::Class(class(&mut characters).ok_or_else(bad)?),
            other => Item::Literal(other),
        });
    }
    Ok(items)
}

/// Reads a class after its `[`.
pub(super) fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Class> {
    let negated = characters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && characters.next_if_eq(&']').is_some() {
            return Some(Class { negated, ranges });
        }
        let low = member(characters)?;
        let high = match characters.next_if_eq(&'-') {
            Some(_) => member(characters)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

/// Reads one end of a range.
fn member(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    let character = match characters.next()? {
        '-' | ']' => return None,
        '\\' => characters.next()?,
        other => other,
    };
    // A class must be closed: Go looks for what follows every member.
    characters.peek().map(|_| character)
}
