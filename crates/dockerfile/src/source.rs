//! Texts, and places in them.

use std::sync::Arc;

/// Which text a span is in. The main Dockerfile is 0; triggers of base images follow.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceId(pub u32);

/// A range of bytes of one source.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Span {
    pub source: SourceId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// Returns the span of the bytes `start..end` of `source`.
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { source, start: clamp(start), end: clamp(end.max(start)) }
    }

    /// Returns the span from the start of `self` to the end of `other`.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { end: self.end.max(other.end), ..self }
    }

    /// Returns the number of bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// True if it covers no byte: a place between two.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Returns the bytes as a range.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

/// A text with the name people know it by: `Dockerfile`, `ONBUILD trigger 2 of debian:12`.
#[derive(Clone, Debug)]
pub struct Source {
    pub id: SourceId,
    pub name: String,
    pub text: Arc<str>,
}

impl Source {
    /// Returns the text of `span`, empty if it is not of this source.
    pub fn slice(&self, span: Span) -> &str {
        if span.source == self.id { self.text.get(span.range()).unwrap_or("") } else { "" }
    }

    /// Returns the line and column of a byte, both counted from 1; the column counts characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let offset = floor_boundary(&self.text, offset);
        let before = &self.text[..offset];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        (line, before[start..].chars().count() + 1)
    }
}

/// All texts of one build.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text and gives it the next id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> Source {
        let id = SourceId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(Source { id, name: name.into(), text: text.into() });
        self.0[self.0.len() - 1].clone()
    }

    /// Returns the text a span is in.
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.0.get(id.0 as usize)
    }

    /// Returns the name of the source of `span` and the line and column it starts at, counted from 1.
    pub fn line_column(&self, span: Span) -> Option<(&str, usize, usize)> {
        let source = self.get(span.source)?;
        let (line, column) = source.line_column(span.start as usize);
        Some((&source.name, line, column))
    }
}

/// Returns the nearest offset at or before `offset` that does not cut a character.
pub(crate) fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let mut sources = Sources::default();
        let source = sources.add("Dockerfile", "FROM a\nRUN é x\n");
        let at = source.text.find('x').unwrap();
        assert_eq!(sources.line_column(Span::new(source.id, at, at + 1)), Some(("Dockerfile", 2, 7)));
        assert_eq!(source.line_column(at - 2), (2, 5), "inside a character counts as its start");
        assert_eq!(source.line_column(9999), (3, 1));
    }

    #[test]
    fn a_span_of_another_source_has_no_text() {
        let mut sources = Sources::default();
        let first = sources.add("a", "text");
        assert_eq!(first.slice(Span::new(SourceId(1), 0, 2)), "");
        assert_eq!(first.slice(Span::new(SourceId(0), 0, 2)), "te");
        assert_eq!(sources.line_column(Span::new(SourceId(7), 0, 0)), None);
    }
}
