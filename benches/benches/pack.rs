//! A layer of mixed data to a blob: tar, hash, compress, on one thread and on all.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::layer::{Compression, Ids, OverlayXattr, PackOptions, pack, scan_tree};

const FILES: usize = 256;
const SIZE: usize = 128 << 10;

fn bench(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    for file in 0..FILES {
        // Text that compresses about as source code does.
        let data: Vec<u8> = (0..SIZE).map(|i| b"the quick brown fox "[(i * (file + 7) / 3 + i % 11) % 20]).collect();
        fs::write(directory.path().join(format!("{file}")), data).expect("a file");
    }
    let tree = File::open(directory.path()).expect("a directory");
    let index = scan_tree(tree.as_fd(), OverlayXattr::Trusted, Ids::Keep).expect("an index");
    let mut group = c.benchmark_group("pack 32 MiB");
    group.throughput(Throughput::Bytes((FILES * SIZE) as u64));
    group.sample_size(10);
    let gzip = Compression::default();
    for (name, compression, threads) in [
        ("gzip, 1 thread", gzip, NonZeroUsize::new(1)),
        ("gzip, all threads", gzip, None),
        ("none", Compression::None, None),
    ] {
        let options = PackOptions { compression, threads, ..PackOptions::default() };
        group.bench_function(name, |b| {
            b.iter(|| pack(&index, tree.as_fd(), std::io::sink(), &options).expect("packed"));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
