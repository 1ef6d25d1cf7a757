//! What `ADD` fetches from elsewhere (reference: section 7): a vertex of its own, of which the `ADD` then is a copy.

use dockerfile::Span;

use super::scope::Scope;
use crate::VertexId;
use crate::op::{CopySource, Source};
use crate::remote::redact;

/// Something fetched, and what is copied of it.
pub(super) struct Fetched {
    pub(super) vertex: VertexId,
    /// A pattern that takes it from its layer.
    pattern: String,
}

impl Fetched {
    /// Returns it as the source of a copy that has it as the input at that position.
    pub(super) fn source(&self, input: usize, span: Span, as_is: bool) -> CopySource {
        CopySource::Path { input, pattern: self.pattern.clone(), span, as_is, clamped: false }
    }
}

/// Makes the vertex that fetches a source, whose address is written there.
pub(super) fn fetch(scope: &mut Scope<'_, '_>, source: Source, (text, span): (&str, Span)) -> Option<Fetched> {
    let pattern = match &source {
        Source::Http(http) => format!("/{}", literal(&http.name)),
        Source::Git(_) => "/".to_owned(),
    };
    let vertex = scope.source(source, span, redact(text).into_owned())?;
    Some(Fetched { vertex, pattern })
}

/// Returns a pattern that matches a name and nothing else.
fn literal(name: &str) -> String {
    let special = |c| matches!(c, '*' | '?' | '[' | '\\');
    name.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}
