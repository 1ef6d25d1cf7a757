//! A build in which nothing has to run.

use std::time::Duration;

use plan::{Plan, VertexId};
use store::Store;

use crate::context::Contexts;
use crate::error::{Result, SolveError, SolveErrorKind};
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

/// Returns the vertices whose results are not known, and those above them: what may have to run.
pub fn pending(plan: &Plan, store: &Store, contexts: &Contexts) -> Result<Vec<VertexId>, SolveError> {
    let session = Session::new(store, contexts);
    let whole = |kind: SolveErrorKind| SolveError { vertex: None, kind };
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
            match session.look_up(&results, id).map_err(SolveError::at(id))? {
                Found::Hit(key, record) => results.finish(id, key, Made::from_record(&record), Duration::ZERO),
                Found::Miss(_) | Found::Lacks => pending[at] = true,
            }
        }
        if pending[at] {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn look_up_all(plan: &Plan, session: &Session<'_>) -> Result<Option<Solution>, SolveError> {
    let whole = |kind: SolveErrorKind| SolveError { vertex: None, kind };
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
