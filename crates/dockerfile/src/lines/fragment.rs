//! Logical lines and parts of them, each byte of which knows its place in the source.

use std::borrow::Cow;

use crate::grammar;
use crate::source::{Source, Span, Spanned};
use crate::word::Word;

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

impl<'a> Line<'a> {
    /// Returns the line that begins with `text` at the offset `start` of `source`.
    pub(super) fn new(
        source: &'a Source,
        text: &'a str,
        start: usize,
        escape: char,
        comments: Vec<Spanned<String>>,
        number: usize,
    ) -> Self {
        let (text, segments) = (Cow::Borrowed(text), vec![(0, start)]);
        Self { source, text, normalized: None, segments, escape, comments, empty: None, number }
    }

    /// Appends the content of another physical line.
    pub(super) fn push(&mut self, text: &str, start: usize) {
        self.segments.push((self.text.len(), start));
        self.text.to_mut().push_str(text);
    }

    /// Makes the text for the grammar, when the line is complete.
    pub(super) fn normalize(&mut self) {
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

    /// Returns the segments that begin within a part of the text, but not those at its start.
    fn joints(&self, start: usize, end: usize) -> &[(usize, usize)] {
        let first = self.segments.partition_point(|&(at, _)| at <= start);
        let last = self.segments.partition_point(|&(at, _)| at < end).max(first);
        &self.segments[first..last]
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
        let mut shown = String::with_capacity(self.end - self.start);
        let mut gap = false;
        let mut rest = self.start;
        let joints = self.line.joints(self.start, self.end).iter().map(|&(at, _)| at);
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
        let joints = self.line.joints(self.start, self.end).iter();
        segments.extend(joints.map(|&(at, source)| (narrow(at - self.start), narrow(source))));
        segments.into_boxed_slice()
    }
}
