//! Builds the tree of a word. Levels are kept on a stack of our own, so no input can exhaust the thread's.

use std::ops::Range;

use pest::Parser;
use pest::iterators::Pair;

use super::plain;
use super::tree::{Fault, Operator, Piece, Quotes, Substitution};
use crate::grammar::{word::Grammar, word::Rule};

/// Deepest nesting of quotes and substitutions; quotes at the bottom do not count.
const MAX_DEPTH: usize = 100;

/// A level that is open.
struct Level {
    context: Context,
    /// Where it was opened.
    start: usize,
    pieces: Vec<Piece>,
    /// Escape characters stay in the text: it is a pattern.
    raw: bool,
}

enum Context {
    Top,
    /// `"…"`
    Quoted,
    /// `${name-…}`
    Brace(String, Operator),
    /// `${name/…/`
    Pattern(String, Operator),
    /// `${name/pattern/…}`
    Replacement(String, Operator, Vec<Piece>),
}

impl Context {
    /// True if text ends before a character.
    fn stops_text(&self, character: char) -> bool {
        match character {
            '$' | '"' | '\\' => true,
            '\'' => !matches!(self, Self::Quoted),
            '}' => matches!(self, Self::Brace(..) | Self::Replacement(..)),
            '/' => matches!(self, Self::Pattern(..)),
            _ => false,
        }
    }
}

/// Reads a word from its start to its end.
pub(super) struct Builder<'a> {
    text: &'a str,
    normalized: &'a str,
    escape: char,
    quotes: Quotes,
    position: usize,
    levels: Vec<Level>,
}

impl<'a> Builder<'a> {
    /// Starts at the beginning of `text`, which `normalized` is for the grammar.
    pub(super) fn new(text: &'a str, normalized: &'a str, escape: char, quotes: Quotes) -> Self {
        Self { text, normalized, escape, quotes, position: 0, levels: Vec::new() }
    }

    /// Returns the pieces of the whole word.
    pub(super) fn run(&mut self) -> Result<Vec<Piece>, Fault> {
        let mut level = Level { context: Context::Top, start: 0, pieces: Vec::new(), raw: false };
        loop {
            while self.flat(&mut level)? {}
            let Some(next) = self.normalized[self.position..].chars().next() else { break };
            level = match (next, &level.context) {
                ('}', Context::Brace(_, Operator::Unsupported(character))) => {
                    let message = format!("unsupported modifier (:{character}) in substitution");
                    return Err(self.fault(level.start..self.position + 1, &message));
                }
                ('"', Context::Quoted) | ('}', Context::Brace(..) | Context::Replacement(..)) => self.close(level),
                ('/', Context::Pattern(..)) => self.turn(level),
                ('$', _) => self.open_brace(level)?,
                ('"', _) => self.open(level, Context::Quoted, 1, None)?,
                // Whatever else stops a run can only be a quote without its other one.
                _ => return Err(self.unclosed(level, "single-quote")),
            };
        }
        match level.context {
            Context::Top => Ok(level.pieces),
            Context::Quoted => Err(self.unclosed(level, "double-quote")),
            _ => Err(self.unclosed(level, "")),
        }
    }

    /// Takes what does not nest; of the body of a heredoc a line at a time, to bound what the grammar holds. True if
    /// there may be more of it.
    fn flat(&mut self, level: &mut Level) -> Result<bool, Fault> {
        if self.quotes == Quotes::Special && self.plain(level) {
            return Ok(false);
        }
        let rule = match (self.quotes, &level.context) {
            (_, Context::Quoted) => Rule::quoted,
            (Quotes::Special, Context::Top) => Rule::top,
            (Quotes::Plain, Context::Top) => Rule::body,
            (Quotes::Special, Context::Pattern(..)) => Rule::slash,
            (Quotes::Plain, Context::Pattern(..)) => Rule::body_slash,
            (Quotes::Special, _) => Rule::brace,
            (Quotes::Plain, _) => Rule::body_brace,
        };
        let start = self.position;
        let Ok(mut pairs) = Grammar::parse(rule, &self.normalized[start..]) else {
            return Err(self.fault(start..self.text.len(), "syntax error"));
        };
        let Some(run) = pairs.next() else { return Ok(false) };
        self.position = start + run.as_span().end();
        for pair in run.into_inner() {
            self.token(pair, start, level.raw, &mut level.pieces);
        }
        Ok(self.quotes == Quotes::Plain && self.text[start..self.position].ends_with('\n'))
    }

    /// Takes text and variables without the grammar, as they are in nearly every word. True if what follows is a level's
    /// start or end.
    fn plain(&mut self, level: &mut Level) -> bool {
        loop {
            let start = self.position;
            let rest = &self.normalized[start..];
            let length = rest.find(|character| level.context.stops_text(character)).unwrap_or(rest.len());
            push_text(&mut level.pieces, &self.text[start..start + length]);
            let (start, rest) = (start + length, &rest[length..]);
            self.position = start;
            let Some((name, length)) = plain::variable(rest) else {
                return !rest.starts_with(['$', '\\', '\'']) || plain::opening(rest).is_some();
            };
            self.position += length;
            level.pieces.push(Piece::Variable { name: name.to_owned(), range: start..self.position });
        }
    }

    fn token(&self, pair: Pair<'_, Rule>, base: usize, raw: bool, pieces: &mut Vec<Piece>) {
        let span = pair.as_span();
        let range = base + span.start()..base + span.end();
        let written = &self.text[range.clone()];
        match pair.as_rule() {
            Rule::variable | Rule::braced => {
                let name = pair.into_inner().next().map_or("", |name| name.as_str()).to_owned();
                pieces.push(Piece::Variable { name, range });
            }
            Rule::single => pieces.push(Piece::Kept(written[1..written.len() - 1].to_owned())),
            Rule::escape => self.escaped(written, raw, pieces),
            Rule::quoted_escape => self.quoted_escaped(written, raw, pieces),
            _ => push_text(pieces, written),
        }
    }

    /// Outside of quotes the escape character goes and what follows stays, unless the text is a pattern.
    fn escaped(&self, written: &str, raw: bool, pieces: &mut Vec<Piece>) {
        let kept = if raw { written } else { &written[self.escape.len_utf8()..] };
        push_kept(pieces, kept);
    }

    /// In double quotes it goes only before `"`, `$` and itself. In a pattern one that stands for itself is doubled,
    /// since it would escape there.
    fn quoted_escaped(&self, written: &str, raw: bool, pieces: &mut Vec<Piece>) {
        let lone = written.len() == self.escape.len_utf8();
        match (lone, raw) {
            (true, true) => push_text(pieces, &written.repeat(2)),
            (true, false) | (false, true) => push_text(pieces, written),
            (false, false) => push_text(pieces, &written[self.escape.len_utf8()..]),
        }
    }

    fn open_brace(&mut self, level: Level) -> Result<Level, Fault> {
        let rest = &self.normalized[self.position..];
        let start = self.position;
        let inner = rest.strip_prefix("${").unwrap_or("");
        if inner.is_empty() {
            return Err(self.unclosed_at(level, start));
        }
        if inner.starts_with(['{', '}', ':']) {
            let range = start..start + 3;
            return Err(self.fault(range, "syntax error: bad substitution"));
        }
        let Some((name, operator, length)) = plain::opening(rest).or_else(|| self.opening(start)) else {
            return Err(self.unsupported(level));
        };
        let name = name.to_owned();
        let operator = operator_of(operator);
        let context = match operator {
            Operator::Replace { .. } => Context::Pattern(name, operator),
            _ => Context::Brace(name, operator),
        };
        let raw =
            matches!(operator, Operator::TrimPrefix { .. } | Operator::TrimSuffix { .. } | Operator::Replace { .. });
        self.open(level, context, length, Some(raw))
    }

    /// Returns the name and the operator that open a level at `start`, and how long both are.
    fn opening(&self, start: usize) -> Option<(&'a str, &'a str, usize)> {
        let opening = Grammar::parse(Rule::opening, &self.normalized[start..]).ok()?.next()?;
        let length = opening.as_span().end();
        let (mut name, mut operator) = ("", "");
        for pair in opening.into_inner() {
            let written = &self.text[start + pair.as_span().start()..start + pair.as_span().end()];
            match pair.as_rule() {
                Rule::name => name = written,
                _ => operator = written,
            }
        }
        Some((name, operator, length))
    }

    /// Goes one level down; `raw` is inherited if not given.
    fn open(&mut self, outer: Level, context: Context, length: usize, raw: Option<bool>) -> Result<Level, Fault> {
        let start = self.position;
        let raw = raw.unwrap_or(outer.raw);
        self.levels.push(outer);
        if self.levels.len() > MAX_DEPTH && !matches!(context, Context::Quoted) {
            let message = format!("substitutions are nested deeper than {MAX_DEPTH} levels");
            return Err(self.fault(start..start + length, &message));
        }
        self.position += length;
        Ok(Level { context, start, pieces: Vec::new(), raw })
    }

    /// From the pattern to the replacement.
    fn turn(&mut self, level: Level) -> Level {
        self.position += 1;
        let context = match level.context {
            Context::Pattern(name, operator) => Context::Replacement(name, operator, level.pieces),
            other => other,
        };
        Level { context, start: level.start, pieces: Vec::new(), raw: true }
    }

    /// Goes one level up.
    fn close(&mut self, level: Level) -> Level {
        self.position += 1;
        let range = level.start..self.position;
        let substitution = |name, operator, word, replacement| {
            Piece::Substitution(Box::new(Substitution { name, range: range.clone(), operator, word, replacement }))
        };
        let piece = match level.context {
            Context::Top | Context::Quoted => Piece::Quoted(level.pieces),
            Context::Brace(name, operator) | Context::Pattern(name, operator) => {
                substitution(name, operator, level.pieces, Vec::new())
            }
            Context::Replacement(name, operator, pattern) => substitution(name, operator, pattern, level.pieces),
        };
        let mut outer =
            self.levels.pop().unwrap_or(Level { context: Context::Top, start: 0, pieces: Vec::new(), raw: false });
        outer.pieces.push(piece);
        outer
    }

    fn fault(&self, range: Range<usize>, message: &str) -> Fault {
        let end = crate::source::floor_boundary(self.text, range.end);
        Fault { range: range.start..end.max(range.start), message: message.to_owned() }
    }

    /// The word ends inside of `level`; `quote` is the quote that is missing.
    fn unclosed(&mut self, level: Level, quote: &str) -> Fault {
        let start = if quote == "single-quote" { self.position } else { level.start };
        self.levels.push(level);
        self.innermost_unclosed(start, quote)
    }

    /// The word ends directly after `${` at `start`.
    fn unclosed_at(&mut self, level: Level, start: usize) -> Fault {
        self.levels.push(level);
        match self.outermost_unclosed() {
            Some(fault) => fault,
            None => self.fault(start..self.text.len(), "syntax error: missing '}'"),
        }
    }

    fn innermost_unclosed(&self, start: usize, quote: &str) -> Fault {
        if let Some(fault) = self.outermost_unclosed() {
            return fault;
        }
        let message = format!("unexpected end of statement while looking for matching {quote}");
        self.fault(start..self.text.len(), &message)
    }

    /// Whatever is open inside of a substitution that does not end: the substitution is what is reported.
    fn outermost_unclosed(&self) -> Option<Fault> {
        let (level, message) = self.levels.iter().find_map(|level| match level.context {
            Context::Top | Context::Quoted => None,
            Context::Brace(..) | Context::Replacement(..) => Some((level, "syntax error: missing '}'")),
            Context::Pattern(..) => Some((level, "syntax error: missing '/' in ${}")),
        })?;
        Some(self.fault(level.start..self.text.len(), message))
    }

    /// `${name` is followed by something that is no operator.
    fn unsupported(&mut self, level: Level) -> Fault {
        let start = self.position;
        let rest = &self.normalized[start..];
        let parsed = Grammar::parse(Rule::unsupported, rest).ok().and_then(|mut pairs| pairs.next());
        let Some(parsed) = parsed else { return self.unclosed_at(level, start) };
        let end = start + parsed.as_span().end();
        let modifier = parsed.into_inner().last().map_or(end..end, |pair| {
            let span = pair.as_span();
            start + span.start()..start + span.end()
        });
        if end == self.text.len() {
            self.levels.push(level);
            if let Some(fault) = self.outermost_unclosed() {
                return fault;
            }
        }
        let message = format!("unsupported modifier ({}) in substitution", &self.text[modifier]);
        self.fault(start..end, &message)
    }
}

fn operator_of(text: &str) -> Operator {
    let empty_is_unset = text.starts_with(':');
    match text.strip_prefix(':').unwrap_or(text) {
        "-" => Operator::Default { empty_is_unset },
        "+" => Operator::Alternative { empty_is_unset },
        "?" => Operator::Required { empty_is_unset },
        other if empty_is_unset => Operator::Unsupported(other.chars().next().unwrap_or(':')),
        "#" => Operator::TrimPrefix { longest: false },
        "##" => Operator::TrimPrefix { longest: true },
        "%" => Operator::TrimSuffix { longest: false },
        "%%" => Operator::TrimSuffix { longest: true },
        "//" => Operator::Replace { all: true },
        _ => Operator::Replace { all: false },
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if text.is_empty() {
        return;
    }
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

fn push_kept(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Kept(last)) => last.push_str(text),
        _ => pieces.push(Piece::Kept(text.to_owned())),
    }
}
