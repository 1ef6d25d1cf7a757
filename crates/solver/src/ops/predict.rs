//! What the parent of a copy will be like where the copy looks: a guess, so that it can be made before the parent is.

use std::collections::BTreeMap;

use image::{Entry, Kind, LayerPath};
use plan::{Chmod, Copy, Op, VertexId};

use crate::error::Result;
use crate::files::{Files, Look};
use crate::layout::{Attributes, Layout};
use crate::local::{LocalWorker, now};
use crate::owner;
use crate::select::Wanted;
use crate::session::{Root, input_of, probe_for, workdir_owner};
use crate::worker::Job;

/// An ancestor that is done, with the directories on it that the ops in between will make. A `RUN` is taken to change
/// nothing. Where that is wrong, the copy is made again.
#[derive(Debug)]
pub(crate) struct Predicted {
    ancestor: Root,
    directories: BTreeMap<LayerPath, Entry>,
}

impl Look for Predicted {
    fn look(&self, path: &LayerPath) -> Result<Option<Entry>> {
        match self.directories.get(path) {
            Some(entry) => Ok(Some(entry.clone())),
            None => Files::look(self.ancestor.files(), path),
        }
    }
}

impl Predicted {
    /// Returns what the parent of the job's vertex will be like.
    pub(crate) fn parent(worker: &LocalWorker<'_>, job: Job<'_>, ancestor: Option<VertexId>) -> Result<Self> {
        let root = worker.session.need_root(job.results, ancestor)?;
        let mut predicted = Self { ancestor: root, directories: BTreeMap::new() };
        let mut between = Vec::new();
        let mut at = job.vertex().parent;
        while let Some(id) = at.filter(|_| at != ancestor) {
            between.push(id);
            at = job.results.vertex(id).parent;
        }
        for id in between.into_iter().rev() {
            match &job.results.vertex(id).op {
                Op::Workdir(workdir) => predicted.make(&workdir.path, Some(workdir_owner(workdir)), None)?,
                Op::Copy(copy) if makes_directory(worker, job, id, copy) => {
                    predicted.make(&copy.destination, copy.chown.as_deref(), copy.chmod.clone())?;
                }
                Op::Base(_) | Op::Source(_) | Op::Run(_) | Op::Copy(_) => {}
            }
        }
        Ok(predicted)
    }

    pub(crate) fn ancestor(&self) -> &dyn Files {
        self.ancestor.files()
    }

    fn make(&mut self, path: &str, owner: Option<&str>, chmod: Option<Chmod>) -> Result<()> {
        let owner = owner.map(|owner| owner::parse(owner, self.ancestor())).transpose()?;
        let probe = probe_for(self, path, owner)?;
        let target = probe.target.clone();
        let mut layout = Layout::new(probe, Attributes { owner, chmod, now: now() });
        // Something in the way: the op itself will say so.
        if layout.make_directories(&target).is_err() {
            return Ok(());
        }
        for (path, planned) in layout.planned {
            let kind = Kind::Directory { opaque: false };
            self.directories.insert(path.clone(), Entry { path, kind, metadata: planned.metadata });
        }
        Ok(())
    }
}

/// True if the destination of a copy is a directory, as far as can be told without waiting for its sources.
fn makes_directory(worker: &LocalWorker<'_>, job: Job<'_>, id: VertexId, copy: &Copy) -> bool {
    if copy.destination.ends_with('/') {
        return true;
    }
    let vertex = job.results.vertex(id);
    copy.sources.iter().any(|source| {
        let Some((input, wanted)) = Wanted::source(copy, source) else { return false };
        let Ok(input) = input_of(vertex, input) else { return false };
        if matches!(input, plan::Input::Vertex(id) if !job.results.is_done(*id)) {
            return false;
        }
        let selection = worker.session.selection(job.results, input, wanted);
        selection.is_ok_and(|selection| selection.taken.iter().any(|taken| taken.is_directory()))
    })
}
