//! What a source of a copy or a mount takes of its tree, and the hash of that (reference: section 6, 2 and 3).

use std::collections::BTreeSet;

use dockerfile::Span;
use dockerfile::ignore::Wildcard;
use image::{Entry, Kind, LayerPath};
use plan::{Copy, CopySource};

use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, is_directory, missing, resolve};
use crate::key::Hasher;
use crate::similar;

mod filter;
mod parents;

use filter::Filter;

/// What a selection is for: it decides what is hashed of it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Purpose {
    Copy,
    /// `ADD`: it also matters whether a file is an archive.
    Add,
    Mount,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Add => "add",
            Self::Mount => "mount",
        }
    }
}

/// What a source of a copy or a mount asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) pattern: &'a str,
    pub(crate) purpose: Purpose,
    /// Of what is below the directories that are taken, this is left out.
    pub(crate) exclude: &'a [String],
    /// The pattern is `BASE/./PATTERN` (`COPY --parents`).
    pub(crate) parents: bool,
    pub(crate) span: Span,
}

impl<'a> Wanted<'a> {
    /// Returns what a bind mount of `path` shows.
    pub(crate) fn mount(path: &'a str) -> Self {
        Self { pattern: path, purpose: Purpose::Mount, exclude: &[], parents: false, span: Span::default() }
    }

    /// Returns what a source of `copy` asks for, and of which input; `None` if it stands in the Dockerfile itself.
    pub(crate) fn source(copy: &'a Copy, source: &'a CopySource) -> Option<(usize, Self)> {
        let CopySource::Path { input, pattern, span, as_is, .. } = source else { return None };
        let purpose = if copy.unpack && !as_is { Purpose::Add } else { Purpose::Copy };
        let (exclude, parents, span) = (&copy.exclude, copy.parents, *span);
        Some((*input, Self { pattern, purpose, exclude, parents, span }))
    }

    /// Adds all that decides the selection, but not the tree.
    pub(crate) fn hash(&self, hasher: &mut Hasher) {
        hasher.text(self.purpose.name());
        hasher.text(self.pattern);
        if !self.exclude.is_empty() || self.parents {
            hasher.byte(self.parents.into());
            hasher.number(self.exclude.len() as u64);
            self.exclude.iter().for_each(|pattern| hasher.text(pattern));
        }
    }

    /// Returns where a plain path leads; `None` for anything else, and for a mount, which shows the directory itself too.
    pub(crate) fn directory(&self, files: &(impl Files + ?Sized)) -> Result<Option<LayerPath>> {
        let path = clean(self.pattern)?;
        if self.purpose == Purpose::Mount || self.parents || wildcard_at(&path).is_some() {
            return Ok(None);
        }
        resolve(files, &path).map(Some)
    }

    /// Returns what is taken of `files`.
    pub(crate) fn select(&self, files: &(impl Files + ?Sized)) -> Result<Selection> {
        if self.purpose == Purpose::Mount {
            return select_path(files, self.pattern);
        }
        let filter = Filter::exclude(self)?;
        if self.parents {
            return parents::select(files, self, filter);
        }
        let mut selection = select(files, self.pattern, self.span)?;
        if !self.exclude.is_empty() {
            selection.taken.iter_mut().for_each(|taken| filter.apply(taken));
        }
        Ok(selection)
    }
}

/// Everything one source pattern takes, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) taken: Vec<Taken>,
}

/// One path that a pattern takes.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// The last component as the source names it, not as the target of a link is named.
    pub(crate) name: Box<[u8]>,
    /// With the path it has in its tree.
    pub(crate) root: Entry,
    /// What is below it, when it is a directory; with full paths, sorted.
    pub(crate) below: Vec<Entry>,
    /// The directories of these that are taken only because something below them is.
    pub(crate) on_the_way: BTreeSet<LayerPath>,
}

impl Taken {
    pub(crate) fn is_directory(&self) -> bool {
        is_directory(&self.root)
    }

    /// Returns the path of an entry below, from the root of what is taken.
    pub(crate) fn relative<'a>(&self, entry: &'a Entry) -> &'a [u8] {
        let cut = self.root.path.as_bytes().len();
        let rest = entry.path.as_bytes().get(cut..).unwrap_or_default();
        rest.strip_prefix(b"/").unwrap_or(rest)
    }
}

impl Selection {
    /// Returns what `COPY` and `ADD` read: of a directory what is below it, of anything else itself and its name.
    pub(crate) fn copied(&self) -> [u8; 32] {
        let mut hasher = Hasher::new("copied");
        for taken in &self.taken {
            if taken.is_directory() {
                hasher.byte(1);
            } else {
                hasher.byte(0);
                hasher.bytes(&taken.name);
                hash_entry(&mut hasher, b"", taken, &taken.root);
            }
            hash_below(&mut hasher, taken);
        }
        hasher.finish()
    }

    /// Returns what is visible when it is mounted: the directory itself too, and no name.
    pub(crate) fn mounted(&self) -> [u8; 32] {
        let mut hasher = Hasher::new("mounted");
        for taken in &self.taken {
            hash_entry(&mut hasher, b"", taken, &taken.root);
            hash_below(&mut hasher, taken);
        }
        hasher.finish()
    }
}

fn hash_below(hasher: &mut Hasher, taken: &Taken) {
    hasher.number(taken.below.len() as u64);
    for entry in &taken.below {
        hash_entry(hasher, taken.relative(entry), taken, entry);
    }
}

/// Kind, mode, owner, size, link target, device numbers, xattrs and data: all but times and the path above.
fn hash_entry(hasher: &mut Hasher, path: &[u8], taken: &Taken, entry: &Entry) {
    hasher.bytes(path);
    match &entry.kind {
        Kind::Directory { .. } => hasher.byte(0),
        Kind::File { size, content } => {
            hasher.byte(1);
            hasher.number(*size);
            hasher.bytes(&content.0);
        }
        Kind::Hardlink { target } => {
            hasher.byte(2);
            let relative = target.strip_prefix(&taken.root.path);
            hasher.bytes(relative.as_ref().unwrap_or(target).as_bytes());
        }
        Kind::Symlink { target } => {
            hasher.byte(3);
            hasher.bytes(target);
        }
        Kind::CharDevice { major, minor } => hash_device(hasher, 4, *major, *minor),
        Kind::BlockDevice { major, minor } => hash_device(hasher, 5, *major, *minor),
        Kind::Fifo => hasher.byte(6),
        Kind::Whiteout => hasher.byte(7),
    }
    let metadata = &entry.metadata;
    hasher.number(metadata.mode.into());
    hasher.number(metadata.uid.into());
    hasher.number(metadata.gid.into());
    hasher.number(metadata.xattrs.len() as u64);
    for (name, value) in &metadata.xattrs {
        hasher.bytes(name);
        hasher.bytes(value);
    }
}

fn hash_device(hasher: &mut Hasher, tag: u8, major: u32, minor: u32) {
    hasher.byte(tag);
    hasher.number(major.into());
    hasher.number(minor.into());
}

/// Returns what `pattern`, a path or a wildcard, takes of `files`. A wildcard may take nothing, a path must exist.
pub(crate) fn select(files: &(impl Files + ?Sized), pattern: &str, span: Span) -> Result<Selection> {
    let path = clean(pattern)?;
    let paths = match wildcard_at(&path) {
        None => vec![path],
        Some(depth) => matching(files, &path, depth, span)?,
    };
    let taken = paths.iter().map(|path| take(files, path).map_err(|e| explain(files, e, path, span)));
    Ok(Selection { taken: taken.collect::<Result<_>>()? })
}

/// Returns what a bind mount of `path` shows.
pub(crate) fn select_path(files: &(impl Files + ?Sized), path: &str) -> Result<Selection> {
    let path = clean(path)?;
    let taken = take(files, &path).map_err(|e| explain_without_span(files, e, &path))?;
    Ok(Selection { taken: vec![taken] })
}

fn clean(pattern: &str) -> Result<LayerPath> {
    LayerPath::clamped(pattern.as_bytes()).ok_or_else(|| SolveErrorKind::InvalidPath { path: pattern.to_owned() })
}

fn explain(files: &(impl Files + ?Sized), error: SolveErrorKind, wanted: &LayerPath, span: Span) -> SolveErrorKind {
    match explain_without_span(files, error, wanted) {
        SolveErrorKind::CopyMissing { path, similar, ignored, .. } => {
            SolveErrorKind::CopyMissing { path, similar, ignored, span: Some(span) }
        }
        other => other,
    }
}

fn explain_without_span(files: &(impl Files + ?Sized), error: SolveErrorKind, wanted: &LayerPath) -> SolveErrorKind {
    match error {
        SolveErrorKind::CopyMissing { .. } => {
            let ignored = files.hides(wanted);
            let similar = if ignored { None } else { similar::path(files, wanted) };
            SolveErrorKind::CopyMissing { path: wanted.to_string(), similar, ignored, span: None }
        }
        other => other,
    }
}

fn take(files: &(impl Files + ?Sized), path: &LayerPath) -> Result<Taken> {
    let resolved = resolve(files, path)?;
    let Some(root) = files.entry(&resolved)? else { return Err(missing(path)) };
    let below = if is_directory(&root) { files.below(&resolved)? } else { Vec::new() };
    Ok(Taken { name: path.file_name().into(), root, below, on_the_way: BTreeSet::new() })
}

/// Returns the number of components before the first with a wildcard character; a backslash takes the meaning from the
/// character after it.
fn wildcard_at(path: &LayerPath) -> Option<usize> {
    path.components().position(|part| {
        let mut escaped = false;
        part.iter().any(|&b| {
            let special = !escaped && matches!(b, b'*' | b'?' | b'[');
            escaped = !escaped && b == b'\\';
            special
        })
    })
}

/// Walks below the literal part of a wildcard in the order of names. A directory that matches is not looked into.
fn matching(files: &(impl Files + ?Sized), pattern: &LayerPath, literal: usize, span: Span) -> Result<Vec<LayerPath>> {
    let parts: Vec<&[u8]> = pattern.components().collect();
    let rest = parts[literal..].join(&b'/');
    let wildcard = compile(&rest, pattern, span)?;
    let depth = parts.len() - literal;
    let prefix = LayerPath::clamped(&parts[..literal].join(&b'/')).unwrap_or_default();
    let prefix = resolve(files, &prefix)?;
    let mut found = Vec::new();
    let mut pending = vec![(prefix.clone(), 0)];
    while let Some((path, level)) = pending.pop() {
        if level > 0 && wildcard.is_match(relative(&path, &prefix)) {
            found.push(path);
        } else if level < depth && Files::look(files, &path)?.is_some_and(|entry| is_directory(&entry)) {
            let children = files.children(&path)?;
            pending.extend(children.into_iter().rev().map(|child| (child.path, level + 1)));
        }
    }
    Ok(found)
}

fn compile(rest: &[u8], pattern: &LayerPath, span: Span) -> Result<Wildcard> {
    let text = String::from_utf8_lossy(rest);
    Wildcard::new(&text).map_err(|error| SolveErrorKind::Wildcard {
        pattern: pattern.to_string(),
        message: error.message,
        span,
    })
}

fn relative<'a>(path: &'a LayerPath, prefix: &LayerPath) -> &'a [u8] {
    let rest = path.as_bytes().get(prefix.as_bytes().len()..).unwrap_or_default();
    rest.strip_prefix(b"/").unwrap_or(rest)
}

#[cfg(test)]
mod tests;
