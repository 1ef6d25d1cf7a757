//! Expansion of a word over given variables.

use std::collections::HashSet;
use std::ops::Range;

use super::budget::{Budget, Spent};
use super::pattern;
use super::tree::{Operator, Piece, Substitution, Tree};
use super::{ExpandError, Expanded, Word};

/// Largest value that an expansion may give, in bytes.
pub const MAX_EXPANSION: usize = 16 << 20;

/// Where the value of a variable comes from.
pub trait Variables {
    /// Returns the value of `name`, `None` if it is unset.
    fn get(&self, name: &str) -> Option<&str>;
}

impl Variables for std::collections::HashMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        Self::get(self, name).map(String::as_str)
    }
}

impl Variables for std::collections::BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        Self::get(self, name).map(String::as_str)
    }
}

impl Word {
    /// Expands variables and removes quotes and escapes (reference: section 2).
    pub fn expand(&self, variables: &dyn Variables) -> Result<Expanded, ExpandError> {
        self.expand_within(variables, &mut Budget::default())
    }

    /// Expands like [`expand`](Self::expand) for no more than is left of a budget.
    pub fn expand_within(&self, variables: &dyn Variables, budget: &mut Budget) -> Result<Expanded, ExpandError> {
        let pieces = match &self.tree {
            Tree::Literal => return Ok(Expanded { value: self.text.clone(), used: Vec::new() }),
            Tree::Pieces(pieces) => pieces,
            Tree::Fault(fault) => return Err(self.error(fault.range.clone(), &fault.message)),
        };
        let mut expansion = Expansion::new(variables, budget);
        let mut value = String::with_capacity(self.text.len());
        expansion.join(pieces, &mut value).map_err(|failure| self.failed(failure))?;
        Ok(Expanded { value, used: distinct(expansion.used) })
    }

    /// Expands like [`expand`](Self::expand) and splits at white space that is not quoted.
    pub fn expand_words(&self, variables: &dyn Variables) -> Result<Vec<Expanded>, ExpandError> {
        self.expand_words_within(variables, &mut Budget::default())
    }

    /// Expands like [`expand_words`](Self::expand_words) for no more than is left of a budget.
    pub fn expand_words_within(
        &self,
        variables: &dyn Variables,
        budget: &mut Budget,
    ) -> Result<Vec<Expanded>, ExpandError> {
        let literal = [Piece::Text(self.text.clone())];
        let pieces = match &self.tree {
            Tree::Literal => &literal[..],
            Tree::Pieces(pieces) => pieces,
            Tree::Fault(fault) => return Err(self.error(fault.range.clone(), &fault.message)),
        };
        let mut expansion = Expansion::new(variables, budget);
        let mut split = Split::default();
        for piece in pieces {
            expansion.split(piece, &mut split).map_err(|failure| self.failed(failure))?;
        }
        split.end(&mut expansion.used);
        Ok(split.words)
    }

    fn failed(&self, failure: Failure) -> ExpandError {
        let range = if failure.range.is_empty() { 0..self.text.len() } else { failure.range };
        self.error(range, &failure.message)
    }
}

/// Why an expansion failed, and at which part; an empty range is the whole word.
struct Failure {
    range: Range<usize>,
    message: String,
}

impl From<Spent> for Failure {
    fn from(_: Spent) -> Self {
        Self { range: 0..0, message: "the expansion takes too long".to_owned() }
    }
}

/// The words made so far.
#[derive(Default)]
struct Split {
    words: Vec<Expanded>,
    current: String,
}

impl Split {
    /// Ends the current word, if it has any text: words in empty quotes vanish.
    fn end(&mut self, used: &mut Vec<(String, bool)>) {
        if !self.current.is_empty() {
            let value = std::mem::take(&mut self.current);
            self.words.push(Expanded { value, used: distinct(std::mem::take(used)) });
        }
    }

    /// Adds text that is split at white space.
    fn add(&mut self, text: &str, used: &mut Vec<(String, bool)>) {
        let mut rest = text;
        while let Some(at) = rest.find(char::is_whitespace) {
            self.current.push_str(&rest[..at]);
            self.end(used);
            rest = rest[at..].trim_start();
        }
        self.current.push_str(rest);
    }
}

/// Keeps the first of each.
fn distinct(mut used: Vec<(String, bool)>) -> Vec<(String, bool)> {
    if used.len() > 1 {
        let mut seen = HashSet::new();
        used.retain(|(name, _)| seen.insert(name.clone()));
    }
    used
}

struct Expansion<'a> {
    variables: &'a dyn Variables,
    budget: &'a mut Budget,
    /// Variables as they were asked for, and whether each was unset.
    used: Vec<(String, bool)>,
    /// Bytes copied so far, nested values included.
    size: usize,
}

impl<'a> Expansion<'a> {
    fn new(variables: &'a dyn Variables, budget: &'a mut Budget) -> Self {
        Self { variables, budget, used: Vec::new(), size: 0 }
    }

    /// Appends the values of all pieces.
    fn join(&mut self, pieces: &[Piece], value: &mut String) -> Result<(), Failure> {
        for piece in pieces {
            match piece {
                Piece::Text(text) | Piece::Kept(text) => self.copy(text, value)?,
                Piece::Quoted(inner) => self.join(inner, value)?,
                Piece::Variable { name, .. } => {
                    let text = self.look_up(name).unwrap_or("");
                    self.copy(text, value)?;
                }
                Piece::Substitution(substitution) => {
                    let text = self.substitute(substitution)?;
                    self.copy(&text, value)?;
                }
            }
        }
        Ok(())
    }

    /// Adds the value of a piece of the outermost level to the words.
    fn split(&mut self, piece: &Piece, split: &mut Split) -> Result<(), Failure> {
        let mut value = String::new();
        self.join(std::slice::from_ref(piece), &mut value)?;
        match piece {
            Piece::Kept(_) | Piece::Quoted(_) => split.current.push_str(&value),
            _ => split.add(&value, &mut self.used),
        }
        Ok(())
    }

    fn copy(&mut self, text: &str, value: &mut String) -> Result<(), Failure> {
        self.size = self.size.saturating_add(text.len());
        if self.size > MAX_EXPANSION {
            let message = format!("the expansion is larger than {} MiB", MAX_EXPANSION >> 20);
            return Err(Failure { range: 0..0, message });
        }
        self.budget.copy(text)?;
        value.push_str(text);
        Ok(())
    }

    /// Returns the value of a variable and remembers that it was asked for.
    fn look_up(&mut self, name: &str) -> Option<&'a str> {
        let value = self.variables.get(name);
        self.used.push((name.to_owned(), value.is_none()));
        value
    }

    /// The word is expanded first, even where the variable makes it superfluous: a mistake in it always shows.
    fn substitute(&mut self, substitution: &Substitution) -> Result<String, Failure> {
        let Substitution { name, range, operator, word: pieces, replacement } = substitution;
        let mut word = String::new();
        self.join(pieces, &mut word)?;
        let mut with = String::new();
        self.join(replacement, &mut with)?;
        let value = self.look_up(name);
        let missing = |empty_is_unset: bool| value.is_none_or(|value| value.is_empty() && empty_is_unset);
        let text = value.unwrap_or("");
        let patterned = match *operator {
            Operator::Default { empty_is_unset } => {
                return Ok(if missing(empty_is_unset) { word } else { text.to_owned() });
            }
            Operator::Alternative { empty_is_unset } => {
                return Ok(if missing(empty_is_unset) { String::new() } else { word });
            }
            Operator::Required { empty_is_unset } => {
                if !missing(empty_is_unset) {
                    return Ok(text.to_owned());
                }
                let state = if value.is_none() { "unset" } else { "empty" };
                let reason = if word.is_empty() { format!("is not allowed to be {state}") } else { word };
                return Err(Failure { range: range.clone(), message: format!("{name}: {reason}") });
            }
            // The tree of such a word is a fault.
            Operator::Unsupported(_) => return Ok(String::new()),
            Operator::TrimPrefix { longest } => pattern::trim_prefix(text, &word, longest, self.budget),
            Operator::TrimSuffix { longest } => pattern::trim_suffix(text, &word, longest, self.budget),
            Operator::Replace { all } => pattern::replace(text, &word, &with, all, self.budget, MAX_EXPANSION),
        };
        patterned.map_err(|failure| match failure {
            pattern::Failure::Spent => Failure::from(Spent),
            pattern::Failure::Other(message) => Failure { range: range.clone(), message },
        })
    }
}
