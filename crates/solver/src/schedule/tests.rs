use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { run: 64, io: 4 };

fn shape(kind: Kind, parent: Option<usize>, inputs: &[usize]) -> Shape {
    Shape { kind, parent, inputs: inputs.to_vec() }
}

#[track_caller]
fn check(actions: Vec<Action>, expected: &[Action]) {
    let mut actions = actions;
    actions.sort_unstable();
    assert_eq!(actions, expected);
}

#[test]
fn a_hit_never_fetches() {
    let mut schedule = Schedule::new(
        vec![shape(Kind::Base, None, &[]), shape(Kind::Run, Some(0), &[]), shape(Kind::Copy, Some(1), &[])],
        LIMITS,
    );
    check(schedule.start(), &[Action::LookUp(1)]);
    check(schedule.answer(Reply::Hit(1)), &[Action::LookUp(2)]);
    check(schedule.answer(Reply::Hit(2)), &[]);
    assert!(schedule.is_finished() && schedule.is_idle());
}

#[test]
fn a_miss_fetches_what_it_reads() {
    let plan = vec![shape(Kind::Base, None, &[]), shape(Kind::Base, None, &[]), shape(Kind::Copy, Some(0), &[1])];
    let mut schedule = Schedule::new(plan, LIMITS);
    check(schedule.start(), &[Action::LookUp(2)]);
    check(schedule.answer(Reply::Miss(2)), &[Action::Fetch(0), Action::Fetch(1)]);
    check(schedule.answer(Reply::Fetched(1)), &[]);
    check(schedule.answer(Reply::Fetched(0)), &[Action::Execute(2)]);
    check(schedule.answer(Reply::Executed(2)), &[]);
    assert!(schedule.is_finished());
}

#[test]
fn who_lacks_bytes_is_asked_again_once() {
    let plan = vec![shape(Kind::Base, None, &[]), shape(Kind::Copy, Some(0), &[])];
    let mut schedule = Schedule::new(plan, LIMITS);
    schedule.start();
    check(schedule.answer(Reply::Lacks(1)), &[Action::Fetch(0)]);
    check(schedule.answer(Reply::Fetched(0)), &[Action::LookUp(1)]);
    check(schedule.answer(Reply::Lacks(1)), &[]);
    assert!(schedule.is_idle() && !schedule.is_finished());
}

#[test]
fn copies_go_ahead_of_what_runs_below_them() {
    let plan = vec![
        shape(Kind::Base, None, &[]),
        shape(Kind::Run, Some(0), &[]),
        shape(Kind::Workdir, Some(1), &[]),
        shape(Kind::Copy, Some(2), &[]),
        shape(Kind::Run, Some(3), &[]),
    ];
    let mut schedule = Schedule::new(plan, LIMITS);
    check(schedule.start(), &[Action::LookUp(1)]);
    check(schedule.answer(Reply::Miss(1)), &[Action::Fetch(0)]);
    let ahead = Action::Prepare { vertex: 3, ancestor: Some(0) };
    check(schedule.answer(Reply::Fetched(0)), &[Action::Execute(1), ahead]);
    check(schedule.answer(Reply::Executed(1)), &[Action::LookUp(2)]);
    // Its parent is done, but it has to end what it has begun.
    check(schedule.answer(Reply::Hit(2)), &[]);
    check(schedule.answer(Reply::Prepared(3)), &[Action::LookUp(3)]);
    check(schedule.answer(Reply::Miss(3)), &[Action::Execute(3)]);
}

#[test]
fn a_copy_waits_for_its_inputs_before_it_goes_ahead() {
    let plan = vec![shape(Kind::Run, None, &[]), shape(Kind::Run, None, &[]), shape(Kind::Copy, Some(0), &[1])];
    let mut schedule = Schedule::new(plan, LIMITS);
    check(schedule.start(), &[Action::LookUp(0), Action::LookUp(1)]);
    check(schedule.answer(Reply::Miss(0)), &[Action::Execute(0)]);
    check(schedule.answer(Reply::Hit(1)), &[Action::Prepare { vertex: 2, ancestor: None }]);
}

#[test]
fn after_a_failure_nothing_starts() {
    let plan = vec![shape(Kind::Run, None, &[]), shape(Kind::Run, None, &[]), shape(Kind::Run, Some(1), &[])];
    let mut schedule = Schedule::new(plan, LIMITS);
    schedule.start();
    check(schedule.answer(Reply::Miss(0)), &[Action::Execute(0)]);
    check(schedule.answer(Reply::Failed(0)), &[]);
    assert!(!schedule.is_idle());
    check(schedule.answer(Reply::Hit(1)), &[]);
    assert!(schedule.is_idle() && !schedule.is_finished());
}

#[test]
fn a_long_chain_takes_linear_time() {
    let mut plan = vec![shape(Kind::Base, None, &[])];
    for vertex in 1..20_000 {
        let kind = if vertex % 2 == 0 { Kind::Copy } else { Kind::Run };
        plan.push(shape(kind, Some(vertex - 1), &[0]));
    }
    let mut model = Model::new(plan, 1, 1 << 20);
    model.run();
    // Look-up, execution and work ahead of each, and one fetch.
    assert!(model.performed <= 3 * 20_000, "{}", model.performed);
}

/// Performs the actions of a schedule in some order, and checks that each is due.
struct Model {
    shapes: Vec<Shape>,
    schedule: Schedule,
    random: u64,
    misses: u64,
    running: Vec<Action>,
    done: Vec<bool>,
    here: Vec<bool>,
    executed: BTreeMap<usize, usize>,
    performed: usize,
}

impl Model {
    fn new(shapes: Vec<Shape>, random: u64, misses: u64) -> Self {
        let done = shapes.iter().map(|shape| shape.kind == Kind::Base).collect();
        Self {
            schedule: Schedule::new(shapes.clone(), Limits { run: 3, io: 2 }),
            random: random | 1,
            misses,
            running: Vec::new(),
            done,
            here: vec![false; shapes.len()],
            executed: BTreeMap::new(),
            performed: 0,
            shapes,
        }
    }

    /// A vertex misses or not whatever the order.
    fn misses(&self, vertex: usize) -> bool {
        self.misses.rotate_left((vertex % 64) as u32) & 1 == 1
    }

    fn next(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap()
    }

    fn base_of(&self, vertex: usize) -> Option<usize> {
        match self.shapes[vertex].kind {
            Kind::Base => Some(vertex),
            _ => self.shapes[vertex].parent.and_then(|parent| self.base_of(parent)),
        }
    }

    fn reads(&self, vertex: usize) -> Vec<usize> {
        self.shapes[vertex].parent.iter().chain(&self.shapes[vertex].inputs).copied().collect()
    }

    fn run(&mut self) {
        let actions = self.schedule.start();
        self.begin(actions);
        while !self.running.is_empty() {
            let at = self.next() % self.running.len();
            let action = self.running.swap_remove(at);
            let reply = self.perform(action);
            let actions = self.schedule.answer(reply);
            self.begin(actions);
        }
        assert!(self.schedule.is_finished() && self.schedule.is_idle());
    }

    fn begin(&mut self, actions: Vec<Action>) {
        self.running.extend(actions);
        let runs = |action: &&Action| matches!(action, Action::Execute(v) if self.shapes[*v].kind == Kind::Run);
        let runs = self.running.iter().filter(runs).count();
        assert!(runs <= 3 && self.running.len() - runs <= 2);
    }

    fn perform(&mut self, action: Action) -> Reply {
        self.performed += 1;
        match action {
            Action::LookUp(vertex) => {
                assert!(!self.done[vertex] && self.reads(vertex).iter().all(|&input| self.done[input]));
                if self.misses(vertex) {
                    return Reply::Miss(vertex);
                }
                self.done[vertex] = true;
                Reply::Hit(vertex)
            }
            Action::Fetch(base) => {
                assert!(!self.here[base], "fetched twice");
                self.here[base] = true;
                Reply::Fetched(base)
            }
            Action::Execute(vertex) => {
                let reads = self.reads(vertex);
                assert!(reads.iter().all(|&input| self.done[input]));
                if self.shapes.len() < 1_000 {
                    assert!(reads.iter().filter_map(|&input| self.base_of(input)).all(|base| self.here[base]));
                }
                *self.executed.entry(vertex).or_default() += 1;
                self.done[vertex] = true;
                Reply::Executed(vertex)
            }
            Action::Prepare { vertex, ancestor } => {
                assert_eq!(self.shapes[vertex].kind, Kind::Copy);
                assert!(self.shapes[vertex].inputs.iter().all(|&input| self.done[input]));
                assert!(ancestor.is_none_or(|ancestor| self.done[ancestor]));
                assert!(!self.done[vertex]);
                Reply::Prepared(vertex)
            }
        }
    }
}

/// Vertices that read only smaller ones.
fn plans() -> impl Strategy<Value = Vec<Shape>> {
    let vertex = (
        0..8u8,
        any::<prop::sample::Index>(),
        any::<bool>(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    );
    prop::collection::vec(vertex, 1..40).prop_map(|vertices| {
        let mut shapes: Vec<Shape> = Vec::new();
        for (kind, parent, scratch, inputs) in vertices {
            let count = shapes.len();
            let kind = match kind {
                0 => Kind::Base,
                1..=3 => Kind::Run,
                4 => Kind::Workdir,
                _ => Kind::Copy,
            };
            let some = |index: prop::sample::Index| (count > 0).then(|| index.index(count));
            let (parent, inputs) = match kind {
                Kind::Base => (None, Vec::new()),
                _ if scratch => (None, inputs.into_iter().filter_map(some).collect()),
                _ => (some(parent), inputs.into_iter().filter_map(some).collect()),
            };
            shapes.push(Shape { kind, parent, inputs });
        }
        shapes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_order_gives_what_one_after_the_other_gives(plan in plans(), random: u64, misses: u64) {
        let mut model = Model::new(plan.clone(), random, misses);
        model.run();
        prop_assert!(model.done.iter().all(|done| *done));
        for (vertex, shape) in plan.iter().enumerate() {
            let expected = usize::from(shape.kind != Kind::Base && model.misses(vertex));
            prop_assert_eq!(model.executed.get(&vertex).copied().unwrap_or_default(), expected);
        }
    }
}
