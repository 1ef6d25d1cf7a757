//! Text to AST to plan: a Dockerfile of 300 lines, and a hostile one of 64 KiB.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
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

fn parse(c: &mut Criterion) {
    let text = text();
    let mut sources = Sources::default();
    let source = sources.add("Dockerfile", text.as_str());
    c.bench_function(&format!("parse {} lines", text.lines().count()), |b| {
        b.iter(|| dockerfile::parse(black_box(&source), &mut Diagnostics::default()));
    });
    let ast = dockerfile::parse(&source, &mut Diagnostics::default());
    c.bench_function("lower", |b| {
        b.iter(|| {
            let plan = plan::lower(&ast, &Bases::new(), &options(), &mut sources.clone(), &mut Diagnostics::default());
            assert!(black_box(plan).is_some());
        });
    });
    let hostile = format!("FROM scratch\nENV A={}", "${a:-".repeat(12_000));
    let source = sources.add("hostile", hostile.as_str());
    c.bench_function("parse 64 KiB of nested expansions", |b| {
        b.iter(|| dockerfile::parse(black_box(&source), &mut Diagnostics::default()));
    });
}

criterion_group!(benches, parse);
criterion_main!(benches);
