//! 30 × `RUN true`, cold: what a step costs beside its command. Divide by 30.

mod process;

use std::fs;

use criterion::{Criterion, criterion_group, criterion_main};
use process::Place;

fn steps(c: &mut Criterion) {
    let place = Place::new();
    let context = place.path().join("context");
    fs::create_dir_all(&context).expect("a directory");
    // Each differs: steps that consume the same and do the same are one.
    let steps: String = (0..30).map(|n| format!("RUN [\"true\", \"{n}\"]\n")).collect();
    fs::write(context.join("Dockerfile"), format!("FROM busybox\n{steps}")).expect("a file");
    let context = context.to_str().expect("UTF-8");
    let mut group = c.benchmark_group("steps: 30 RUN");
    group.sample_size(20);
    group.bench_function("cold", |b| b.iter(|| place.run(&["build", "--progress=plain", "--no-cache", context])));
    group.bench_function("cached", |b| b.iter(|| place.run(&["build", "--progress=plain", context])));
    group.bench_function("floor: kiln --version", |b| b.iter(|| place.run(&["--version"])));
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
