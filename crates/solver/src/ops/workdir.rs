//! `WORKDIR`: makes a directory unless it is there.

use image::Index;
use plan::Workdir;

use crate::error::Result;
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
    let mut layout = layout(Layout::new(probe, attributes))?;
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
fn layout(mut layout: Layout) -> Result<Layout> {
    let target = layout.probe.target.clone();
    let exists = layout.probe.at_target().is_some_and(crate::files::is_directory);
    if !exists {
        layout.make_directories(&target)?;
    }
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SolveErrorKind;
    use crate::testing::Fake;

    fn paths(files: &Fake, at: &str) -> Result<Vec<String>> {
        let layout = layout(Layout::new(probe(files, at, Some("5"))?, Attributes::default()))?;
        Ok(layout.index().iter().map(|entry| entry.path.to_string()).collect())
    }

    #[test]
    fn only_what_is_missing_is_made() {
        let files = Fake::new().directory("srv", 0o755).link("app", "srv").file("file", "");
        assert_eq!(paths(&files, "/srv").unwrap(), [""; 0]);
        assert_eq!(paths(&files, "/app").unwrap(), [""; 0]);
        assert_eq!(paths(&files, "/app/a/b").unwrap(), ["/srv", "/srv/a", "/srv/a/b"]);
        assert!(matches!(paths(&files, "/file"), Err(SolveErrorKind::CopyOntoFile { .. })));
        assert!(matches!(paths(&files, "/file/a"), Err(SolveErrorKind::CopyOntoFile { .. })));
    }
}
