//! Started by `cargo xtask fuzz expand`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::expand::check(data));
