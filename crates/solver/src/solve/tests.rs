use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use dockerfile::Span;
use image::ContentId;
use plan::{Copy, OpDigest, Target, Workdir};
use store::{LayerId, Record};

use super::*;

/// Says what each vertex does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Does {
    Hit,
    Run,
    Fail,
    Panic,
    /// Runs until it is stopped.
    Hang,
}

struct Fake {
    does: BTreeMap<u32, Does>,
    executed: Mutex<Vec<u32>>,
    prepared: AtomicUsize,
    finished: AtomicUsize,
    done: Mutex<Vec<(u32, LayerId)>>,
}

impl Fake {
    fn new(does: &[Does]) -> Self {
        Self {
            does: (0..).zip(does.iter().copied()).collect(),
            executed: Mutex::default(),
            prepared: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            done: Mutex::default(),
        }
    }
}

fn layer(id: VertexId) -> LayerId {
    LayerId::parse(&format!("{:032x}", id.0)).unwrap()
}

fn key(id: VertexId) -> Key {
    Key([u8::try_from(id.0).unwrap(); 32])
}

fn content(id: VertexId) -> ContentId {
    ContentId([u8::try_from(id.0 + 100).unwrap(); 32])
}

impl Worker for Fake {
    fn look_up(&self, job: Job<'_>) -> Result<Found> {
        let id = job.id();
        if self.does[&id.0] != Does::Hit {
            return Ok(Found::Miss(key(id)));
        }
        Ok(Found::Hit(key(id), Record { layer: layer(id), content: content(id), created: 7, inputs: Vec::new() }))
    }

    fn fetch(&self, _job: Job<'_>) -> Result<bool> {
        Ok(true)
    }

    fn execute(&self, job: Job<'_>, key: Key) -> Result<Made> {
        let id = job.id();
        assert_eq!(key, self::key(id));
        self.executed.lock().unwrap().push(id.0);
        match self.does[&id.0] {
            Does::Run | Does::Hit => {}
            Does::Fail => return Err(SolveErrorKind::SymlinkLoop { path: id.0.to_string() }),
            Does::Panic => panic!("as told"),
            Does::Hang => {
                let (sender, receiver) = channel();
                let _guard = job.stop.on_cancel(move || {
                    let _ = sender.send(());
                });
                receiver.recv().unwrap();
                return Err(SolveErrorKind::Canceled);
            }
        }
        Ok(Made { layer: layer(id), content: content(id), created: 8, outcome: Outcome::Ran })
    }

    fn prepare(&self, _job: Job<'_>, _ancestor: Option<VertexId>) -> Result<()> {
        self.prepared.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn done(&self, id: VertexId, layer: &LayerId) {
        self.done.lock().unwrap().push((id.0, layer.clone()));
    }

    fn finish(&self) {
        self.finished.fetch_add(1, Ordering::SeqCst);
    }
}

/// A plan of vertices with those parents; the targets are those that nobody has as parent.
fn plan(parents: &[Option<u32>]) -> Plan {
    let vertex = |parent: &Option<u32>| {
        let op = match parent {
            None => Op::Workdir(Workdir { path: "/".to_owned(), user: String::new() }),
            Some(_) => Op::Copy(Copy { sources: Vec::new(), destination: "/".to_owned(), ..Copy::default() }),
        };
        Vertex {
            op,
            parent: parent.map(VertexId),
            inputs: Vec::new(),
            digest: OpDigest([0; 32]),
            span: Span::default(),
            stage: String::new(),
            name: String::new(),
            ignore_cache: false,
        }
    };
    let ends = (0..u32::try_from(parents.len()).unwrap()).filter(|id| !parents.contains(&Some(*id)));
    let target = |id| Target {
        platform: image::Platform::host(),
        root: Some(VertexId(id)),
        config: image::ImageConfig::default(),
        history: Vec::new(),
    };
    let (vertices, targets) = (parents.iter().map(vertex).collect(), ends.map(target).collect());
    Plan { vertices, targets, chosen_shells: Vec::new() }
}

fn run(fake: &Fake, plan: &Plan, cancel: &Cancel) -> (Result<Solution, SolveError>, Vec<Event>) {
    let (sender, receiver) = channel();
    let result = solve(plan, fake, &sender, cancel);
    drop(sender);
    (result, receiver.into_iter().collect())
}

/// How each vertex ended, as events tell.
fn ends(events: &[Event]) -> BTreeMap<u32, &'static str> {
    let mut ends = BTreeMap::new();
    for event in events {
        let (vertex, end) = match event {
            Event::Cached { vertex } => (vertex, "cached"),
            Event::Finished { vertex, .. } => (vertex, "finished"),
            Event::Failed { vertex, .. } => (vertex, "failed"),
            Event::Canceled { vertex } => (vertex, "canceled"),
            _ => continue,
        };
        assert_eq!(ends.insert(vertex.0, end), None, "{vertex:?} ended twice");
    }
    ends
}

#[test]
fn hits_and_misses_in_a_chain() {
    let fake = Fake::new(&[Does::Hit, Does::Run, Does::Hit, Does::Run]);
    let plan = plan(&[None, Some(0), Some(1), Some(2)]);
    let (solution, events) = run(&fake, &plan, &Cancel::new());
    let solution = solution.unwrap();
    assert_eq!(*fake.executed.lock().unwrap(), [1, 3]);
    let outcomes: Vec<_> = solution.vertices.iter().map(|report| report.outcome).collect();
    assert_eq!(outcomes, [Outcome::Hit, Outcome::Ran, Outcome::Hit, Outcome::Ran]);
    let layers: Vec<_> = solution.targets[0].layers.iter().map(|l| (l.vertex.0, l.created)).collect();
    assert_eq!(layers, [(0, 7), (1, 8), (2, 7), (3, 8)]);
    let ends = ends(&events);
    assert_eq!(ends.into_values().collect::<Vec<_>>(), ["cached", "finished", "cached", "finished"]);
    assert_eq!(fake.finished.load(Ordering::SeqCst), 1);
    // Each layer was told of once, as it came.
    let done = fake.done.lock().unwrap().clone();
    assert_eq!(done, (0..4).map(|id| (id, layer(VertexId(id)))).collect::<Vec<_>>());
}

#[test]
fn the_content_of_a_target_is_made_of_its_layers() {
    let plan = plan(&[None, Some(0)]);
    let content_of = |does: &[Does]| run(&Fake::new(does), &plan, &Cancel::new()).0.unwrap().targets[0].content;
    assert_eq!(content_of(&[Does::Hit, Does::Run]), content_of(&[Does::Run, Does::Hit]));
}

#[test]
fn the_first_failure_ends_the_build() {
    let fake = Fake::new(&[Does::Hang, Does::Fail, Does::Run]);
    let (result, events) = run(&fake, &plan(&[None, None, Some(1)]), &Cancel::new());
    let error = result.unwrap_err();
    assert_eq!(error.vertex, Some(VertexId(1)));
    assert_eq!(error.to_string(), "too many levels of symbolic links: 1");
    let ends = ends(&events);
    assert_eq!(ends.get(&1), Some(&"failed"));
    assert_eq!(ends.get(&2), None);
    // Whether it had begun by then is chance; if so it was stopped.
    assert!(matches!(ends.get(&0), None | Some(&"canceled")), "{ends:?}");
}

#[test]
fn a_failed_build_tells_how_far_it_came() {
    let fake = Fake::new(&[Does::Hit, Does::Run, Does::Fail, Does::Run]);
    let (result, _) = run(&fake, &plan(&[None, Some(0), Some(1), Some(2)]), &Cancel::new());
    let reached = result.unwrap_err().unfinished.vertices;
    let outcome = |at: usize| match &reached[at] {
        Reached::Done(report) => Some(report.outcome),
        Reached::Begun(_) | Reached::Nothing => None,
    };
    assert_eq!((outcome(0), outcome(1)), (Some(Outcome::Hit), Some(Outcome::Ran)));
    assert!(matches!(reached[2..], [Reached::Begun(_), Reached::Nothing]), "{reached:?}");
}

#[test]
fn a_panic_is_a_failure() {
    let fake = Fake::new(&[Does::Panic]);
    let error = run(&fake, &plan(&[None]), &Cancel::new()).0.unwrap_err();
    assert!(matches!(error.kind, SolveErrorKind::Panicked), "{error}");
}

#[test]
fn the_caller_can_stop_it() {
    let fake = Fake::new(&[Does::Hang, Does::Run]);
    let plan = plan(&[None, Some(0)]);
    let cancel = Cancel::new();
    let (sender, receiver) = channel();
    let (result, events) = std::thread::scope(|scope| {
        let solving = scope.spawn(|| solve(&plan, &fake, &sender, &cancel));
        let first = receiver.recv().unwrap();
        assert_eq!(first, Event::Started { vertex: VertexId(0) });
        cancel.cancel();
        (solving.join().unwrap(), receiver.try_iter().collect::<Vec<_>>())
    });
    let error = result.unwrap_err();
    assert!(error.vertex.is_none() && matches!(error.kind, SolveErrorKind::Canceled));
    assert_eq!(events, [Event::Canceled { vertex: VertexId(0) }]);
    assert_eq!(*fake.executed.lock().unwrap(), [0]);
}

#[test]
fn canceled_before_it_begins() {
    let cancel = Cancel::new();
    cancel.cancel();
    let error = run(&Fake::new(&[Does::Run]), &plan(&[None]), &cancel).0.unwrap_err();
    assert!(matches!(error.kind, SolveErrorKind::Canceled));
}

#[test]
fn a_plan_in_the_wrong_order_is_refused() {
    let error = run(&Fake::new(&[Does::Run, Does::Run]), &plan(&[Some(1), None]), &Cancel::new()).0.unwrap_err();
    assert!(matches!(error.kind, SolveErrorKind::Plan(_)));
}
