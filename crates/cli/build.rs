//! How the binary is linked.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Of the 3 ms that an empty command took, one was spent on moving the program to a random address: 30,000 relocations on 130
    // pages, which each process that is forked would copy once more. Static targets have start files of another kind.
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
