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
}
