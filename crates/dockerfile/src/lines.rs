//! Physical lines to logical lines: continuations joined, comments and empty lines taken out, heredoc bodies in order.
//!
//! A [`Line`] knows for each of its bytes where it stands in the source, so everything found in it has a span there.

mod fragment;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{Source, Span, Spanned};

pub(crate) use fragment::{Fragment, Line};

/// Longest physical line (reference: section 1, 2).
const MAX_LINE: usize = 65_535;

/// Longest instruction, its lines joined.
const MAX_JOINED: usize = 1 << 20;

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

/// Reads a source line by line.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    source: &'a Source,
    position: usize,
    number: usize,
    pub(crate) escape: char,
    comments: Vec<Spanned<String>>,
    /// Something was too long: nothing after it is read.
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
            self.stop(span, message, diagnostics);
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
        let mut rest = continued(first, self.escape);
        let comments = std::mem::take(&mut self.comments);
        let mut joined = Line::new(self.source, rest.unwrap_or(first), start, self.escape, comments, line.number);
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
            if joined.text.len() > MAX_JOINED {
                let message = format!("the instruction is longer than {} MiB", MAX_JOINED >> 20);
                self.stop(Span::new(self.source.id, start, line.end), message, diagnostics);
            }
        }
        joined.normalize();
        joined
    }

    /// Reports what makes the rest unreadable.
    fn stop(&mut self, span: Span, message: String, diagnostics: &mut Diagnostics) {
        diagnostics.push(Diagnostic::error(span, message));
        self.stopped = true;
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

#[cfg(test)]
mod tests;
