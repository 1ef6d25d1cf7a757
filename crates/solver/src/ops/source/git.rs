//! Files of a repository: the ref is asked for anew in every build, unless the commit is given; a commit is fetched once.

use plan::GitSource;
use store::Record;

use super::Fetched;
use crate::error::Result;
use crate::git::{fetch_git, known_git, resolve_git};
use crate::key::Key;
use crate::local::LocalWorker;
use crate::ops::inputs::{self, input};
use crate::results::Made;
use crate::solution::Outcome;
use crate::worker::Job;

pub(super) fn execute(worker: &LocalWorker<'_>, job: Job<'_>, source: &GitSource, key: Key) -> Result<Fetched> {
    let (store, servers) = (worker.store(), worker.servers());
    let commit = resolve_git(store, servers, source, Some(job.stop))?;
    let (tree, outcome) = match known_git(store, source, &commit)? {
        Some(tree) => (tree, Outcome::Hit),
        None => (fetch_git(store, servers, source, &commit, job.stop)?, Outcome::Ran),
    };
    let earlier = store.record(&key.record())?;
    let mut inputs = vec![input(inputs::ADDRESS, &source.url), input(inputs::COMMIT, &commit.commit)];
    if let Some(earlier) = earlier {
        if earlier.layer == tree.layer {
            return Ok(Fetched::Same(earlier));
        }
        let before = earlier.inputs.into_iter().find(|input| input.name == inputs::COMMIT);
        inputs.extend(before.map(|before| input(inputs::COMMIT_BEFORE, before.value)));
    }
    let made = Made { layer: tree.layer, content: tree.content, created: tree.created, outcome };
    let record = Record { layer: made.layer.clone(), content: made.content, created: made.created, inputs };
    store.put_record(&key.record(), &record)?;
    Ok(Fetched::Recorded(made))
}
