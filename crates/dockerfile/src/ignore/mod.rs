//! `.dockerignore` and `--exclude` patterns (reference: section 10).

mod pattern;
mod wildcard;

use globset::GlobSet;

use crate::diagnostic::Diagnostic;
use crate::source::{Source, Span};

use pattern::Pattern;

pub use wildcard::Wildcard;

/// An ordered list of patterns, some negated.
#[derive(Debug)]
pub struct Ignore {
    patterns: Vec<Entry>,
    /// Matches all patterns that globs express exactly, at once.
    globs: GlobSet,
    /// Which pattern each glob is.
    glob_of: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    text: String,
    pattern: Pattern,
    negated: bool,
}

impl Entry {
    /// Compiles what was read of a line, `None` if that is no pattern.
    fn read(line: usize, read: Result<Option<(String, bool)>, String>) -> Result<Option<Self>, InvalidPattern> {
        let invalid = |help| move |message| InvalidPattern { line, message, help: Some(help) };
        let Some((text, negated)) = read.map_err(invalid(NEGATION))? else { return Ok(None) };
        let pattern = Pattern::new(&text).map_err(invalid(SYNTAX))?;
        Ok(Some(Self { text, pattern, negated }))
    }
}

/// What the patterns said of one directory, to be handed down to what is below it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParentHits(pub(crate) Vec<bool>);

/// A pattern that cannot be used: 1-based line, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct InvalidPattern {
    pub line: usize,
    pub message: String,
    /// What would be one.
    pub help: Option<&'static str>,
}

impl InvalidPattern {
    /// Returns the finding, at the line of `source`, which holds the text of the ignore file.
    pub fn diagnostic(&self, source: &Source) -> Diagnostic {
        let mut lines = source.text.split_inclusive('\n');
        let before: usize = lines.by_ref().take(self.line.saturating_sub(1)).map(str::len).sum();
        let line = lines.next().unwrap_or_default();
        let start = before + line.len() - line.trim_start().len();
        self.at(Span::new(source.id, start, start + line.trim().len()))
    }

    /// Returns the finding of a pattern that stands at `span`.
    pub fn at(&self, span: Span) -> Diagnostic {
        self.help.into_iter().fold(Diagnostic::error(span, &self.message), Diagnostic::help)
    }
}

const NEGATION: &str = "after `!` stands the pattern of what is not to be ignored: `!keep.txt`";
const SYNTAX: &str = "`[` begins a class that `]` ends (`[a-z]`), and a character follows `\\`; write `\\[` and `\\\\` for the characters themselves";

impl Ignore {
    /// Reads the text of a `.dockerignore` file.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidPattern> {
        let text = String::from_utf8_lossy(text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text));
        let lines = text.split('\n').enumerate().filter(|(_, line)| !line.starts_with('#'));
        Self::compile(lines.map(|(index, line)| (index + 1, pattern::read_line(line))))
    }

    /// Takes patterns one by one (`--exclude`). Unlike in a file, a slash in front stays, and matches nothing.
    pub fn from_patterns<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPattern> {
        Self::compile(patterns.into_iter().enumerate().map(|(index, word)| (index + 1, pattern::read_word(word))))
    }

    /// Says whether a pattern is one that [`from_patterns`](Self::from_patterns) takes, for much less than that costs.
    pub fn check(pattern: &str) -> Result<(), InvalidPattern> {
        Entry::read(1, pattern::read_word(pattern)).map(drop)
    }

    fn compile(
        lines: impl Iterator<Item = (usize, Result<Option<(String, bool)>, String>)>,
    ) -> Result<Self, InvalidPattern> {
        let mut patterns = Vec::new();
        let mut globs = GlobSet::builder();
        let mut glob_of = Vec::new();
        for (line, read) in lines {
            let Some(entry) = Entry::read(line, read)? else { continue };
            if let Pattern::Glob(glob) = &entry.pattern {
                globs.add(glob.clone());
                glob_of.push(patterns.len());
            }
            patterns.push(entry);
        }
        let too_large = |error: globset::Error| InvalidPattern { line: 1, message: error.to_string(), help: None };
        Ok(Self { patterns, globs: globs.build().map_err(too_large)?, glob_of })
    }

    /// True if there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Returns the patterns as they are understood, and whether they are negated: two lists that are equal do the same.
    pub fn patterns(&self) -> impl ExactSizeIterator<Item = (&str, bool)> {
        self.patterns.iter().map(|entry| (entry.text.as_str(), entry.negated))
    }

    /// True if any pattern is negated.
    pub fn has_negation(&self) -> bool {
        self.patterns.iter().any(|entry| entry.negated)
    }

    /// Returns what holds for the children of the root.
    pub fn root(&self) -> ParentHits {
        ParentHits(vec![false; self.patterns.len()])
    }

    /// Decides about `path` (slash-separated, relative), given its parent's hits: whether it is ignored, and the hits
    /// to hand down.
    ///
    /// A pattern that could not change the outcome is not looked at, and does not hit: what is below inherits that.
    pub fn matches(&self, path: &str, parent: &ParentHits) -> (bool, ParentHits) {
        let globbed = self.globbed(path);
        let mut ignored = false;
        let mut hits = vec![false; self.patterns.len()];
        for (index, entry) in self.patterns.iter().enumerate() {
            let inherited = parent.0.get(index).copied().unwrap_or(false);
            if !inherited && entry.negated != ignored {
                continue;
            }
            if inherited || entry.pattern.is_match(path, globbed[index]) {
                hits[index] = true;
                ignored = !entry.negated;
            }
        }
        (ignored, ParentHits(hits))
    }

    /// Decides about `path` with nothing known of its parents: a pattern hits if it matches the path or any directory
    /// above it.
    pub fn is_ignored(&self, path: &str) -> bool {
        let prefixes: Vec<&str> = ancestors(path).chain([path]).collect();
        let globbed: Vec<Vec<bool>> = prefixes.iter().map(|prefix| self.globbed(prefix)).collect();
        let mut ignored = false;
        for (index, entry) in self.patterns.iter().enumerate() {
            if entry.negated == ignored {
                let hit = |(prefix, globbed): (&&str, &Vec<bool>)| entry.pattern.is_match(prefix, globbed[index]);
                if prefixes.iter().zip(&globbed).any(hit) {
                    ignored = !entry.negated;
                }
            }
        }
        ignored
    }

    /// True if something below the ignored directory `path` could be included again, so it must be walked.
    pub fn may_include_below(&self, path: &str) -> bool {
        self.patterns.iter().any(|entry| entry.negated && entry.pattern.may_match_below(path))
    }

    /// Returns which of the patterns that are globs match.
    fn globbed(&self, path: &str) -> Vec<bool> {
        let mut globbed = vec![false; self.patterns.len()];
        if !self.glob_of.is_empty() {
            for glob in self.globs.matches(path) {
                globbed[self.glob_of[glob]] = true;
            }
        }
        globbed
    }
}

/// Returns the directories above a path, the outermost first, without the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests;
