//! Started by `cargo xtask fuzz ignore`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::ignore::check(data));
