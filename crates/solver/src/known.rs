//! A build in which nothing has to run.

use std::time::Duration;

use plan::{Plan, VertexId};
use store::{RecordInput, Store};

use crate::context::Contexts;
use crate::error::{Result, SolveError, SolveErrorKind};
use crate::key::Key;
use crate::results::{Made, Results};
use crate::session::{Found, Session};
use crate::solution::Solution;

/// Returns the solution of a plan if it is known: nothing runs and nothing is fetched. `None` if something must run. No
/// thread is left behind, so that the caller may enter a user namespace afterwards.
pub fn known(plan: &Plan, store: &Store, contexts: &Contexts) -> Result<Option<Solution>, SolveError> {
    let session = Session::new(store, contexts);
    let solution = look_up_all(plan, &session);
    // What was read is worth keeping whether all hit or not.
    contexts.save();
    solution
}

/// A vertex whose result is not known, though all it reads is.
#[derive(Clone, Debug)]
pub struct Missing {
    pub vertex: VertexId,
    /// Its key and the named parts of that; `None` if only the bytes of a base image can tell.
    pub wanted: Option<(Key, Vec<RecordInput>)>,
}

/// Returns the vertices that would run first, with what they would be known by.
pub fn missing(plan: &Plan, store: &Store, contexts: &Contexts) -> Result<Vec<Missing>, SolveError> {
    let session = Session::new(store, contexts);
    let mut missing = Vec::new();
    look_up_each(plan, &session, |results, vertex, key| {
        let inputs = session.inputs(results, results.vertex(vertex))?;
        missing.push(Missing { vertex, wanted: key.zip(inputs) });
        Ok(())
    })?;
    contexts.save();
    Ok(missing)
}

/// Returns the vertices whose results are not known, and those above them: what may have to run.
pub fn pending(plan: &Plan, store: &Store, contexts: &Contexts) -> Result<Vec<VertexId>, SolveError> {
    look_up_each(plan, &Session::new(store, contexts), |_, _, _| Ok(()))
}

/// Looks all up whose inputs are known, and returns the rest; `miss` hears of those that were looked up in vain.
fn look_up_each(
    plan: &Plan,
    session: &Session<'_>,
    mut miss: impl FnMut(&Results<'_>, VertexId, Option<Key>) -> Result<()>,
) -> Result<Vec<VertexId>, SolveError> {
    let whole = SolveError::whole;
    let results = Results::new(plan).map_err(whole)?;
    let mut pending = vec![false; plan.vertices.len()];
    let mut ids = Vec::new();
    for (at, vertex) in plan.vertices.iter().enumerate() {
        let id = VertexId(u32::try_from(at).map_err(|_| whole(SolveErrorKind::Plan("too many vertices")))?);
        if results.base(id).is_some() {
            continue;
        }
        let mut read = vertex.parent.into_iter().chain(vertex.inputs.iter().filter_map(plan::Input::vertex));
        pending[at] = read.any(|input| pending[input.index()]);
        if !pending[at] {
            let key = match session.look_up(&results, id).map_err(SolveError::at(id))? {
                Found::Hit(key, record) => {
                    results.finish(id, key, Made::from_record(&record), Duration::ZERO);
                    continue;
                }
                Found::Miss(key) => Some(key),
                Found::Lacks => None,
            };
            pending[at] = true;
            miss(&results, id, key).map_err(SolveError::at(id))?;
        }
        ids.push(id);
    }
    Ok(ids)
}

fn look_up_all(plan: &Plan, session: &Session<'_>) -> Result<Option<Solution>, SolveError> {
    let whole = SolveError::whole;
    let results = Results::new(plan).map_err(whole)?;
    for at in 0..plan.vertices.len() {
        let id = VertexId(u32::try_from(at).map_err(|_| whole(SolveErrorKind::Plan("too many vertices")))?);
        if results.base(id).is_some() {
            continue;
        }
        match session.look_up(&results, id).map_err(SolveError::at(id))? {
            Found::Hit(key, record) => results.finish(id, key, Made::from_record(&record), Duration::ZERO),
            Found::Miss(_) | Found::Lacks => return Ok(None),
        }
    }
    results.solution().map(Some).map_err(whole)
}
