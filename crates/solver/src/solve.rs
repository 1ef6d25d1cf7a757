//! Solving a plan: threads that take actions from the schedule and answer it.
//!
//! Whoever has done an action goes on with the first one that its answer gives rise to, and leaves the others to new threads: a chain of
//! steps stays on one thread, and waking another costs more than many an action.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use plan::{Op, Plan, Vertex, VertexId};

use crate::cancel::Cancel;
use crate::error::{Result, SolveError, SolveErrorKind};
use crate::event::Event;
use crate::key::Key;
use crate::results::{Made, Results};
use crate::schedule::{Action, Kind, Limits, Reply, Schedule, Shape};
use crate::session::Found;
use crate::solution::{Outcome, Reached, Solution, Unfinished};
use crate::worker::{Events, Job, Worker};

/// Commands at once. They are processes of their own, and the machine knows best how to share itself among them.
const RUNS: usize = 64;

/// Does all that a plan needs, and tells `events` about it. The first failure stops what runs, and nothing new starts.
pub fn solve(
    plan: &Plan,
    worker: &impl Worker,
    events: &Sender<Event>,
    cancel: &Cancel,
) -> Result<Solution, SolveError> {
    let results = Results::new(plan).map_err(SolveError::whole)?;
    let limits = Limits { run: RUNS, io: 2 * crate::cores() };
    let build = Build {
        worker,
        results: &results,
        events: Events::new(events),
        stop: &Cancel::new(),
        keys: Mutex::new(vec![None; plan.vertices.len()]),
        told: Mutex::default(),
        broken: Mutex::default(),
        failure: Mutex::default(),
        schedule: Mutex::new(Schedule::new(plan.vertices.iter().map(shape).collect(), limits)),
    };
    let finished = build.run(cancel);
    worker.finish();
    build.tell_unused_bases(finished);
    build.events.flush();
    let failure = build.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    let canceled = || SolveError::whole(SolveErrorKind::Canceled);
    match failure.or_else(|| (!finished).then(canceled)) {
        Some(error) => Err(SolveError { unfinished: Box::new(build.unfinished()), ..error }),
        None => results.solution().map_err(SolveError::whole),
    }
}

struct Build<'a, W> {
    worker: &'a W,
    results: &'a Results<'a>,
    events: Events<'a>,
    /// Turned by the caller's switch, and by the first failure.
    stop: &'a Cancel,
    /// Of what missed.
    keys: Mutex<Vec<Option<Key>>>,
    /// Base images that something was said about.
    told: Mutex<HashSet<VertexId>>,
    /// What had begun and did not come to its end, and how long it took.
    broken: Mutex<HashMap<VertexId, Duration>>,
    failure: Mutex<Option<SolveError>>,
    schedule: Mutex<Schedule>,
}

impl<W: Worker> Build<'_, W> {
    /// Runs the schedule to its end. True if every vertex has its result.
    fn run(&self, cancel: &Cancel) -> bool {
        let stop = self.stop.clone();
        let _guard = cancel.on_cancel(move || stop.cancel());
        let first = self.schedule().start();
        // Ends when the last thread has.
        std::thread::scope(|scope| {
            if let Some(actions) = self.begin(scope, first) {
                self.work(scope, actions);
            }
        });
        self.schedule().is_finished()
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread for each action but the first. Returns what is left to the caller, if anything is.
    fn begin<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, actions: Vec<Action>) -> Option<Vec<Action>> {
        let mut actions = actions.into_iter();
        let mut left = vec![actions.next()?];
        for action in actions {
            let thread = std::thread::Builder::new().spawn_scoped(scope, move || self.work(scope, vec![action]));
            if thread.is_err() {
                // No more threads to be had: one thing after the other is slow, and works.
                left.push(action);
            }
        }
        Some(left)
    }

    /// Does these actions, and what follows from them.
    fn work<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, mut actions: Vec<Action>) {
        while let Some(action) = actions.pop() {
            let reply = self.perform_safely(action);
            let next = self.answer(reply);
            actions.extend(self.begin(scope, next).into_iter().flatten());
        }
    }

    fn perform_safely(&self, action: Action) -> Reply {
        let reply = catch_unwind(AssertUnwindSafe(|| self.perform(action)));
        reply.unwrap_or_else(|_| {
            let id = action_vertex(action);
            self.fail(id, SolveErrorKind::Panicked);
            Reply::Failed(id.0 as usize)
        })
    }

    /// Tells the schedule, and returns what to do next.
    fn answer(&self, reply: Reply) -> Vec<Action> {
        if matches!(reply, Reply::Failed(_)) {
            self.stop.cancel();
        }
        let mut schedule = self.schedule();
        if self.stop.is_canceled() {
            schedule.stop();
        }
        let actions = schedule.answer(reply);
        if matches!(reply, Reply::Lacks(_)) && actions.is_empty() && schedule.is_idle() && !self.stop.is_canceled() {
            self.fail(reply_vertex(reply), SolveErrorKind::Plan("a look-up that nothing can answer"));
        }
        actions
    }

    fn job(&self, id: VertexId) -> Job<'_> {
        Job { results: self.results, id, events: &self.events, stop: self.stop }
    }

    fn tell(&self, event: Event) {
        self.events.tell(event);
    }

    fn perform(&self, action: Action) -> Reply {
        let id = action_vertex(action);
        let at = id.0 as usize;
        let result = match action {
            Action::LookUp(_) => self.look_up(id),
            Action::Fetch(_) => self.fetch(id).map(|()| Reply::Fetched(at)),
            Action::Execute(_) => self.execute(id).map(|()| Reply::Executed(at)),
            Action::Prepare { ancestor, .. } => {
                let ancestor = ancestor.map(vertex_id);
                self.worker.prepare(self.job(id), ancestor).map(|()| Reply::Prepared(at))
            }
        };
        result.unwrap_or_else(|kind| {
            self.fail(id, kind);
            Reply::Failed(at)
        })
    }

    fn look_up(&self, id: VertexId) -> Result<Reply> {
        let at = id.0 as usize;
        match self.worker.look_up(self.job(id))? {
            Found::Hit(key, record) => {
                self.worker.done(id, &record.layer);
                self.results.finish(id, key, Made::from_record(&record), Duration::ZERO);
                self.tell(Event::Cached { vertex: id });
                Ok(Reply::Hit(at))
            }
            Found::Miss(key) => {
                self.keys.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(key);
                Ok(Reply::Miss(at))
            }
            Found::Lacks => Ok(Reply::Lacks(at)),
        }
    }

    fn fetch(&self, id: VertexId) -> Result<()> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        let started = Instant::now();
        let fetched = self.worker.fetch(self.job(id)).inspect_err(|kind| self.tell_failure(id, kind, started))?;
        if fetched {
            self.tell(Event::Finished { vertex: id, elapsed: started.elapsed(), unchanged: false });
        } else {
            self.tell(Event::Cached { vertex: id });
        }
        Ok(())
    }

    fn execute(&self, id: VertexId) -> Result<()> {
        let key = self.keys.lock().unwrap_or_else(PoisonError::into_inner)[id.0 as usize];
        let key = key.ok_or(SolveErrorKind::Plan("an op runs that was not looked up"))?;
        let started = Instant::now();
        self.tell(Event::Started { vertex: id });
        let made = self.worker.execute(self.job(id), key);
        let made = made.inspect_err(|kind| self.tell_failure(id, kind, started))?;
        let (elapsed, outcome) = (started.elapsed(), made.outcome);
        self.worker.done(id, &made.layer);
        self.results.finish(id, key, made, elapsed);
        self.tell(match outcome {
            // Somebody else was faster.
            Outcome::Hit | Outcome::Base => Event::Cached { vertex: id },
            Outcome::Ran | Outcome::Unchanged => {
                Event::Finished { vertex: id, elapsed, unchanged: outcome == Outcome::Unchanged }
            }
        });
        Ok(())
    }

    fn tell_failure(&self, vertex: VertexId, kind: &SolveErrorKind, started: Instant) {
        let elapsed = started.elapsed();
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).insert(vertex, elapsed);
        self.tell(match kind {
            SolveErrorKind::Canceled => Event::Canceled { vertex },
            _ => Event::Failed { vertex, elapsed, message: kind.to_string() },
        });
    }

    fn unfinished(&self) -> Unfinished {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let reached = |id: VertexId| match (broken.get(&id), self.results.report(id)) {
            // A base image has its result from the start, and may still fail to be fetched.
            (Some(elapsed), _) => Reached::Begun(*elapsed),
            (None, Some(report)) => Reached::Done(report),
            (None, None) => Reached::Nothing,
        };
        Unfinished { vertices: (0..self.results.plan.vertices.len()).map(vertex_id).map(reached).collect() }
    }

    /// Keeps the first failure. What was stopped because of it is none.
    fn fail(&self, id: VertexId, kind: SolveErrorKind) {
        if matches!(kind, SolveErrorKind::Canceled) {
            return;
        }
        let error = SolveError::at(id)(kind);
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Base images whose bytes nobody wanted are known all the same.
    fn tell_unused_bases(&self, finished: bool) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for at in 0..self.results.plan.vertices.len() {
            let vertex = vertex_id(at);
            if finished && self.results.base(vertex).is_some() && !told.contains(&vertex) {
                self.tell(Event::Cached { vertex });
            }
        }
    }
}

fn shape(vertex: &Vertex) -> Shape {
    let inputs = vertex.inputs.iter().filter_map(|input| match input {
        plan::Input::Vertex(id) => Some(id.0 as usize),
        plan::Input::Empty | plan::Input::Context(_) => None,
    });
    Shape {
        kind: match vertex.op {
            Op::Base(_) => Kind::Base,
            Op::Source(_) => Kind::Source,
            Op::Run(_) => Kind::Run,
            Op::Copy(_) => Kind::Copy,
            Op::Workdir(_) => Kind::Workdir,
        },
        parent: vertex.parent.map(|id| id.0 as usize),
        inputs: inputs.collect(),
    }
}

fn vertex_id(at: usize) -> VertexId {
    VertexId(u32::try_from(at).unwrap_or(u32::MAX))
}

fn action_vertex(action: Action) -> VertexId {
    let (Action::LookUp(at) | Action::Fetch(at) | Action::Execute(at) | Action::Prepare { vertex: at, .. }) = action;
    vertex_id(at)
}

fn reply_vertex(reply: Reply) -> VertexId {
    let (Reply::Hit(at)
    | Reply::Miss(at)
    | Reply::Lacks(at)
    | Reply::Fetched(at)
    | Reply::Executed(at)
    | Reply::Prepared(at)
    | Reply::Failed(at)) = reply;
    vertex_id(at)
}

#[cfg(test)]
mod tests;
