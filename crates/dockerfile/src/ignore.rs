//! `.dockerignore` and `--exclude` patterns (reference: section 10).

/// An ordered list of patterns, some negated.
#[derive(Debug)]
pub struct Ignore {
    // private
}

/// What the patterns said of one directory, to be handed down to what is below it.
#[derive(Clone, Debug)]
pub struct ParentHits(pub(crate) Vec<bool>);

/// A pattern that cannot be used: 1-based line, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct InvalidPattern {
    pub line: usize,
    pub message: String,
}

impl Ignore {
    /// Reads the text of a `.dockerignore` file.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidPattern> {
        let _ = text;
        todo!()
    }

    /// Takes patterns one by one (`--exclude`).
    pub fn from_patterns<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPattern> {
        let _ = patterns.into_iter().next();
        todo!()
    }

    /// True if there are no patterns.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// True if any pattern is negated.
    pub fn has_negation(&self) -> bool {
        todo!()
    }

    /// Returns what holds for the children of the root.
    pub fn root(&self) -> ParentHits {
        todo!()
    }

    /// Decides about `path` (slash-separated, relative), given its parent's hits: whether it is ignored, and the hits
    /// to hand down.
    pub fn matches(&self, path: &str, parent: &ParentHits) -> (bool, ParentHits) {
        let _ = (path, parent);
        todo!()
    }

    /// Decides about `path` with nothing known of its parents.
    pub fn is_ignored(&self, path: &str) -> bool {
        let _ = path;
        todo!()
    }

    /// True if something below the ignored directory `path` could be included again, so it must be walked.
    pub fn may_include_below(&self, path: &str) -> bool {
        let _ = path;
        todo!()
    }
}

/// Go's `filepath.Match` for `COPY` wildcards: no `**`; `*`, `?` and classes never match `/`. An error for a bad pattern.
#[derive(Debug)]
pub struct Wildcard {
    // private
}

impl Wildcard {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Result<Self, InvalidPattern> {
        let _ = pattern;
        todo!()
    }

    /// True if the whole of `path` matches.
    pub fn is_match(&self, path: &[u8]) -> bool {
        let _ = path;
        todo!()
    }
}
