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
    /// What a `RUN` may ask for beyond the default.
    pub entitlements: Entitlements,
    pub limits: Limits,
}

/// What a `RUN` may ask for beyond the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Entitlements {
    pub network_host: bool,
    pub security_insecure: bool,
}

impl Entitlements {
    /// Their names, as `--allow` takes them.
    pub const NETWORK_HOST: &'static str = "network.host";
    pub const SECURITY_INSECURE: &'static str = "security.insecure";
}

/// What a named context is, as far as a plan needs to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NamedContext {
    /// A directory; its files are read by the solver.
    Directory,
    /// An image (a registry's, the store's, or one imported from an OCI layout under that name).
    Image(Reference),
}
