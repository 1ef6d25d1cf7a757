//! Which op runs when: a state machine, replies in, actions out. No I/O, no clock, no threads; those are
//! [`solve`](crate::solve())'s.
//!
//! ```text
//! Waiting ─all it reads is done─► Looking ──Hit─────────────────────────────► Finished
//!    │                               │ Miss, Lacks                               ▲
//!    │ COPY below a running op       ▼                                           │
//!    └─► Guess: Queued, Running,   Wanting ─base layers are here─► Queued ─► Executing
//!        Ready                       └─Lacks: back to Looking
//! ```

mod state;

use std::collections::BTreeSet;

pub(crate) use state::{Action, Kind, Limits, Reply, Shape};
use state::{Bytes, Guess, Lane, Next, State};

/// The schedule of one plan.
#[derive(Debug)]
pub(crate) struct Schedule {
    shapes: Vec<Shape>,
    states: Vec<State>,
    /// Who reads a vertex as an input, once for each time.
    users: Vec<Vec<usize>>,
    /// Whose parent a vertex is.
    children: Vec<Vec<usize>>,
    /// The base images that a vertex reads from.
    bases: Vec<Vec<usize>>,
    /// Who waits for the bytes of a base image.
    wanted_by: Vec<Vec<usize>>,
    run: Lane,
    io: Lane,
    unfinished: usize,
    stopped: bool,
}

impl Schedule {
    pub(crate) fn new(shapes: Vec<Shape>, limits: Limits) -> Self {
        let count = shapes.len();
        let (mut users, mut children) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        let mut base_of: Vec<Option<usize>> = Vec::with_capacity(count);
        let mut bases = Vec::with_capacity(count);
        let mut states = Vec::with_capacity(count);
        for (vertex, shape) in shapes.iter().enumerate() {
            let is_base = shape.kind == Kind::Base;
            let reads = shape.parent.iter().chain(&shape.inputs);
            let read_bases: BTreeSet<usize> = reads.filter_map(|&input| base_of[input]).collect();
            base_of.push(if is_base { Some(vertex) } else { shape.parent.and_then(|parent| base_of[parent]) });
            bases.push(read_bases.into_iter().collect());
            shape.inputs.iter().for_each(|&input| users[input].push(vertex));
            shape.parent.iter().for_each(|&parent| children[parent].push(vertex));
            states.push(if is_base {
                State::Base(Bytes::Absent)
            } else {
                State::Waiting { parent: shape.parent.is_some(), inputs: shape.inputs.len(), guess: Guess::None }
            });
        }
        let unfinished = shapes.iter().filter(|shape| shape.kind != Kind::Base).count();
        Self {
            states,
            users,
            children,
            bases,
            wanted_by: vec![Vec::new(); count],
            run: Lane::new(limits.run),
            io: Lane::new(limits.io),
            unfinished,
            stopped: false,
            shapes,
        }
    }

    /// Returns what to do first.
    pub(crate) fn start(&mut self) -> Vec<Action> {
        for vertex in 0..self.shapes.len() {
            if self.shapes[vertex].kind == Kind::Base {
                self.release_users(vertex);
            } else if self.shapes[vertex].parent.is_none() && self.shapes[vertex].inputs.is_empty() {
                self.look_up(vertex, false);
            }
        }
        self.take()
    }

    /// Takes a reply, and returns what to do next.
    pub(crate) fn answer(&mut self, reply: Reply) -> Vec<Action> {
        self.end_action(reply);
        match reply {
            Reply::Hit(vertex) | Reply::Executed(vertex) => self.finish(vertex),
            Reply::Miss(vertex) => self.want_bases(vertex, Next::Execute),
            Reply::Lacks(vertex) => match self.states[vertex] {
                // It has all there is.
                State::Looking { again: true } => self.stop(),
                _ => self.want_bases(vertex, Next::LookUp),
            },
            Reply::Fetched(base) => self.fetched(base),
            Reply::Prepared(vertex) => self.prepared(vertex),
            Reply::Failed(_) => self.stop(),
        }
        self.take()
    }

    /// Lets nothing new start.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.run.ready.clear();
        self.io.ready.clear();
    }

    /// True when nothing runs and nothing will.
    pub(crate) fn is_idle(&self) -> bool {
        let idle = |lane: &Lane| lane.running == 0 && lane.ready.is_empty();
        idle(&self.run) && idle(&self.io)
    }

    /// True when every vertex has its result.
    pub(crate) fn is_finished(&self) -> bool {
        self.unfinished == 0
    }

    fn take(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = self.run.take().or_else(|| self.io.take()) {
            match action {
                Action::Execute(vertex) => self.states[vertex] = State::Executing,
                Action::Prepare { vertex, .. } => self.set_guess(vertex, Guess::Running),
                Action::LookUp(_) | Action::Fetch(_) => {}
            }
            actions.push(action);
        }
        actions
    }

    fn end_action(&mut self, reply: Reply) {
        let (Reply::Hit(vertex)
        | Reply::Miss(vertex)
        | Reply::Lacks(vertex)
        | Reply::Fetched(vertex)
        | Reply::Executed(vertex)
        | Reply::Prepared(vertex)
        | Reply::Failed(vertex)) = reply;
        let executes = self.states[vertex] == State::Executing;
        let lane = if executes && self.shapes[vertex].kind == Kind::Run { &mut self.run } else { &mut self.io };
        lane.running = lane.running.saturating_sub(1);
    }

    fn queue(&mut self, action: Action) {
        if self.stopped {
            return;
        }
        let (ahead, vertex) = match action {
            Action::LookUp(vertex) | Action::Fetch(vertex) | Action::Execute(vertex) => (false, vertex),
            Action::Prepare { vertex, .. } => (true, vertex),
        };
        let runs = matches!(action, Action::Execute(_)) && self.shapes[vertex].kind == Kind::Run;
        let lane = if runs { &mut self.run } else { &mut self.io };
        lane.ready.insert((ahead, vertex, action));
    }

    fn look_up(&mut self, vertex: usize, again: bool) {
        self.states[vertex] = State::Looking { again };
        self.queue(Action::LookUp(vertex));
    }

    fn finish(&mut self, vertex: usize) {
        self.states[vertex] = State::Finished;
        self.unfinished -= 1;
        self.release_users(vertex);
    }

    /// Tells all who read `vertex` that it is done.
    fn release_users(&mut self, vertex: usize) {
        for child in self.children[vertex].clone() {
            if let State::Waiting { parent, .. } = &mut self.states[child] {
                *parent = false;
            }
            self.proceed(child);
        }
        for user in self.users[vertex].clone() {
            if let State::Waiting { inputs, .. } = &mut self.states[user] {
                *inputs -= 1;
            }
            self.proceed(user);
        }
    }

    /// Starts a waiting vertex as far as it can.
    fn proceed(&mut self, vertex: usize) {
        let State::Waiting { parent, inputs: 0, guess } = self.states[vertex] else { return };
        match (parent, guess) {
            (false, Guess::Running) => {}
            (false, Guess::Queued(ancestor)) => {
                self.io.ready.remove(&(true, vertex, Action::Prepare { vertex, ancestor }));
                self.look_up(vertex, false);
            }
            (false, _) => self.look_up(vertex, false),
            (true, Guess::Allowed(ancestor)) if self.shapes[vertex].kind == Kind::Copy => {
                self.set_guess(vertex, Guess::Queued(ancestor));
                self.queue(Action::Prepare { vertex, ancestor });
            }
            (true, _) => {}
        }
    }

    fn set_guess(&mut self, vertex: usize, to: Guess) {
        if let State::Waiting { guess, .. } = &mut self.states[vertex] {
            *guess = to;
        }
    }

    fn prepared(&mut self, vertex: usize) {
        self.set_guess(vertex, Guess::Ready);
        self.proceed(vertex);
    }

    fn want_bases(&mut self, vertex: usize, next: Next) {
        let mut missing = 0;
        for base in self.bases[vertex].clone() {
            let State::Base(bytes) = self.states[base] else { continue };
            if bytes == Bytes::Here {
                continue;
            }
            missing += 1;
            self.wanted_by[base].push(vertex);
            if bytes == Bytes::Absent {
                self.states[base] = State::Base(Bytes::Fetching);
                self.queue(Action::Fetch(base));
            }
        }
        self.states[vertex] = State::Wanting { bases: missing, next };
        self.go_on(vertex);
    }

    fn fetched(&mut self, base: usize) {
        self.states[base] = State::Base(Bytes::Here);
        for vertex in std::mem::take(&mut self.wanted_by[base]) {
            if let State::Wanting { bases, .. } = &mut self.states[vertex] {
                *bases -= 1;
            }
            self.go_on(vertex);
        }
    }

    fn go_on(&mut self, vertex: usize) {
        let State::Wanting { bases: 0, next } = self.states[vertex] else { return };
        match next {
            Next::LookUp => self.look_up(vertex, true),
            Next::Execute => {
                self.states[vertex] = State::Queued;
                self.queue(Action::Execute(vertex));
                self.allow_guesses(vertex);
            }
        }
    }

    /// Lets the copies on top of `vertex`, which is about to run, go ahead. Each vertex is visited once in all.
    fn allow_guesses(&mut self, vertex: usize) {
        let ancestor = self.shapes[vertex].parent;
        let mut pending = self.children[vertex].clone();
        while let Some(above) = pending.pop() {
            if !matches!(self.states[above], State::Waiting { guess: Guess::None, .. }) {
                continue;
            }
            self.set_guess(above, Guess::Allowed(ancestor));
            self.proceed(above);
            pending.extend(&self.children[above]);
        }
    }
}

#[cfg(test)]
mod tests;
