//! The tree of a word.

use std::ops::Range;

use super::build::Builder;
use crate::grammar;

/// What a word is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Tree {
    /// The text is the value.
    Literal,
    Pieces(Vec<Piece>),
    Fault(Fault),
}

/// Why a word cannot be expanded, whatever the variables are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    pub(super) range: Range<usize>,
    pub(super) message: String,
}

/// A part of a word, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Piece {
    /// Text as it is; white space in it splits words.
    Text(String),
    /// Text that is never split: escaped or quoted.
    Kept(String),
    /// What is in double quotes.
    Quoted(Vec<Self>),
    Variable {
        name: String,
        range: Range<usize>,
    },
    Substitution(Box<Substitution>),
}

/// `${name…}`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Substitution {
    pub(super) name: String,
    pub(super) range: Range<usize>,
    pub(super) operator: Operator,
    /// The word after the operator, or the pattern.
    pub(super) word: Vec<Piece>,
    /// The text after the second slash.
    pub(super) replacement: Vec<Piece>,
}

/// What is done with the variable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operator {
    Default {
        empty_is_unset: bool,
    },
    Alternative {
        empty_is_unset: bool,
    },
    Required {
        empty_is_unset: bool,
    },
    TrimPrefix {
        longest: bool,
    },
    TrimSuffix {
        longest: bool,
    },
    Replace {
        all: bool,
    },
    /// `:` and a character that means nothing.
    Unsupported(char),
}

/// Whether quotes group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Quotes {
    Special,
    Plain,
}

impl Tree {
    /// Reads a word.
    pub(super) fn parse(text: &str, escape: char, quotes: Quotes) -> Self {
        let special = |character: char| {
            character == '$' || character == escape || (quotes == Quotes::Special && matches!(character, '\'' | '"'))
        };
        if !text.contains(special) {
            return Self::Literal;
        }
        let normalized = grammar::swap_escape(text, escape);
        match Builder::new(text, &normalized, escape, quotes).run() {
            Ok(pieces) => Self::Pieces(pieces),
            Err(fault) => Self::Fault(fault),
        }
    }

    /// True if a variable is referred to.
    pub(super) fn has_variables(&self) -> bool {
        fn any(pieces: &[Piece]) -> bool {
            pieces.iter().any(|piece| match piece {
                Piece::Text(_) | Piece::Kept(_) => false,
                Piece::Quoted(pieces) => any(pieces),
                Piece::Variable { .. } | Piece::Substitution(_) => true,
            })
        }
        matches!(self, Self::Pieces(pieces) if any(pieces))
    }
}
