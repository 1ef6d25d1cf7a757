//! Text to AST to plan: a Dockerfile of 300 lines, and hostile ones of 64 KiB. All times are CPU time. At the end stands what
//! the goals are and how near the slowest came.

#![expect(clippy::print_stderr, reason = "it is a program for people")]

mod cpu;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use cpu::CpuTime;
use criterion::measurement::Measurement;
use criterion::{Bencher, BenchmarkGroup, Criterion, criterion_group, criterion_main};
use dockerfile::{Diagnostics, Sources};
use image::Platform;
use plan::{Bases, Limits, Options, RunNetwork};

/// Thirty stages of ten lines.
fn text() -> String {
    let mut text = String::new();
    for stage in 0..30 {
        let base = if stage == 0 { "scratch".to_owned() } else { format!("s{}", stage - 1) };
        writeln!(text, "FROM {base} AS s{stage}").expect("memory");
        for line in 0..3 {
            writeln!(text, "ENV KEY_{stage}_{line}=\"value ${{OTHER:-default}}\"").expect("memory");
            writeln!(text, "RUN make target-{line} && \\\n    echo done # {stage}").expect("memory");
        }
    }
    text
}

fn options() -> Options {
    Options {
        target: None,
        build_args: BTreeMap::new(),
        labels: Vec::new(),
        contexts: BTreeMap::new(),
        platforms: Vec::new(),
        build_platform: Platform::host(),
        no_cache: false,
        no_cache_filter: BTreeSet::new(),
        network: RunNetwork::Default,
        entitlements: plan::Entitlements::default(),
        limits: Limits::default(),
    }
}

/// Files that ask for more than their size: of each a name and a text of at most 64 KiB.
fn texts() -> Vec<(&'static str, String)> {
    let stage = |text: String| format!("FROM scratch\n{text}\n");
    let lines = |line: &dyn Fn(usize) -> String, count: usize| stage((0..count).map(line).collect());
    let long = |name: &str, length: usize| format!("ENV {name}={}\n", "a".repeat(length));
    let nested = |open: &str, close: &str, depth: usize| format!("{}x{}", open.repeat(depth), close.repeat(depth));
    vec![
        ("open expansions", stage(format!("ENV A={}", "${a:-".repeat(12_000)))),
        ("expansions 1000 deep", stage(format!("ENV A={}", nested("${a:-", "}", 1_000)))),
        ("expansions side by side", stage(format!("ENV A={}", "${a:-b}".repeat(9_000)))),
        ("expansions 90 deep side by side", stage(format!("ENV A={}", nested("${a:-", "}", 90).repeat(110)))),
        ("quoted expansions", stage(format!("ENV A={}", "\"${a:-'b'}\"".repeat(5_500)))),
        ("nested patterns", stage(format!("ENV A={}", nested("${a/", "/x}", 90).repeat(90)))),
        ("nested prefixes", stage(format!("ENV A={}", nested("${a#", "}", 90).repeat(130)))),
        ("stars", stage(format!("{}ENV B=${{A//{}b/x}}", long("A", 30_000), "a*".repeat(16_000)))),
        ("question marks", stage(format!("{}ENV B=${{A//{}b/x}}", long("A", 30_000), "?".repeat(32_000)))),
        ("patterns on patterns", stage(format!("{}{}", long("A", 30_000), "ENV B=${A//${A}b/x}\n".repeat(1_700)))),
        ("prefixes that are all", stage(format!("{}{}", long("A", 30_000), "USER x${A##*}\n".repeat(2_400)))),
        ("suffixes that are not", stage(format!("{}{}", long("A", 30_000), "USER x${A%%b*}\n".repeat(2_200)))),
        ("growing replacements", stage(format!("{}{}", long("A", 1_000), "ENV A=${A//a/aa}\n".repeat(3_700)))),
        ("replacements in replacements", stage(format!("{}USER {}", long("A", 20), nested("${A///$B$0", "}", 90)))),
        (
            "long replacements",
            stage(format!("{}{}", long("A", 20), "USER ${A///${A///${A///${A///${A///$0 ${A}$0}}}}}\n".repeat(1_200))),
        ),
        ("doubled values", stage(format!("{}{}", long("A", 1_000), "ENV A=$A$A\n".repeat(5_600)))),
        ("a long value for each step", stage(format!("{}{}", long("A", 30_000), "RUN a\n".repeat(5_600)))),
        ("an argument for each step", lines(&|n| format!("ARG A{n}=b\nRUN a\n"), 3_500)),
        ("near names of variables", lines(&|n| format!("ENV VARIABLE{n}=a\nUSER $VARIABLES{n}\n"), 1_500)),
        (
            "many variables in a word",
            stage(format!("ENV A={}", (0..10_000).map(|n| format!("$A{n}")).collect::<String>())),
        ),
        ("many names", stage(format!("ENV {}", "A=b ".repeat(16_000)))),
        ("many labels", lines(&|n| format!("LABEL l{n}=a\n"), 4_500)),
        ("heredocs without bodies", stage(format!("RUN {}", "<<A ".repeat(16_000)))),
        ("heredocs of one line", stage(format!("RUN {}\n{}", "<<A ".repeat(10_000), "A\n".repeat(10_000)))),
        ("many heredocs", stage("RUN <<A\nb\nA\n".repeat(5_000))),
        (
            "copies of one heredoc",
            stage(format!("COPY {} /\n{}{}\nA\n", "<<A ".repeat(6_000), "A\n".repeat(5_999), "b".repeat(27_000))),
        ),
        ("less-than signs", stage(format!("RUN {}", "<".repeat(64_000)))),
        ("signs of heredocs", stage(format!("RUN {}", "<< ".repeat(21_000)))),
        ("continuations", stage(format!("RUN {}", "a\\\n".repeat(21_000)))),
        ("words on lines of their own", stage(format!("ENV {}", "A=b \\\n".repeat(9_000)))),
        ("empty continuations", stage(format!("RUN a \\\n{}", "\n".repeat(64_000)))),
        ("comments in continuations", stage(format!("RUN a \\\n{}", "#\n".repeat(32_000)))),
        ("comments", stage(format!("{}RUN a", "#a\n".repeat(21_000)))),
        ("flags", stage(format!("RUN {} a", "--mount=type=tmpfs,target=/a ".repeat(2_200)))),
        ("unknown flags", stage(format!("RUN {} a", "--moumt=a ".repeat(6_400)))),
        ("fields of a mount", stage(format!("RUN --mount={}target=/a a", "ro,".repeat(21_000)))),
        ("one array", stage(format!("CMD [{}\"a\"]", "\"a\",".repeat(16_000)))),
        ("arrays", stage("CMD [\"a\",\"b\"]\n".repeat(4_200))),
        ("open arrays", stage(format!("CMD {}", "[".repeat(64_000)))),
        ("arrays that are none", stage(format!("CMD [{}1", "\"a\",".repeat(16_000)))),
        ("ports", stage("EXPOSE 0-65535\n".repeat(4_200))),
        ("volumes", stage(format!("VOLUME {}", "a ".repeat(32_000)))),
        ("sources", stage(format!("COPY {} /", "a ".repeat(32_000)))),
        ("exclusions", stage(format!("COPY {} a b", "--exclude=*a*b ".repeat(4_000)))),
        ("stages", "FROM scratch\n".repeat(5_000)),
        ("a chain of stages", format!("FROM scratch AS s\n{}", "FROM s AS s\nCMD a\n".repeat(3_200))),
        (
            "copies from all stages",
            (0..1_500).map(|n| format!("FROM scratch AS s{n}\nCOPY --from={} a b\n", n.max(1) - 1)).collect(),
        ),
        ("triggers", stage("ONBUILD RUN a\n".repeat(4_600))),
        ("directories", stage("WORKDIR a\n".repeat(6_500))),
        ("checks", stage("HEALTHCHECK CMD a\n".repeat(3_500))),
        ("unknown instructions", stage("ENTRYPIONT a\n".repeat(5_000))),
        ("commands", stage("CMD a\n".repeat(10_000))),
        ("open quotes", stage(format!("ENV A={}", "\"'".repeat(31_000)))),
        ("control characters", stage(format!("RUN {}", "\u{1}".repeat(64_000)))),
    ]
}

/// Everything that is done with a text before anything runs.
fn read(text: &str) {
    let mut sources = Sources::default();
    let source = sources.add("Dockerfile", text);
    let mut diagnostics = Diagnostics::default();
    let ast = dockerfile::parse(&source, &mut diagnostics);
    if diagnostics.has_errors() {
        return;
    }
    dockerfile::lint(&ast, &mut diagnostics);
    let missing = plan::bases(&ast, &Bases::new(), &options(), &mut sources, &mut diagnostics);
    assert!(missing.is_empty());
    if !diagnostics.has_errors() {
        black_box(plan::lower(&ast, &Bases::new(), &options(), &mut sources, &mut diagnostics));
    }
    dockerfile::lint::retain(&ast, &mut diagnostics);
}

/// The times that are promised, and the slowest of what they are promised for.
struct Goal {
    what: &'static str,
    limit: Duration,
    slowest: Option<(Duration, String)>,
}

impl Goal {
    fn new(what: &'static str, limit: Duration) -> Self {
        Self { what, limit, slowest: None }
    }

    /// Measures `read` under a name, the quickest run of all: what is slower had to wait for others.
    fn measure(&mut self, group: &mut BenchmarkGroup<'_, CpuTime>, name: &str, mut read: impl FnMut()) {
        let mut best: Option<Duration> = None;
        let mut run = |bencher: &mut Bencher<'_, CpuTime>| {
            bencher.iter_custom(|count| {
                let start = CpuTime.start();
                (0..count).for_each(|_| read());
                let took = CpuTime.end(start);
                let one = took.div_f64(count as f64);
                best = Some(best.map_or(one, |best| best.min(one)));
                took
            });
        };
        group.bench_function(name, &mut run);
        self.slowest = self.slowest.take().max(best.map(|best| (best, name.to_owned())));
    }

    fn print(&self) {
        let Some((took, name)) = &self.slowest else { return };
        let verdict = if *took < self.limit { "met" } else { "MISSED" };
        eprintln!(
            "goal {verdict}: {} in less than {:?}; the slowest, \"{name}\", takes {took:.2?}",
            self.what, self.limit
        );
    }
}

fn usual(c: &mut Criterion<CpuTime>) {
    let text = text();
    let lines = text.lines().count();
    let mut sources = Sources::default();
    let source = sources.add("Dockerfile", text.as_str());
    let ast = dockerfile::parse(&source, &mut Diagnostics::default());
    let mut group = c.benchmark_group(format!("{lines} lines"));
    group.bench_function("parse", |b| {
        b.iter(|| dockerfile::parse(black_box(&source), &mut Diagnostics::default()));
    });
    group.bench_function("lower", |b| {
        b.iter(|| {
            let plan = plan::lower(&ast, &Bases::new(), &options(), &mut sources.clone(), &mut Diagnostics::default());
            assert!(black_box(plan).is_some());
        });
    });
    let mut goal = Goal::new("300 lines are parsed and lowered", Duration::from_millis(1));
    goal.measure(&mut group, "parse and lower", || {
        let mut sources = sources.clone();
        let mut diagnostics = Diagnostics::default();
        let ast = dockerfile::parse(black_box(&source), &mut diagnostics);
        black_box(plan::lower(&ast, &Bases::new(), &options(), &mut sources, &mut diagnostics));
    });
    group.bench_function("parse, find bases, lint and lower", |b| b.iter(|| read(black_box(&text))));
    group.finish();
    goal.print();
}

fn hostile(c: &mut Criterion<CpuTime>) {
    let mut goal = Goal::new("64 KiB of a hostile file are", Duration::from_millis(100));
    let mut group = c.benchmark_group("hostile");
    group.sample_size(10).measurement_time(Duration::from_millis(500)).warm_up_time(Duration::from_millis(100));
    for (name, text) in texts() {
        assert!(text.len() <= 64 << 10, "{name}: {} bytes", text.len());
        goal.measure(&mut group, name, || read(black_box(&text)));
    }
    group.finish();
    goal.print();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = usual, hostile
}
criterion_main!(benches);
