//! What `ADD` fetches from elsewhere (reference: section 7): a vertex of its own, of which the `ADD` then is a copy.

use dockerfile::Span;
use image::Digest;

use super::scope::Scope;
use crate::VertexId;
use crate::git::GitSource;
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

/// Makes the vertex of files of a repository. `keep`: the flag `--keep-git-dir`, and where it stands.
pub(super) fn git(
    scope: &mut Scope<'_, '_>,
    text: &str,
    span: Span,
    checksum: Option<(&str, Span)>,
    keep: Option<(bool, Span)>,
) -> Option<Fetched> {
    let mut source = match GitSource::parse(text)? {
        Ok(source) => source,
        Err(error) => {
            scope.error(span, error.to_string());
            return None;
        }
    };
    if let Some((text, span)) = checksum {
        source.expect(text).map_err(|error| scope.error(span, error.to_string())).ok()?;
    }
    if let Some((keep, span)) = keep {
        if source.keep_git_dir.is_some_and(|known| known != keep) {
            scope.error(span, "inconsistent keep-git-dir configuration");
            return None;
        }
        source.keep_git_dir = Some(keep);
    }
    let name = redact(text).into_owned();
    let vertex = scope.source(Source::Git(source), span, name)?;
    Some(Fetched { vertex, pattern: "/".to_owned() })
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
