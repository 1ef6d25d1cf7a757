//! What the command line says that decides the plan.

use std::collections::{BTreeMap, BTreeSet};

use image::{Platform, Reference};

use crate::op::{Limits, RunNetwork};

/// The options of a build.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Option<String>,
    pub build_args: BTreeMap<String, String>,
    /// `--label`, put last.
    pub labels: Vec<(String, String)>,
    /// `--build-context`.
    pub contexts: BTreeMap<String, NamedContext>,
    /// Target platforms; empty: the build platform.
    pub platforms: Vec<Platform>,
    pub build_platform: Platform,
    pub no_cache: bool,
    /// Stage names or numbers.
    pub no_cache_filter: BTreeSet<String>,
    pub network: RunNetwork,
    pub limits: Limits,
}

/// What a named context is, as far as a plan needs to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NamedContext {
    /// A directory; its files are read by the solver.
    Directory,
    /// An image (a registry's, the store's, or one imported from an OCI layout under that name).
    Image(Reference),
}
