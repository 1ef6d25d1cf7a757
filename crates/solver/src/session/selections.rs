//! What sources and mounts take, and the hashes of that, remembered where it costs something to find out.

use std::io::Read;
use std::sync::{Arc, PoisonError};

use image::Kind;
use image::layer::{Format, TarReader};
use plan::{ContextName, Copy, Input, Vertex, VertexId};

use super::{Session, input_of, read_fact, write_fact};
use crate::error::Result;
use crate::files::{Files, Nothing};
use crate::key::Hasher;
use crate::results::Results;
use crate::select::{Purpose, Selection, Taken, Wanted};

/// The hash of a selection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Selected {
    pub(super) hash: [u8; 32],
    /// Something in it will be extracted.
    pub(super) archives: bool,
}

impl Session<'_> {
    /// Returns the hash of what an input's pattern takes.
    pub(super) fn selected(
        &self,
        results: &Results<'_>,
        input: &Input,
        wanted: Wanted<'_>,
    ) -> Result<Option<Selected>> {
        match input {
            Input::Context(name) => {
                let key = (name.clone(), asked(wanted));
                let lock = || self.selected.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(selected) = lock().get(&key) {
                    return Ok(Some(*selected));
                }
                let selected = self.context_selected(name, wanted)?;
                lock().insert(key, selected);
                Ok(Some(selected))
            }
            Input::Empty => {
                let selection = wanted.select(&Nothing)?;
                self.hash(&Nothing, &selection, wanted.purpose).map(Some)
            }
            Input::Vertex(id) => self.tree_selected(results, *id, wanted),
        }
    }

    /// Returns the hash of what a pattern takes of a context. It is remembered for a directory of which the stat index knows
    /// everything: then there is nothing to gather and to hash.
    fn context_selected(&self, name: &ContextName, wanted: Wanted<'_>) -> Result<Selected> {
        let context = self.contexts.need(name)?;
        let fact = match wanted.directory(context)? {
            Some(path) => {
                let mut hasher = Hasher::new("context fact");
                wanted.hash(&mut hasher);
                context.hash_known(&path, &mut hasher)?.then(|| hasher.record())
            }
            None => None,
        };
        let known = fact.as_ref().map(|fact| self.store.fact(fact)).transpose()?.flatten();
        if let Some((hash, archives)) = known.as_deref().and_then(read_fact) {
            return Ok(Selected { hash, archives });
        }
        let selection = self.context_selection(name, wanted)?;
        let selected = self.hash(context, &selection, wanted.purpose)?;
        if let Some(fact) = fact {
            self.store.put_fact(&fact, &write_fact(&selected.hash, selected.archives))?;
        }
        Ok(selected)
    }

    fn tree_selected(&self, results: &Results<'_>, id: VertexId, wanted: Wanted<'_>) -> Result<Option<Selected>> {
        let mut hasher = Hasher::new("selection fact");
        hasher.bytes(&results.content(Some(id)).0);
        wanted.hash(&mut hasher);
        let fact = hasher.record();
        if let Some((hash, archives)) = self.store.fact(&fact)?.as_deref().and_then(read_fact) {
            return Ok(Some(Selected { hash, archives }));
        }
        let Some(root) = self.root(results, Some(id))? else { return Ok(None) };
        let selection = wanted.select(root.files())?;
        let selected = self.hash(root.files(), &selection, wanted.purpose)?;
        self.store.put_fact(&fact, &write_fact(&selected.hash, selected.archives))?;
        Ok(Some(selected))
    }

    fn hash(&self, files: &dyn Files, selection: &Selection, purpose: Purpose) -> Result<Selected> {
        let hash = match purpose {
            Purpose::Mount => selection.mounted(),
            Purpose::Copy | Purpose::Add => selection.copied(),
        };
        let mut archives = false;
        if purpose == Purpose::Add {
            for taken in &selection.taken {
                archives |= self.is_archive(files, taken)?;
            }
        }
        Ok(Selected { hash, archives })
    }

    /// Returns what a pattern takes of a context; the same every time.
    pub(crate) fn context_selection(&self, name: &ContextName, wanted: Wanted<'_>) -> Result<Arc<Selection>> {
        let key = (name.clone(), asked(wanted));
        let lock = || self.selections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(selection) = lock().get(&key) {
            return Ok(Arc::clone(selection));
        }
        let selection = Arc::new(wanted.select(self.contexts.need(name)?)?);
        Ok(Arc::clone(lock().entry(key).or_insert(selection)))
    }

    /// Returns what a pattern takes of an input whose bytes are here.
    pub(crate) fn selection(&self, results: &Results<'_>, input: &Input, wanted: Wanted<'_>) -> Result<Arc<Selection>> {
        match input {
            Input::Context(name) => self.context_selection(name, wanted),
            Input::Empty => wanted.select(&Nothing).map(Arc::new),
            Input::Vertex(id) => {
                let root = self.need_root(results, Some(*id))?;
                wanted.select(root.files()).map(Arc::new)
            }
        }
    }

    /// True if one of the sources is an archive.
    pub(crate) fn extracts(&self, results: &Results<'_>, vertex: &Vertex, copy: &Copy) -> Result<bool> {
        for (input, wanted) in copy.sources.iter().filter_map(|source| Wanted::source(copy, source)) {
            if wanted.purpose != Purpose::Add {
                continue;
            }
            let selected = self.selected(results, input_of(vertex, input)?, wanted)?;
            if selected.is_some_and(|selected| selected.archives) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if `ADD` extracts what was taken: a regular file, compressed or not, whose first header is one of a tar
    /// (reference: section 7).
    pub(crate) fn is_archive(&self, files: &dyn Files, taken: &Taken) -> Result<bool> {
        let Kind::File { size, content } = taken.root.kind else { return Ok(false) };
        if size == 0 {
            return Ok(false);
        }
        let mut hasher = Hasher::new("archive fact");
        hasher.bytes(&content.0);
        let fact = hasher.record();
        if let Some([answer]) = self.store.fact(&fact)?.as_deref() {
            return Ok(*answer == 1);
        }
        let answer = looks_like_archive(files.open(&taken.root.path)?);
        self.store.put_fact(&fact, &[u8::from(answer)])?;
        Ok(answer)
    }
}

fn asked(wanted: Wanted<'_>) -> [u8; 32] {
    let mut hasher = Hasher::new("wanted");
    wanted.hash(&mut hasher);
    hasher.finish()
}

fn looks_like_archive(mut file: std::fs::File) -> bool {
    let mut start = Vec::with_capacity(512);
    if (&mut file).take(512).read_to_end(&mut start).is_err() {
        return false;
    }
    // Cheap for what is no archive: a tar has its magic, or at least a whole header, in the first block.
    if Format::sniff(&start) == Format::Plain && start.len() < 512 {
        return false;
    }
    let whole = std::io::Cursor::new(start).chain(file);
    let Ok(data) = image::layer::decompress(whole, image::layer::Expansion::default()) else { return false };
    matches!(TarReader::new(data).next_member(), Ok(Some(_)))
}
