//! Layers from the outside: into a directory, out of one, and what other programs make of them.

mod apply;
mod compress;
mod foreign;
mod hostile;
mod index;
mod overlay;
mod pack;
mod roundtrip;
mod scan;
mod support;
mod userns;
