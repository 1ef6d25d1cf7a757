//! What the threads of a build ask for.

use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use plan::{Plan, Vertex, VertexId};
use store::LayerId;

use crate::cancel::Cancel;
use crate::error::SolveErrorKind;
use crate::event::{Event, Phase};
use crate::key::Key;
use crate::results::{Made, Results};
use crate::session::Found;

/// The way to whoever shows progress. What can wait goes along with what comes next: waking a thread for each of the parts of a
/// step costs more than most of them.
#[derive(Debug)]
pub(crate) struct Events<'a> {
    to: &'a Sender<Event>,
    waiting: Mutex<Vec<Event>>,
}

impl<'a> Events<'a> {
    pub(crate) fn new(to: &'a Sender<Event>) -> Self {
        Self { to, waiting: Mutex::default() }
    }

    pub(crate) fn tell(&self, event: Event) {
        self.flush();
        // Nobody listening is no reason to stop building.
        let _ = self.to.send(event);
    }

    fn tell_later(&self, event: Event) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Tells what waits.
    pub(crate) fn flush(&self) {
        for event in std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner)) {
            let _ = self.to.send(event);
        }
    }
}

/// One vertex, and all that is known when something is done for it.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    pub(crate) results: &'a Results<'a>,
    pub(crate) id: VertexId,
    pub(crate) events: &'a Events<'a>,
    pub(crate) stop: &'a Cancel,
}

impl<'a> Job<'a> {
    /// Returns the plan.
    pub fn plan(&self) -> &'a Plan {
        self.results.plan
    }

    /// Returns which vertex it is about.
    pub fn id(&self) -> VertexId {
        self.id
    }

    /// Returns the vertex.
    pub fn vertex(&self) -> &'a Vertex {
        self.results.vertex(self.id)
    }

    /// Returns the content of the file system after a vertex that is done.
    pub fn content(&self, id: Option<VertexId>) -> image::ContentId {
        self.results.content(id)
    }

    /// Tells whoever shows progress.
    pub fn tell(&self, event: Event) {
        self.events.tell(event);
    }

    /// Returns the same way, for those who outlive the job.
    pub(crate) fn sender(&self) -> Sender<Event> {
        self.events.to.clone()
    }

    /// Does a part of the work, and tells how long it took.
    pub(crate) fn measure<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let done = work();
        self.spent(phase, since);
        done
    }

    /// Tells how long a part of the work took that ends now.
    pub(crate) fn spent(&self, phase: Phase, since: Instant) {
        self.events.tell_later(Event::Spent { vertex: self.id, phase, since, elapsed: since.elapsed() });
    }

    pub(crate) fn check_canceled(&self) -> Result<(), SolveErrorKind> {
        if self.stop.is_canceled() { Err(SolveErrorKind::Canceled) } else { Ok(()) }
    }
}

/// Performs the actions of a schedule. Called from many threads at once, for different vertices.
pub trait Worker: Sync {
    /// Looks up the result of a vertex whose parent and inputs are done.
    fn look_up(&self, job: Job<'_>) -> Result<Found, SolveErrorKind>;

    /// Makes the layers of a base image available. True if something had to be fetched or unpacked.
    fn fetch(&self, job: Job<'_>) -> Result<bool, SolveErrorKind>;

    /// Runs the op of a vertex whose key is not known, and remembers the result.
    fn execute(&self, job: Job<'_>, key: Key) -> Result<Made, SolveErrorKind>;

    /// Begins a copy whose parent is not done yet, as if it were like `ancestor` (`None`: empty). What comes of it is kept
    /// for [`execute`](Self::execute), which may find that it does not fit. An error ends the build: it is one that cannot
    /// go away.
    fn prepare(&self, job: Job<'_>, ancestor: Option<VertexId>) -> Result<(), SolveErrorKind>;

    /// Called when a vertex has its layer, found or made. Others may still run.
    fn done(&self, id: VertexId, layer: &LayerId);

    /// Called once when nothing runs any more.
    fn finish(&self);
}
