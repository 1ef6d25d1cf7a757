//! `--exclude` and the patterns of `--parents`: what is left of what is below a directory (reference: section 6, 7 and 8).

use std::collections::{BTreeSet, HashMap, HashSet};

use dockerfile::ignore::{Ignore, InvalidPattern, ParentHits};
use image::{Entry, Kind, LayerPath};

use super::{Taken, Wanted};
use crate::error::{Result, SolveErrorKind};
use crate::files::is_directory;

/// What is kept: what is included, or all, without what is excluded.
#[derive(Debug)]
pub(super) struct Filter {
    include: Option<Ignore>,
    exclude: Ignore,
}

/// A directory on the way to what is looked at.
struct Above {
    entry: Entry,
    kept: bool,
    include: Option<ParentHits>,
    exclude: ParentHits,
}

impl Filter {
    /// Returns the filter of `--exclude`.
    pub(super) fn exclude(wanted: &Wanted<'_>) -> Result<Self> {
        let exclude = Ignore::from_patterns(wanted.exclude.iter().map(String::as_str));
        Ok(Self { include: None, exclude: exclude.map_err(|error| invalid(wanted, error))? })
    }

    /// Keeps only what `pattern` matches, and what is below that.
    pub(super) fn including(self, pattern: &str, wanted: &Wanted<'_>) -> Result<Self> {
        let include = Ignore::from_patterns([pattern]).map_err(|error| invalid(wanted, error))?;
        Ok(Self { include: Some(include), ..self })
    }

    /// Leaves of what is below a directory what is kept, and the directories above that.
    pub(super) fn apply(&self, taken: &mut Taken) {
        if !taken.is_directory() {
            return;
        }
        let all = std::mem::take(&mut taken.below);
        let (kept, on_the_way) = self.keep(&all, taken);
        taken.below = mend_links(&all, kept);
        taken.on_the_way = on_the_way;
    }

    fn keep(&self, all: &[Entry], taken: &Taken) -> (Vec<Entry>, BTreeSet<LayerPath>) {
        let mut above: Vec<Above> = Vec::new();
        let (mut kept, mut on_the_way) = (Vec::new(), BTreeSet::new());
        for entry in all {
            while above.last().is_some_and(|above| !entry.path.starts_with(&above.entry.path)) {
                above.pop();
            }
            let path = String::from_utf8_lossy(taken.relative(entry));
            let (include, exclude) = match above.last() {
                Some(above) => (above.include.clone(), above.exclude.clone()),
                None => (self.include.as_ref().map(Ignore::root), self.exclude.root()),
            };
            let included = self.include.as_ref().zip(include).map(|(patterns, hits)| patterns.matches(&path, &hits));
            let (excluded, exclude) = self.exclude.matches(&path, &exclude);
            let keep = !excluded && included.as_ref().is_none_or(|(matches, _)| *matches);
            if keep {
                for directory in above.iter_mut().filter(|directory| !directory.kept) {
                    directory.kept = true;
                    kept.push(directory.entry.clone());
                    on_the_way.insert(directory.entry.path.clone());
                }
                kept.push(entry.clone());
            }
            if is_directory(entry) {
                let include = included.map(|(_, hits)| hits);
                above.push(Above { entry: entry.clone(), kept: keep, include, exclude });
            }
        }
        (kept, on_the_way)
    }
}

/// Makes files of the hard links whose first name is not kept.
fn mend_links(all: &[Entry], mut kept: Vec<Entry>) -> Vec<Entry> {
    if !kept.iter().any(|entry| matches!(entry.kind, Kind::Hardlink { .. })) {
        return kept;
    }
    let names: HashSet<LayerPath> = kept.iter().map(|entry| entry.path.clone()).collect();
    let files: HashMap<&LayerPath, &Kind> = all
        .iter()
        .filter(|entry| matches!(entry.kind, Kind::File { .. }))
        .map(|entry| (&entry.path, &entry.kind))
        .collect();
    let mut renamed: HashMap<LayerPath, LayerPath> = HashMap::new();
    for entry in &mut kept {
        let Kind::Hardlink { target } = &entry.kind else { continue };
        if names.contains(target) {
            continue;
        }
        match (renamed.get(target), files.get(target)) {
            (Some(first), _) => entry.kind = Kind::Hardlink { target: first.clone() },
            (None, Some(file)) => {
                renamed.insert(target.clone(), entry.path.clone());
                entry.kind = (*file).clone();
            }
            (None, None) => {}
        }
    }
    kept
}

fn invalid(wanted: &Wanted<'_>, error: InvalidPattern) -> SolveErrorKind {
    SolveErrorKind::Wildcard { pattern: wanted.pattern.to_owned(), message: error.message, span: wanted.span }
}
