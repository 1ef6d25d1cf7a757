//! One pattern: read, cleaned, and made into what matches it fastest.

use globset::{Glob, GlobBuilder};
use regex::{Regex, RegexBuilder};

use super::wildcard;

/// Largest compiled pattern, in bytes.
const MAX_COMPILED: usize = 4 << 20;

const NOTHING_NEGATED: &str = "illegal exclusion pattern: \"!\"";

/// What a pattern became.
#[derive(Debug)]
pub(super) enum Pattern {
    /// No special character: the path itself.
    Exact(String),
    /// `X**`: what starts with X.
    Prefix(String),
    /// `**Y`: what ends in Y; `**/Y` is Y itself, too.
    Suffix(String),
    /// Stars between literals: globs do the same.
    Glob(Glob),
    /// The rest: characters must be counted, which globs do in bytes.
    Regex(Box<Regex>, String),
}

/// Reads one line of a file: trimmed, negation taken off, cleaned, without a slash in front. Nothing if it is blank.
pub(super) fn read_line(line: &str) -> Result<Option<(String, bool)>, String> {
    let line = line.trim();
    let (line, negated) = match line.strip_prefix('!') {
        Some(rest) => (rest.trim(), true),
        None => (line, false),
    };
    if line.is_empty() {
        return if negated { Err(NOTHING_NEGATED.to_owned()) } else { Ok(None) };
    }
    let cleaned = clean(line);
    let text = if cleaned.len() > 1 { cleaned.strip_prefix('/').unwrap_or(&cleaned) } else { &cleaned };
    Ok(Some((text.to_owned(), negated)))
}

/// Reads a pattern that stands alone: trimmed, cleaned, negation taken off. Paths have no slash in front, so one that has matches
/// nothing. Nothing if it is blank.
pub(super) fn read_word(word: &str) -> Result<Option<(String, bool)>, String> {
    let word = word.trim();
    if word.is_empty() {
        return Ok(None);
    }
    let cleaned = clean(word);
    match cleaned.strip_prefix('!') {
        Some("") => Err(NOTHING_NEGATED.to_owned()),
        Some(rest) => Ok(Some((rest.to_owned(), true))),
        None => Ok(Some((cleaned, false))),
    }
}

/// Go's `filepath.Clean`: no empty, `.` or `dir/..` components, no slash at the end.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            other => parts.push(other),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

impl Pattern {
    /// Compiles a cleaned pattern.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        wildcard::items(text)?;
        let special = |text: &str| text.contains(['*', '?', '[', ']', '\\']);
        if !special(text) {
            return Ok(Self::Exact(text.to_owned()));
        }
        if let Some(suffix) = text.strip_prefix("**").filter(|suffix| !special(suffix)) {
            return Ok(Self::Suffix(suffix.to_owned()));
        }
        if let Some(prefix) = text.strip_suffix("**").filter(|prefix| !special(prefix)) {
            return Ok(Self::Prefix(prefix.to_owned()));
        }
        if let Some(glob) = glob(text) {
            return Ok(Self::Glob(glob));
        }
        let regex = RegexBuilder::new(&regex(text)).size_limit(MAX_COMPILED).build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
            _ => "syntax error in pattern".to_owned(),
        })?;
        Ok(Self::Regex(Box::new(regex), literal_start(text).to_owned()))
    }

    /// True if it matches the whole path; `globbed` is what the set of globs said of it.
    pub(super) fn is_match(&self, path: &str, globbed: bool) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/').is_some_and(|rest| path == rest)
            }
            Self::Glob(_) => globbed,
            Self::Regex(regex, _) => regex.is_match(path),
        }
    }

    /// False if nothing below the directory can match.
    pub(super) fn may_match_below(&self, directory: &str) -> bool {
        let start = match self {
            Self::Exact(text) => {
                return text.strip_prefix(directory).is_some_and(|below| below.starts_with('/'));
            }
            Self::Prefix(prefix) => prefix,
            Self::Suffix(_) => return true,
            Self::Glob(glob) => literal_start(glob.glob()),
            Self::Regex(_, start) => start,
        };
        let below = format!("{directory}/");
        start.starts_with(&below) || below.starts_with(start)
    }
}

/// Returns the part before the first special character.
fn literal_start(text: &str) -> &str {
    &text[..text.find(['*', '?', '[', '\\', '{']).unwrap_or(text.len())]
}

/// Returns the glob that means the same, if there is one: `*` in any component, `**` as a component of its own.
fn glob(text: &str) -> Option<Glob> {
    let plain = |part: &str| !part.contains("**") && !part.contains(['?', '[', ']', '\\', '{', '}', '!', '^']);
    let parts: Vec<&str> = text.split('/').collect();
    let simple = parts.iter().enumerate().all(|(index, part)| match *part {
        // At the end `**` would match the directory itself in one language and not in the other.
        "**" => index + 1 < parts.len(),
        part => plain(part),
    });
    if !simple || text.contains('\n') {
        return None;
    }
    GlobBuilder::new(text).literal_separator(true).backslash_escape(true).empty_alternates(true).build().ok()
}

/// Returns the regular expression that means the same.
///
/// As with BuildKit, special characters are replaced wherever they stand, in classes too: `[*]` is `[[^/]*]`, and `^`
/// within a pattern is the start of the path.
fn regex(text: &str) -> String {
    let mut regex = Expression { text: String::from("^"), in_class: false };
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' if characters.next_if_eq(&'*').is_some() => {
                characters.next_if_eq(&'/');
                regex.push(if characters.peek().is_none() { ".*" } else { "(.*/)?" });
            }
            '*' => regex.push("[^/]*"),
            '?' => regex.push("[^/]"),
            '\\' => regex.push_literal(characters.next().unwrap_or('\\')),
            '[' if !regex.in_class && characters.next_if_eq(&'^').is_some() => regex.push("[^"),
            '[' | ']' | '^' | '-' => regex.push(character.encode_utf8(&mut [0; 4])),
            other => regex.push_literal(other),
        }
    }
    regex.text + "$"
}

/// A regular expression in the making.
struct Expression {
    text: String,
    /// What was written last is in a class, where other characters are special.
    in_class: bool,
}

impl Expression {
    /// Appends what may be an operator.
    fn push(&mut self, operators: &str) {
        for (index, character) in operators.char_indices() {
            match (character, self.in_class) {
                ('[', false) => self.in_class = true,
                (']', true) => self.in_class = false,
                (']', false) => self.text.push('\\'),
                ('-', _) => {}
                ('^', true) if operators[..index].ends_with('[') && self.text.ends_with('[') => {}
                (_, true) => self.text.push('\\'),
                (_, false) => {}
            }
            self.text.push(character);
        }
    }

    fn push_literal(&mut self, character: char) {
        // `\<` and `\>` are the bounds of words.
        if self.in_class && character.is_ascii_punctuation() && !matches!(character, '<' | '>') {
            self.text.push('\\');
            self.text.push(character);
        } else {
            self.text.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
        }
    }
}
