//! What `ADD` fetches from elsewhere (reference: section 7): a vertex of its own, of which the `ADD` then is a copy.

use dockerfile::Span;
use image::Digest;

use super::scope::Scope;
use crate::VertexId;
use crate::op::{CopySource, HttpSource, Source};
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
        CopySource::Path { input, pattern: self.pattern.clone(), span, as_is }
    }
}

/// Makes the vertex of a file behind an address. `checksum`: what is written, and where.
pub(super) fn http(
    scope: &mut Scope<'_, '_>,
    text: &str,
    span: Span,
    checksum: Option<(&str, Span)>,
) -> Option<Fetched> {
    let Some(mut source) = HttpSource::parse(text) else {
        scope.error(span, format!("invalid URL `{}`: expected a host after `://`", redact(text)));
        return None;
    };
    if let Some((text, span)) = checksum {
        let parsed = text.parse::<Digest>();
        source.checksum = Some(parsed.map_err(|error| scope.error(span, invalid(text, &error.to_string()))).ok()?);
    }
    let pattern = format!("/{}", literal(&source.name));
    let name = redact(text).into_owned();
    let vertex = scope.source(Source::Http(source), span, name)?;
    Some(Fetched { vertex, pattern })
}

fn invalid(text: &str, reason: &str) -> String {
    match text.split_once(':') {
        Some((algorithm @ ("sha384" | "sha512"), _)) => {
            format!("checksums of the kind {algorithm} are not supported: expected `sha256:`")
        }
        _ => reason.replacen("digest", "checksum", 1),
    }
}

/// Returns a pattern that matches a name and nothing else.
fn literal(name: &str) -> String {
    let special = |c| matches!(c, '*' | '?' | '[' | '\\');
    name.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}
