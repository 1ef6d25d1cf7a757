use std::fs;
use std::os::unix::fs::PermissionsExt;

use solver::{Cancel, Event, Outcome};

use crate::Case;
use crate::env::Env;

pub(crate) const CASES: &[Case] = &[
    ("cache::a_second_build_runs_nothing", a_second_build_runs_nothing),
    ("cache::what_changes_a_copy", what_changes_a_copy),
    ("cache::early_cutoff_across_stages", early_cutoff_across_stages),
    ("cache::early_cutoff_of_what_always_runs", early_cutoff_of_what_always_runs),
    ("cache::a_copy_does_not_depend_on_what_it_does_not_read", a_copy_does_not_depend_on_what_it_does_not_read),
    ("cache::a_hit_needs_no_base_layers", a_hit_needs_no_base_layers),
    ("cache::equal_vertices_run_once", equal_vertices_run_once),
    ("cache::two_builds_at_once_run_it_once", two_builds_at_once_run_it_once),
    ("cache::another_checkout_hits", another_checkout_hits),
    ("cache::records_name_their_inputs", records_name_their_inputs),
    ("cache::what_is_known_of_a_large_context_is_never_stale", what_is_known_of_a_large_context_is_never_stale),
];

const TEXT: &str = "FROM base AS first\nWORKDIR /w\nCOPY . .\nRUN cat a > /out\nFROM base\nCOPY --from=0 /out /\nRUN --mount=type=bind,from=first,target=/m cat /m/out > /x\n";

fn a_second_build_runs_nothing() {
    let env = Env::new();
    env.file("a", "1").file("d/b", "2");
    let first = env.build(TEXT);
    let known = env.known(&first.plan).unwrap();
    assert_eq!(known.targets[0].layers, first.solution.targets[0].layers);
    assert_eq!(known.targets[0].content, first.solution.targets[0].content);
    let second = env.build(TEXT);
    assert!(second.ran().is_empty(), "{:?}", second.ran());
    let told: Vec<&Event> = second.events.iter().filter(|event| !matches!(event, Event::Spent { .. })).collect();
    assert!(told.iter().all(|event| matches!(event, Event::Cached { .. })), "{told:?}");
    assert_eq!(told.len(), second.plan.vertices.len());
}

fn what_changes_a_copy() {
    let env = Env::new();
    env.file("a", "1").file("d/b", "2");
    let at = |name: &str| env.context.join(name);
    let plan = env.build("FROM base\nCOPY . /c\n").plan;
    let check = |what: &str, hit: bool| {
        assert_eq!(env.known(&plan).is_some(), hit, "{what}");
        env.build_plan(plan.clone());
    };
    check("nothing", true);
    fs::File::options().write(true).open(at("a")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    check("a time", true);
    fs::write(at("a"), "1").unwrap();
    check("the same written again", true);
    fs::write(at("a"), "2").unwrap();
    check("data", false);
    fs::set_permissions(at("a"), fs::Permissions::from_mode(0o600)).unwrap();
    check("mode", false);
    fs::rename(at("a"), at("e")).unwrap();
    check("name", false);
    fs::remove_file(at("e")).unwrap();
    fs::create_dir(at("e")).unwrap();
    check("a directory for a file", false);
    fs::remove_dir(at("e")).unwrap();
    std::os::unix::fs::symlink("d", at("e")).unwrap();
    check("a link for a directory", false);
    fs::remove_file(at("e")).unwrap();
    check("gone", false);
    std::os::unix::fs::chown(at("d/b"), Some(5), Some(5)).unwrap();
    check("owner, which a context has none of", true);
}

fn early_cutoff_across_stages() {
    let env = Env::new();
    env.file("a", "x\n");
    let text =
        "FROM base AS b\nCOPY a /\nRUN wc -l < /a > /out\nFROM base\nCOPY --from=b /out /\nRUN cat /out > /final\n";
    let first = env.build(text);
    env.file("a", "another\n");
    let second = env.build(text);
    assert_eq!(second.outcome("RUN wc"), Outcome::Unchanged);
    assert_eq!(second.ran().len(), 2, "{:?}", second.ran());
    assert_eq!(second.solution.targets[0].layers, first.solution.targets[0].layers);
}

fn early_cutoff_of_what_always_runs() {
    let env = Env::new();
    let text = "FROM base\nRUN echo 1 > /a\nRUN cat /a > /b\n";
    let first = env.build(text);
    let plan = env.plan_with(text, |options| options.no_cache = true);
    assert!(env.known(&plan).is_none());
    let again = env.build_plan(plan);
    assert_eq!(again.ran().len(), 2);
    assert_eq!(again.outcome("echo 1"), Outcome::Unchanged);
    assert_eq!(again.solution.targets[0].layers, first.solution.targets[0].layers, "times included");
}

fn a_copy_does_not_depend_on_what_it_does_not_read() {
    let env = Env::new();
    env.file("a", "1");
    let first = env.build("FROM base\nRUN echo 1 > /x\nCOPY a /data/\n");
    let second = env.build("FROM base\nRUN echo 2 > /x\nCOPY a /data/\n");
    assert_eq!(second.ran().len(), 1);
    assert_eq!(second.layer_id("COPY"), first.layer_id("COPY"));
    let third = env.build("FROM base\nRUN chmod 700 /data\nCOPY a /data/\n");
    assert_eq!(third.ran().len(), 2);
    assert_eq!(third.stat("/data"), "700 0:0");
}

fn a_hit_needs_no_base_layers() {
    let env = Env::new();
    env.file("a", "1");
    let first = env.build(TEXT);
    let layer = env.store.layer_of_diff_id(&env.base.config.diff_ids()[0]).unwrap().unwrap();
    assert!(env.store.remove_layer(&layer).unwrap());
    let known = env.known(&first.plan).expect("everything is known");
    assert_eq!(known.targets[0].layers, first.solution.targets[0].layers);
    // What misses has it unpacked again.
    env.file("a", "2");
    assert_eq!(env.build(TEXT).read("/x"), "2");
}

fn equal_vertices_run_once() {
    let env = Env::new();
    let built = env.build(
        "FROM base AS a\nRUN echo same >> /x; sleep 0.2\nFROM base AS b\nRUN echo same >> /x; sleep 0.2\n\
         FROM base\nCOPY --from=a /x /a\nCOPY --from=b /x /b\n",
    );
    let ran: Vec<_> = built.ran().into_iter().filter(|name| name.contains("RUN")).collect();
    assert_eq!(ran.len(), 1, "{ran:?}");
}

fn two_builds_at_once_run_it_once() {
    let env = Env::new();
    let plan = env.plan("FROM base\nRUN echo once > /x; sleep 0.2\n");
    let solve = || env.solve(&plan, &Cancel::new(), |_| {}).0.unwrap();
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(solve);
        (solve(), other.join().unwrap())
    });
    assert_eq!(one.targets[0].layers, other.targets[0].layers);
    let ran = [&one, &other].iter().filter(|solution| solution.vertices[1].outcome == Outcome::Ran).count();
    assert_eq!(ran, 1);
}

fn another_checkout_hits() {
    let mut env = Env::new();
    env.file("a", "1").file("d/b", "2");
    let plan = env.build(TEXT).plan;
    env.context = env.store.directory().join("elsewhere");
    env.file("d/b", "2").file("a", "1");
    assert!(env.known(&plan).is_some());
}

fn records_name_their_inputs() {
    let env = Env::new();
    env.file("d/a", "1");
    let built = env.build("FROM base\nENV TOKEN=hidden\nCOPY d /d\nRUN true\n");
    let record = |what: &str| {
        let at = built.plan.vertices.iter().position(|vertex| vertex.name.contains(what)).unwrap();
        let key = built.solution.vertices[at].key.unwrap();
        env.store.record(&store::RecordKey(*key.as_bytes())).unwrap().unwrap().inputs
    };
    let names = |inputs: &[store::RecordInput]| inputs.iter().map(|input| input.name.clone()).collect::<Vec<_>>();
    let copy = record("COPY");
    assert!(names(&copy).contains(&"destination".to_owned()), "{copy:?}");
    let files = copy.iter().find(|input| input.name.starts_with("files ")).unwrap();
    let files = solver::files_of(&env.store, files).unwrap().unwrap();
    assert_eq!(files[0].path, b"d/a");
    let run = record("RUN");
    assert!(names(&run).contains(&"env TOKEN".to_owned()) && names(&run).contains(&"parent".to_owned()));
    assert!(run.iter().all(|input| !input.value.contains("hidden")));
}

/// A key is the same whether the stat index knows the context or not, and whatever was remembered of it.
fn what_is_known_of_a_large_context_is_never_stale() {
    let env = Env::new();
    for n in 0..1100 {
        env.file(&format!("d{}/f{n}", n % 7), format!("{n}"));
    }
    let text = "FROM base\nCOPY . /all\nCOPY --exclude=f1* d1 /part\nADD d2 /x\n";
    let plan = env.build(text).plan;
    let keys = || env.build(text).solution.vertices.iter().map(|vertex| vertex.key).collect::<Vec<_>>();
    let indexes = env.store.root().join("contexts");
    let mut seen = Vec::new();
    for round in 0..6_usize {
        let at = |name: &str| env.context.join(name);
        match round {
            0 => {}
            1 => fs::write(at("d1/f8"), "other").unwrap(),
            2 => fs::remove_file(at("d2/f2")).unwrap(),
            3 => fs::set_permissions(at("d1"), fs::Permissions::from_mode(0o700)).unwrap(),
            4 => fs::rename(at("d3"), at("d8")).unwrap(),
            _ => fs::write(at("d1/f8"), "8").unwrap(),
        }
        // As the index learns of it, then from what is remembered.
        let found: Vec<_> = (0..4).map(|_| keys()).collect();
        fs::read_dir(&indexes).unwrap().for_each(|index| fs::remove_file(index.unwrap().path()).unwrap());
        let fresh = keys();
        assert!(found.iter().all(|found| *found == fresh), "round {round}");
        assert!(!seen.contains(&fresh), "round {round}");
        assert!(env.known(&plan).is_some());
        seen.push(fresh);
    }
}
