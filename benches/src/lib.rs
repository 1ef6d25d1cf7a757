//! Benchmarks, in `benches/`; this library is empty. `peers/` holds the comparison with other builders.
