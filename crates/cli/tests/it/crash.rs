//! Stopped or refused at one system call after the other, nothing with a name is harmed and the next command works.
//!
//! `strace` kills the process when one of its threads makes its n-th call of a kind, or lets that call fail with ENOSPC
//! or EIO. Afterwards all that has a name is read and verified, the command is given again, and the image is the same.
//! `KILN_CRASH_POINTS` says how many of the points are tried: a number (spread evenly) or `all`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::FakeRegistry;

use crate::environment::{Ran, TestEnv, has, is_root, ran, tool};

/// System calls that change something, and `openat`, which may.
const CALLS: [&str; 27] = [
    "openat",
    "openat2",
    "write",
    "pwrite64",
    "writev",
    "copy_file_range",
    "sendfile",
    "ftruncate",
    "fallocate",
    "mkdirat",
    "mknodat",
    "symlinkat",
    "linkat",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchownat",
    "utimensat",
    "fsetxattr",
    "setxattr",
    "lsetxattr",
    "syncfs",
    "flock",
];
const SAMPLE: usize = 60;
/// What connects the network of steps has no part in the store: its calls are not to be counted.
const NETWORK: &str = "--network=none";
const DOCKERFILE: &str = "FROM scratch AS one\nCOPY busybox /bin/sh\nCOPY tree /tree\nRUN [\"/bin/sh\", \"-c\", \"echo 1 > /tree/made\"]\n\
    FROM one\nWORKDIR /w\nCOPY --from=one /tree/made /w/\nRUN [\"/bin/sh\", \"-c\", \"echo 2 > /w/other\"]\n";

/// A command, and what stands in the store before it.
struct Scene {
    name: &'static str,
    before: PathBuf,
    arguments: Vec<String>,
    id: String,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    NoSpace,
    Io,
}

/// The n-th call of a kind by one thread.
#[derive(Clone, Copy)]
struct Point<'a> {
    scene: &'a Scene,
    call: &'static str,
    number: usize,
    fault: Fault,
}

impl Point<'_> {
    /// Most `write`s of a pull wake a thread through an eventfd, which is no file and knows no such errors.
    fn is_nonsense(&self) -> bool {
        self.scene.name == "pull" && self.call == "write" && !matches!(self.fault, Fault::Kill)
    }
}

impl fmt::Display for Point<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} at {} {}", self.scene.name, self.fault, self.call, self.number)
    }
}

/// One home and context for all; each point has a store of its own.
struct Stage {
    env: TestEnv,
    registry: FakeRegistry,
}

impl Stage {
    fn command(&self, store: &Path, arguments: &[String], strace: &[String]) -> Command {
        let mut command = self.env.command([]);
        let program = command.get_program().to_owned();
        if let [strace, rest @ ..] = strace {
            let mut traced = Command::new(strace);
            traced.args(rest).arg(program).env_clear();
            traced.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            traced.current_dir(self.env.path("context"));
            command = traced;
        }
        // Otherwise a step that is run again gives other times, so another digest.
        command.args(arguments).env("KILN_ROOT", store).env("SOURCE_DATE_EPOCH", "1000000000").stdin(Stdio::null());
        command
    }

    fn run(&self, store: &Path, arguments: &[&str]) -> Ran {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        ran(self.command(store, &arguments, &[]).output().expect("kiln starts"))
    }

    fn id(&self, store: &Path) -> String {
        let shown: serde_json::Value =
            serde_json::from_str(&self.run(store, &["inspect", "test"]).ok().stdout).expect("JSON");
        shown[0]["Id"].as_str().expect("an id").to_owned()
    }

    fn scenes(&self) -> Vec<Scene> {
        let host = self.registry.host();
        let remote = format!("{host}/test:latest");
        let (empty, built) = (self.env.path("empty"), self.env.path("built"));
        let pruned = self.env.path("to-prune");
        self.run(&empty, &["images"]).ok();
        let build = ["build", NETWORK, "-q", "-t", "test", "."];
        self.run(&built, &build).ok();
        self.run(&built, &["save", "-o", self.env.path("saved.tar").to_str().expect("UTF-8"), "test"]).ok();
        self.run(&built, &["tag", "test", &remote]).ok();
        self.run(&built, &["push", &remote]).ok();
        copy(&built, &pruned);
        self.env.file("tree/one", "changed for a moment");
        self.run(&pruned, &["build", NETWORK, "-q", "-t", "other", "."]).ok();
        self.run(&pruned, &["rmi", "other"]).ok();
        self.env.file("tree/one", "1");
        let id = self.id(&built);
        let scene = |name, before: &Path, arguments: &[&str]| Scene {
            name,
            before: before.to_owned(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            id: id.clone(),
        };
        let saved = self.env.path("saved.tar");
        let again = self.env.path("again.tar");
        vec![
            scene("build", &empty, &build),
            scene("load", &empty, &["load", "-i", saved.to_str().expect("UTF-8")]),
            scene("pull", &empty, &["pull", &remote]),
            scene("save", &built, &["save", "-o", again.to_str().expect("UTF-8"), "test"]),
            scene("prune", &pruned, &["prune", "-af"]),
        ]
    }

    /// Every call of every thread that gets so far, as one run makes them.
    fn points<'a>(&self, scene: &'a Scene) -> Vec<Point<'a>> {
        let store = self.env.path(&format!("count-{}", scene.name));
        copy(&scene.before, &store);
        let log = self.env.path(&format!("log-{}", scene.name));
        let trace = format!("trace={}", CALLS.map(|call| format!("?{call}")).join(","));
        let strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", log.to_str().expect("UTF-8"), "-e", &trace]
            .map(str::to_owned);
        let counted = ran(self.command(&store, &scene.arguments, &strace).output().expect("strace starts"));
        assert_eq!(counted.code, 0, "{}: {}", scene.name, counted.stderr);
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let log = std::fs::read_to_string(&log).expect("a log");
        for line in log.lines() {
            // `PID call(…`; a call that another thread interrupted has a second line, which has no such form.
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
            *counts.entry((call, thread)).or_default() += 1;
        }
        let mut most: BTreeMap<&'static str, usize> = BTreeMap::new();
        for ((call, _), count) in counts {
            if let Some(call) = CALLS.iter().find(|known| **known == call) {
                let most = most.entry(call).or_default();
                *most = (*most).max(count);
            }
        }
        let faults = [Fault::Kill, Fault::NoSpace, Fault::Io];
        let point = |call, number, fault| Point { scene, call, number, fault };
        most.into_iter()
            .flat_map(|(call, most)| (1..=most).map(move |number| (call, number)))
            .flat_map(|(call, number)| faults.map(|fault| point(call, number, fault)))
            .filter(|point| !point.is_nonsense())
            .collect()
    }

    /// Says whether the command was ended by it, or what went wrong.
    fn attempt(&self, point: Point<'_>, store: &Path) -> Result<bool, String> {
        let _ = std::fs::remove_dir_all(store);
        copy(&point.scene.before, store);
        let what = match point.fault {
            Fault::Kill => "signal=KILL",
            Fault::NoSpace => "error=ENOSPC",
            Fault::Io => "error=EIO",
        };
        let inject = format!("inject={}:{what}:when={}", point.call, point.number);
        let trace = format!("trace={}", point.call);
        // Not with --seccomp-bpf: a signal would be lost there.
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let hurt =
            ran(self.command(store, &point.scene.arguments, &strace.map(str::to_owned)).output().expect("strace"));
        let check = |what: &str, ran: Ran| match ran.code {
            0 => Ok(ran),
            code => Err(format!("{what} ends with {code}: {}{}", ran.stdout, ran.stderr)),
        };
        if hurt.stderr.contains("panicked") {
            return Err(hurt.stderr);
        }
        check("du --verify", self.run(store, &["du", "--verify"]))?;
        let arguments: Vec<&str> = point.scene.arguments.iter().map(String::as_str).collect();
        check("the command again", self.run(store, &arguments))?;
        check("du --verify, after it", self.run(store, &["du", "--verify"]))?;
        // A pulled image has the name of its registry.
        check("build", self.run(store, &["build", NETWORK, "-q", "-t", "test", "."]))?;
        let id = self.id(store);
        if id == point.scene.id {
            Ok(hurt.code != 0)
        } else {
            Err(format!("the image is {id} instead of {}", point.scene.id))
        }
    }
}

fn copy(from: &Path, to: &Path) {
    tool(Command::new("cp").arg("-a").arg(from).arg(to));
}

#[test]
fn stopped_at_any_call_nothing_is_lost() {
    if !is_root() {
        eprintln!("skipped: what is traced has no set-uid programs, which a user namespace needs");
        return;
    }
    if !has("strace") {
        return;
    }
    let stage = Stage { env: TestEnv::new(), registry: FakeRegistry::start() };
    std::fs::copy("/bin/busybox", stage.env.path("context/busybox")).expect("busybox-static is installed");
    stage.env.file("Dockerfile", DOCKERFILE);
    for (name, content) in [("one", "1"), ("two", ""), ("d/three", "333")] {
        stage.env.file(&format!("tree/{name}"), content);
    }
    let scenes = stage.scenes();
    let points: Vec<Point<'_>> = scenes.iter().flat_map(|scene| stage.points(scene)).collect();
    let wanted = match std::env::var("KILN_CRASH_POINTS") {
        Err(_) => SAMPLE,
        Ok(text) if text == "all" => points.len(),
        Ok(text) => text.parse().expect("KILN_CRASH_POINTS is a number or `all`"),
    };
    let step = points.len().div_ceil(wanted.max(1)).max(1);
    // Points come in threes, one for each fault: a multiple of three would try one of them alone.
    let step = if step > 1 && step.is_multiple_of(3) { step + 1 } else { step };
    let chosen: Vec<Point<'_>> = points.iter().copied().step_by(step).collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let ended = [AtomicUsize::new(0), AtomicUsize::new(0)];
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (stage, chosen, next, ended, failed) = (&stage, &chosen, &next, &ended, &failed);
            scope.spawn(move || {
                let store = stage.env.path(&format!("store-{worker}"));
                while let Some(point) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match stage.attempt(*point, &store) {
                        Ok(hurt) => {
                            let ended = &ended[usize::from(matches!(point.fault, Fault::Kill))];
                            ended.fetch_add(usize::from(hurt), Ordering::Relaxed);
                        }
                        Err(reason) => {
                            eprintln!("{point}: {reason}");
                            failed.lock().expect("no panic").push(point.to_string());
                        }
                    }
                }
            });
        }
    });
    let [failures, killed] = ended.map(AtomicUsize::into_inner);
    let kills = chosen.iter().filter(|point| matches!(point.fault, Fault::Kill)).count();
    eprintln!(
        "{} of {} points tried; {killed} of {kills} kills and {failures} of {} failing calls ended the command",
        chosen.len(),
        points.len(),
        chosen.len() - kills
    );
    assert!(killed * 2 > kills && failures * 4 > chosen.len() - kills, "hardly any fault is met");
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "{} of {} points:\n{}", failed.len(), chosen.len(), failed.join("\n"));
}
