//! What a schedule says and hears, and what it keeps in mind.

use std::collections::BTreeSet;

/// What the schedule has to know of a vertex. Inputs are smaller than their user.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) parent: Option<usize>,
    pub(crate) inputs: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Base,
    Source,
    Run,
    Copy,
    Workdir,
}

/// How many actions run at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) run: usize,
    /// Look-ups, copies, fetching: what keeps disks and cores busy.
    pub(crate) io: usize,
}

/// Something to be done, to be answered with a [`Reply`] for the same vertex.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Action {
    LookUp(usize),
    /// Fetch the layers of a base image.
    Fetch(usize),
    Execute(usize),
    /// Copy ahead, as if what runs between the ancestor (`None`: nothing) and the vertex changed nothing that it reads.
    Prepare {
        vertex: usize,
        ancestor: Option<usize>,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reply {
    /// To `LookUp`: the result is known.
    Hit(usize),
    /// To `LookUp`: the op has to run.
    Miss(usize),
    /// To `LookUp`: only the bytes of a base image can tell.
    Lacks(usize),
    Fetched(usize),
    Executed(usize),
    Prepared(usize),
    /// To any action.
    Failed(usize),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// A base image. Its content is known from the start, its bytes are not always wanted.
    Base(Bytes),
    /// Something it reads is not done: its parent, or so many inputs.
    Waiting {
        parent: bool,
        inputs: usize,
        guess: Guess,
    },
    Looking {
        again: bool,
    },
    /// Base layers are being fetched.
    Wanting {
        bases: usize,
        next: Next,
    },
    Queued,
    Executing,
    Finished,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bytes {
    Absent,
    Fetching,
    Here,
}

/// How far the work ahead of a waiting vertex is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Guess {
    /// Nothing below it runs.
    None,
    /// It can be made against that ancestor once its inputs are done.
    Allowed(Option<usize>),
    Queued(Option<usize>),
    Running,
    Ready,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    LookUp,
    Execute,
}

/// Actions that share a limit.
#[derive(Debug)]
pub(super) struct Lane {
    /// By urgency: work ahead comes last, otherwise what comes first in the plan goes first.
    pub(super) ready: BTreeSet<(bool, usize, Action)>,
    pub(super) running: usize,
    limit: usize,
}

impl Lane {
    pub(super) fn new(limit: usize) -> Self {
        Self { ready: BTreeSet::new(), running: 0, limit: limit.max(1) }
    }

    pub(super) fn take(&mut self) -> Option<Action> {
        if self.running == self.limit {
            return None;
        }
        let (_, _, action) = self.ready.pop_first()?;
        self.running += 1;
        Some(action)
    }
}
