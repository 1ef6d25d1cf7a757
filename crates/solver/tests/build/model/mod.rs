//! The cache against no cache: after every edit of a random Dockerfile and its context, a build that may take what
//! earlier ones left gives the same tree as one that takes nothing, and an edit that means nothing runs nothing.
//!
//! `KILN_MODEL_SEQUENCES` says how many sequences of edits are tried (a few if it says nothing), `KILN_MODEL_SEED` where
//! they begin.

mod context;
mod random;
mod text;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use image::{Kind, LayerPath};
use plan::Plan;
use solver::{Cancel, Solution};

use crate::Case;
use crate::env::Env;
use context::Files;
use random::Random;
use text::Text;

pub(crate) const CASES: &[Case] = &[("model::edits_with_and_without_the_cache", edits_with_and_without_the_cache)];

const SEQUENCES: u64 = 40;
const EDITS: usize = 4;

fn edits_with_and_without_the_cache() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = number("KILN_MODEL_SEQUENCES").unwrap_or(SEQUENCES);
    let first = number("KILN_MODEL_SEED").unwrap_or(1);
    let next = AtomicU64::new(first);
    let (built, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let worker = || {
        let mut world = World::new();
        let mut used = 0;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                break;
            }
            // What one sequence leaves, the next one meets; but a store shall not grow without end.
            if used == 50 {
                world = World { built: world.built, refused: world.refused, ..World::new() };
                used = 0;
            }
            used += 1;
            world.sequence(seed);
        }
        built.fetch_add(world.built, Ordering::Relaxed);
        refused.fetch_add(world.refused, Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    let (built, refused) = (built.into_inner(), refused.into_inner());
    println!("{count} sequences of {EDITS} edits from seed {first}: {built} builds compared, {refused} failed alike");
    assert!(refused * 10 < built || count < 10, "too many of the builds fail to say much");
}

/// A context and two stores: one is built in with the cache, one without.
struct World {
    cached: Env,
    plain: Env,
    built: u64,
    /// Builds that failed, both for the same reason.
    refused: u64,
}

/// What an edit has to do with the steps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Means {
    Something,
    /// No step reads what was changed.
    Nothing,
}

impl World {
    fn new() -> Self {
        let cached = Env::new();
        let mut plain = Env::new();
        plain.context.clone_from(&cached.context);
        // Not every step needs the layers of the base, but comparing does.
        for env in [&cached, &plain] {
            env.build("FROM base\nRUN true\n");
        }
        Self { cached, plain, built: 0, refused: 0 }
    }

    /// Builds, and after each of some edits builds again.
    fn sequence(&mut self, seed: u64) {
        let mut story = String::new();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut random = Random::new(seed);
            let mut files = Files::new(&self.cached.context, &mut random);
            let mut text = Text::random(&mut random);
            self.both(&text, Means::Something, &mut story);
            for _ in 0..EDITS {
                let (what, means) = if random.one_in(2) { files.edit(&mut random) } else { text.edit(&mut random) };
                let _ = writeln!(story, "edit: {what}");
                self.both(&text, means, &mut story);
            }
        }));
        if let Err(panic) = outcome {
            eprintln!("KILN_MODEL_SEED={seed} KILN_MODEL_SEQUENCES=1\n{story}");
            resume_unwind(panic);
        }
    }

    fn both(&mut self, text: &Text, means: Means, story: &mut String) {
        let written = text.to_string();
        let _ = writeln!(story, "--- ignore: {:?}\n{written}", text.ignore());
        self.cached.ignore = text.ignore();
        self.plain.ignore = text.ignore();
        let with = self.cached.plan(&written);
        let without = self.plain.plan_with(&written, |options| options.no_cache = true);
        assert_eq!(format!("{:?}", with.targets), format!("{:?}", without.targets), "targets");
        let known = self.cached.try_known(&with).is_ok_and(|solution| solution.is_some());
        let (one, _) = self.cached.solve(&with, &Cancel::new(), |_| {});
        let (other, _) = self.plain.solve(&without, &Cancel::new(), |_| {});
        match (one, other) {
            (Ok(one), Ok(other)) => {
                self.built += 1;
                assert_eq!(contents(&with, &one), contents(&without, &other));
                assert_eq!(tree(&self.cached, &one), tree(&self.plain, &other));
                assert!(known || means == Means::Something, "ran: {:?}", ran(&with, &one));
                assert!(self.cached.known(&with).is_some(), "a second build would run something");
            }
            (Err(one), Err(other)) => {
                self.refused += 1;
                assert_eq!(one.to_string(), other.to_string());
            }
            (one, other) => panic!("with the cache {one:?}\nwithout {other:?}"),
        }
    }
}

fn contents(plan: &Plan, solution: &Solution) -> Vec<(String, String)> {
    let vertices = plan.vertices.iter().zip(&solution.vertices);
    vertices.map(|(vertex, report)| (vertex.name.clone(), format!("{:?}", report.content))).collect()
}

fn ran(plan: &Plan, solution: &Solution) -> Vec<String> {
    let vertices = plan.vertices.iter().zip(&solution.vertices);
    vertices.filter(|(_, report)| !report.hit()).map(|(vertex, _)| vertex.name.clone()).collect()
}

/// Everything of a tree but times; the data as it is on the disk.
fn tree(env: &Env, solution: &Solution) -> BTreeMap<String, String> {
    let tree = env.tree(solution);
    let entries = tree.below(&LayerPath::root());
    let described = entries.into_iter().filter(|entry| !entry.path.to_string().starts_with("/bin/")).map(|entry| {
        let metadata = &entry.metadata;
        let mut line = format!("{:o} {}:{} {:?}", metadata.mode, metadata.uid, metadata.gid, metadata.xattrs);
        if let Kind::File { .. } = &entry.kind {
            let mut data = Vec::new();
            tree.open(&entry.path).unwrap().read_to_end(&mut data).unwrap();
            let _ = write!(line, " {}", blake3::hash(&data));
        }
        let _ = write!(line, " {:?}", entry.kind);
        (entry.path.to_string(), line)
    });
    described.collect()
}
