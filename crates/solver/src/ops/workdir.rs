//! `WORKDIR`: makes a directory unless it is there.

use image::{Index, Kind};
use plan::Workdir;

use crate::error::{Result, SolveErrorKind};
use crate::files::is_directory;
use crate::key::Key;
use crate::layout::{Attributes, Layout};
use crate::local::{LocalWorker, OpResult, now};
use crate::ops::inputs;
use crate::session::{probe, workdir_owner};
use crate::worker::Job;
use crate::write::Writer;

pub(crate) fn execute(worker: &LocalWorker<'_>, job: Job<'_>, workdir: &Workdir, key: Key) -> Result<OpResult> {
    let parent = worker.session.need_root(job.results, job.vertex().parent)?;
    let probe = probe(parent.files(), &workdir.path, Some(workdir_owner(workdir)))?;
    let attributes = Attributes { owner: probe.owner, chmod: None, now: now() };
    let inputs = inputs::workdir(workdir, probe.hash());
    let mut layout = layout(Layout::new(probe, attributes), &workdir.path)?;
    let draft = worker.store().new_layer()?;
    let tree = draft.tree().to_owned();
    let writer = Writer {
        tree: &tree,
        sources: &[],
        inline: &[],
        spool: None,
        earlier: None,
        disk: worker.disk,
        cancel: job.stop,
    };
    writer.write(&mut layout)?;
    let index = Index::new(layout.index());
    Ok(OpResult { key, op: job.vertex().digest, draft, index, faithful: true, inputs })
}

/// Plans the directory, nothing if it exists.
fn layout(mut layout: Layout, path: &str) -> Result<Layout> {
    if let Some(entry) = layout.probe.found.iter().find(|entry| !is_directory(entry)) {
        let (target, what) = (entry.path.to_string(), name(&entry.kind));
        return Err(SolveErrorKind::WorkdirOntoFile { path: path.to_owned(), target, what });
    }
    let target = layout.probe.target.clone();
    if layout.probe.at_target().is_none() {
        layout.make_directories(&target)?;
    }
    Ok(layout)
}

/// Returns a word for what is no directory.
fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } => "a device",
        Kind::Fifo => "a pipe",
        _ => "a file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    fn paths(files: &Fake, at: &str) -> Result<Vec<String>> {
        let layout = layout(Layout::new(probe(files, at, Some("5"))?, Attributes::default()), at)?;
        Ok(layout.index().iter().map(|entry| entry.path.to_string()).collect())
    }

    #[test]
    fn only_what_is_missing_is_made() {
        let files = Fake::new().directory("srv", 0o755).link("app", "srv").file("file", "");
        assert_eq!(paths(&files, "/srv").unwrap(), [""; 0]);
        assert_eq!(paths(&files, "/app").unwrap(), [""; 0]);
        assert_eq!(paths(&files, "/app/a/b").unwrap(), ["/srv", "/srv/a", "/srv/a/b"]);
        for at in ["/file", "/file/a"] {
            let error = paths(&files, at).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot make the directory {at}: /file is a file"));
        }
    }
}
