//! Physical lines to logical lines: continuations joined, comments and empty lines taken out, heredoc bodies in order.
//!
//! A [`Line`] knows for each of its bytes where it stands in the source, so everything found in it has a span there.

use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::grammar;
use crate::source::{Source, Span, Spanned};
use crate::word::Word;

/// Longest physical line (reference: section 1, 2).
const MAX_LINE: usize = 65_535;

/// A physical line: its bytes in the source without and with its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Physical {
    pub(crate) start: usize,
    /// Before `\r` and `\n`.
    pub(crate) end: usize,
    /// After `\n`.
    pub(crate) next: usize,
    /// Counted from 1.
    pub(crate) number: usize,
}

/// A logical line: an instruction with its arguments.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) source: &'a Source,
    pub(crate) text: Cow<'a, str>,
    /// The same text for the grammar, if it differs: the escape character is `\`, all white space the space.
    normalized: Option<String>,
    /// Where runs of `text` begin in the source: offset in the text, offset in the source; ascending.
    segments: Vec<(usize, usize)>,
    pub(crate) escape: char,
    pub(crate) comments: Vec<Spanned<String>>,
    /// The first empty line inside the continuation.
    pub(crate) empty: Option<Span>,
    /// Of the first physical line.
    pub(crate) number: usize,
}

/// Reads a source line by line.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    source: &'a Source,
    position: usize,
    number: usize,
    pub(crate) escape: char,
    comments: Vec<Spanned<String>>,
    /// A line was too long: nothing after it is read.
    stopped: bool,
}

impl<'a> Lines<'a> {
    /// Starts before the first line, after a byte order mark.
    pub(crate) fn new(source: &'a Source) -> Self {
        let position = if source.text.starts_with('\u{FEFF}') { '\u{FEFF}'.len_utf8() } else { 0 };
        Self { source, position, number: 0, escape: '\\', comments: Vec::new(), stopped: false }
    }

    /// Returns the next physical line without taking it.
    pub(crate) fn peek(&self) -> Option<Physical> {
        let text = &self.source.text[self.position..];
        if text.is_empty() || self.stopped {
            return None;
        }
        let (content, length) = match text.find('\n') {
            Some(at) => (&text[..at], at + 1),
            None => (text, text.len()),
        };
        let end = self.position + content.trim_end_matches(['\r', '\n']).len();
        Some(Physical { start: self.position, end, next: self.position + length, number: self.number + 1 })
    }

    /// Returns the text of a physical line without its end.
    pub(crate) fn text(&self, line: Physical) -> &'a str {
        &self.source.text[line.start..line.end]
    }

    /// Goes past a line that [`peek`](Self::peek) returned.
    pub(crate) fn take(&mut self, line: Physical) {
        self.position = line.next;
        self.number = line.number;
    }

    /// Returns the next physical line, unless it is too long.
    fn physical(&mut self, diagnostics: &mut Diagnostics) -> Option<Physical> {
        let line = self.peek()?;
        let content = &self.source.text[line.start..line.next];
        if content.strip_suffix('\n').unwrap_or(content).len() > MAX_LINE {
            let span = Span::new(self.source.id, line.start, line.end);
            let message = format!("dockerfile line greater than max allowed size of {MAX_LINE}");
            diagnostics.push(Diagnostic::error(span, message));
            self.stopped = true;
            return None;
        }
        self.take(line);
        Some(line)
    }

    /// Returns the next logical line.
    pub(crate) fn logical(&mut self, diagnostics: &mut Diagnostics) -> Option<Line<'a>> {
        loop {
            let first = self.physical(diagnostics)?;
            let text = self.text(first);
            let start = first.end - text.trim_start().len();
            let text = &self.source.text[start..first.end];
            if let Some(comment) = text.strip_prefix('#') {
                self.comment(comment, first);
            } else if !text.is_empty() {
                return Some(self.join(text, start, first, diagnostics));
            }
        }
    }

    /// Remembers a comment line for the instruction below; an empty one separates.
    fn comment(&mut self, text: &str, line: Physical) {
        let value = text.trim();
        if value.is_empty() {
            self.comments.clear();
            return;
        }
        let start = line.end - text.trim_start().len();
        let span = Span::new(self.source.id, start, start + value.len());
        self.comments.push(Spanned { value: value.to_owned(), span });
    }

    fn join(&mut self, first: &'a str, start: usize, line: Physical, diagnostics: &mut Diagnostics) -> Line<'a> {
        let mut joined = Line {
            source: self.source,
            text: Cow::Borrowed(first),
            normalized: None,
            segments: vec![(0, start)],
            escape: self.escape,
            comments: std::mem::take(&mut self.comments),
            empty: None,
            number: line.number,
        };
        let mut rest = continued(first, self.escape);
        if let Some(kept) = rest {
            joined.text = Cow::Borrowed(kept);
        }
        while rest.is_some() {
            let Some(line) = self.physical(diagnostics) else { break };
            let text = self.text(line);
            let trimmed = text.trim_start();
            if trimmed.is_empty() {
                joined.empty.get_or_insert(Span::new(self.source.id, line.start, line.end));
            } else if !trimmed.starts_with('#') {
                rest = continued(text, self.escape);
                joined.push(rest.unwrap_or(text), line.start);
            }
        }
        joined.normalize();
        joined
    }

    /// Reads the body of a heredoc up to the line that is its `name`. Returns the raw lines, or nothing if it does not
    /// end: what follows is then its body, and the source is read to its end.
    pub(crate) fn heredoc(
        &mut self,
        name: &str,
        chomp: bool,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<&'a str>> {
        let start = self.position;
        while let Some(line) = self.physical(diagnostics) {
            let text = self.text(line);
            let text = if chomp { text.trim_start_matches('\t') } else { text };
            if text == name {
                let value = &self.source.text[start..line.start];
                return Some(Spanned { value, span: Span::new(self.source.id, start, line.start) });
            }
        }
        None
    }

    /// Returns the offset just before the end of the line last taken.
    pub(crate) fn end(&self) -> usize {
        self.source.text[..self.position].trim_end_matches(['\r', '\n']).len()
    }
}

/// Returns the line without its continuation character and what follows, if it has one. The character counts unless
/// another one is directly before it.
fn continued(line: &str, escape: char) -> Option<&str> {
    let kept = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!kept.ends_with(escape)).then_some(kept)
}

impl<'a> Line<'a> {
    /// Appends the content of another physical line.
    fn push(&mut self, text: &str, start: usize) {
        self.segments.push((self.text.len(), start));
        self.text.to_mut().push_str(text);
    }

    fn normalize(&mut self) {
        let swapped = grammar::swap_escape(&self.text, self.escape);
        self.normalized = match (grammar::plain_spaces(&swapped), &swapped) {
            (Cow::Owned(text), _) => Some(text),
            (Cow::Borrowed(_), Cow::Owned(text)) => Some(text.clone()),
            (Cow::Borrowed(_), Cow::Borrowed(_)) => None,
        };
    }

    /// Returns the place in the source of a byte of the text.
    fn offset(&self, position: usize) -> usize {
        let index = self.segments.partition_point(|&(at, _)| at <= position).max(1) - 1;
        let (at, source) = self.segments[index];
        source + (position - at)
    }

    /// Returns all of it.
    pub(crate) fn all(&self) -> Fragment<'_> {
        Fragment { line: self, start: 0, end: self.text.len() }
    }
}

/// A part of a logical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) line: &'a Line<'a>,
    start: usize,
    end: usize,
}

impl<'a> Fragment<'a> {
    /// Returns the text as written.
    pub(crate) fn text(self) -> &'a str {
        &self.line.text[self.start..self.end]
    }

    /// Returns the text for the grammar, of the same length.
    pub(crate) fn normalized(self) -> &'a str {
        let text = self.line.normalized.as_deref().unwrap_or(&self.line.text);
        &text[self.start..self.end]
    }

    /// Returns the part `start..end` of this one.
    pub(crate) fn slice(self, range: std::ops::Range<usize>) -> Self {
        Self { line: self.line, start: self.start + range.start, end: self.start + range.end }
    }

    /// Returns the part from `start` on.
    pub(crate) fn from(self, start: usize) -> Self {
        self.slice(start..self.text().len())
    }

    /// Returns the part of the line from its start on.
    pub(crate) fn to_end_of_line(self) -> Self {
        Self { end: self.line.text.len(), ..self }
    }

    /// Returns it without white space at both ends.
    pub(crate) fn trim(self) -> Self {
        let text = self.text();
        let start = text.len() - text.trim_start().len();
        let end = text.trim_end().len().max(start);
        self.slice(start..end)
    }

    /// Returns where it stands: from its first character to its last.
    pub(crate) fn span(self) -> Span {
        let id = self.line.source.id;
        let start = self.line.offset(self.start);
        match self.text().chars().next_back() {
            Some(last) => {
                let width = last.len_utf8();
                Span::new(id, start, self.line.offset(self.end - width) + width)
            }
            None => Span::new(id, start, start),
        }
    }

    /// Returns it as one line for display: where lines were joined, white space becomes one space.
    pub(crate) fn display(self) -> String {
        let mut shown = String::new();
        let mut gap = false;
        let mut rest = self.start;
        let joints = self.line.segments.iter().map(|&(at, _)| at).filter(|&at| at > self.start && at < self.end);
        for end in joints.chain([self.end]) {
            let part = &self.line.text[rest..end];
            let text = part.trim_start();
            gap |= text.len() < part.len();
            if gap && rest > self.start && !text.is_empty() {
                shown.push(' ');
            }
            let kept = text.trim_end();
            shown.push_str(if end == self.end { text } else { kept });
            gap = kept.len() < text.len() || (text.is_empty() && gap);
            rest = end;
        }
        shown
    }

    /// Returns it as a value of its own.
    pub(crate) fn spanned(self) -> Spanned<String> {
        Spanned { value: self.text().to_owned(), span: self.span() }
    }

    /// Returns it as a word that is expanded later.
    pub(crate) fn word(self) -> Word {
        let span = self.span();
        if span.len() == self.text().len() {
            return Word::parse(self.text(), span, self.line.escape);
        }
        Word::joined(self.text(), span, self.line.escape, self.segments())
    }

    /// Returns the offsets in this text at which another physical line begins, with the offsets in the source.
    fn segments(self) -> Box<[(u32, u32)]> {
        let narrow = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        let mut segments = vec![(0, narrow(self.line.offset(self.start)))];
        let inside = self.line.segments.iter().filter(|&&(at, _)| at > self.start && at < self.end);
        segments.extend(inside.map(|&(at, source)| (narrow(at - self.start), narrow(source))));
        segments.into_boxed_slice()
    }
}

#[cfg(test)]
mod tests;
