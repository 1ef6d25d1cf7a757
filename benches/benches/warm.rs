//! A rebuild with nothing to do: 13 steps, a context of 2,000 files, the whole process. The number people feel.

mod process;

use std::fs;

use criterion::{Criterion, criterion_group, criterion_main};
use process::Place;

const DOCKERFILE: &str = "FROM busybox AS base\nENV A=1\nWORKDIR /app\nRUN echo 1 > /1\nRUN echo 2 > /2\nRUN echo 3 > /3\n\
FROM base AS build\nCOPY src src\nRUN cat src/d0/f0 > out\nRUN echo 4 > /4\n\
FROM base\nCOPY --from=build /app/out /out\nCOPY src/d1 /d1\nRUN echo 5 > /5\nRUN echo 6 > /6\nCOPY Dockerfile /\nCMD [\"sh\"]\n";

fn warm(c: &mut Criterion) {
    let place = Place::new();
    let context = place.path().join("context");
    for directory in 0..20 {
        let directory = context.join(format!("src/d{directory}"));
        fs::create_dir_all(&directory).expect("a directory");
        for file in 0..100 {
            fs::write(directory.join(format!("f{file}")), format!("file {file}\n").repeat(50)).expect("a file");
        }
    }
    fs::write(context.join("Dockerfile"), DOCKERFILE).expect("a file");
    let build = ["build", "--progress=plain", "-t", "warm", context.to_str().expect("UTF-8")];
    place.run(&build);
    // Files written in the same instant as the stat index are read again once.
    place.run(&build);
    c.bench_function("warm: 13 steps, 2,000 files", |b| b.iter(|| place.run(&build)));
}

criterion_group!(benches, warm);
criterion_main!(benches);
