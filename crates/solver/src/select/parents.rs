//! `COPY --parents`: what matches keeps its path below a base, with the directories above it (reference: section 6, 8).

use std::collections::BTreeSet;

use image::{Entry, LayerPath};

use super::filter::Filter;
use super::{Selection, Taken, Wanted, clean, explain, matching, wildcard_at};
use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, is_directory, missing, resolve};

/// Returns what `BASE/./PATTERN` takes: of each base, a directory, what the pattern matches and what is below that.
pub(super) fn select(files: &(impl Files + ?Sized), wanted: &Wanted<'_>, filter: Filter) -> Result<Selection> {
    let (base, pattern) =
        wanted.pattern.split_once("/./").ok_or(SolveErrorKind::Plan("a source of --parents without a pivot"))?;
    let (base, pattern) = (clean(base)?, clean(pattern)?);
    let filter = match pattern.is_root() {
        true => filter,
        false => filter.including(&String::from_utf8_lossy(pattern.as_bytes()), wanted)?,
    };
    let literal = wildcard_at(&base).is_none() && wildcard_at(&pattern).is_none();
    let bases = match wildcard_at(&base) {
        None => vec![base.clone()],
        Some(depth) => matching(files, &base, depth, wanted.span)?,
    };
    let mut selection = Selection::default();
    for base in bases {
        let resolved = resolve(files, &base)?;
        let Some(root) = files.entry(&resolved)?.filter(is_directory) else { continue };
        let below = candidates(files, &resolved, &pattern)?;
        if below.is_empty() && !pattern.is_root() {
            continue;
        }
        let mut taken = Taken { name: base.file_name().into(), root, below, on_the_way: BTreeSet::new() };
        filter.apply(&mut taken);
        selection.taken.push(taken);
    }
    if literal && selection.taken.is_empty() {
        let path = base.join_path(&pattern);
        return Err(explain(files, missing(&path), &path, wanted.span));
    }
    Ok(selection)
}

/// Returns what can match below `base`: with a literal beginning of the pattern, only that is looked into.
fn candidates(files: &(impl Files + ?Sized), base: &LayerPath, pattern: &LayerPath) -> Result<Vec<Entry>> {
    let literal = wildcard_at(pattern).unwrap_or_else(|| pattern.depth());
    let names = pattern.components().take(literal).take_while(|name| !name.contains(&b'\\'));
    let mut at = base.clone();
    let mut found = Vec::new();
    for name in names {
        at = at.join(name);
        let Some(entry) = files.entry(&at)? else { return Ok(Vec::new()) };
        let directory = is_directory(&entry);
        found.push(entry);
        if !directory {
            let whole = at.depth() == base.depth() + pattern.depth();
            return Ok(if whole { found } else { Vec::new() });
        }
    }
    found.extend(files.below(&at)?);
    Ok(found)
}
