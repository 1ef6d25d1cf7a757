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
