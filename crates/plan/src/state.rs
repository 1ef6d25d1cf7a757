//! What a stage has come to, instruction by instruction, and what the next one inherits.

use image::{ImageConfig, Platform};

use crate::base::ResolvedBase;
use crate::env::{Env, List, split};
use crate::{HistoryLine, VertexId};

/// Where commands are looked for if nobody says anything else.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) root: Option<VertexId>,
    /// All of it but `Env`, which is `exported`.
    pub(crate) config: ImageConfig,
    /// `ENV`: what containers see.
    pub(crate) exported: List,
    /// `ENV` and `ARG` together: what commands and expansions see.
    pub(crate) env: Env,
    /// The values of `ARG`s as declared, in order, for the history.
    pub(crate) arguments: Vec<(String, Option<String>)>,
    /// A `WORKDIR` stands in the file: the next one may be relative.
    pub(crate) has_workdir: bool,
    pub(crate) platform: Platform,
    /// What its programs are made for: of an image for another platform than was asked for, that image's.
    pub(crate) machine: Platform,
}

impl State {
    /// Starts from nothing (reference: section 5, "Initial config for scratch").
    pub(crate) fn scratch(platform: &Platform) -> Self {
        let mut config = ImageConfig {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            ..ImageConfig::default()
        };
        "/".clone_into(&mut config.config.working_dir);
        Self::new(config, platform.clone(), None)
    }

    /// Starts from an image, for `platform`.
    pub(crate) fn image(base: &ResolvedBase, platform: Platform, root: VertexId) -> Self {
        let mut config = base.config.clone();
        config.created = None;
        config.config.on_build.clear();
        if config.architecture.is_empty() {
            platform.architecture.clone_into(&mut config.architecture);
        }
        if config.os.is_empty() {
            platform.os.clone_into(&mut config.os);
        }
        config.config.working_dir = crate::path::working_directory("", &config.config.working_dir);
        let actual = base.config.platform();
        let mut state = Self::new(config, platform, Some(root));
        if !base.config.architecture.is_empty() && actual.rank_for(&state.machine).is_none() {
            state.machine = actual;
        }
        state
    }

    fn new(mut config: ImageConfig, platform: Platform, root: Option<VertexId>) -> Self {
        let mut exported = List::new(std::mem::take(&mut config.config.env));
        if !exported.contains("PATH") {
            exported.set("PATH", DEFAULT_PATH);
        }
        let mut env = Env::default();
        for (key, value) in exported.items().iter().map(|pair| split(pair)) {
            env.set(key, value);
        }
        let machine = platform.clone();
        Self { root, config, exported, env, arguments: Vec::new(), has_workdir: false, platform, machine }
    }

    /// Starts from a finished stage.
    pub(crate) fn stage(mut self) -> Self {
        self.config.config.on_build.clear();
        self
    }

    /// Returns the directory that relative paths start from.
    pub(crate) fn directory(&self) -> &str {
        match self.config.config.working_dir.as_str() {
            "" => "/",
            directory => directory,
        }
    }

    /// True if an `ARG` of this name has been declared, here or in a stage below.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.arguments.iter().any(|(declared, _)| declared == name)
    }
}

/// A lowered stage, as much of it as others need.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) root: Option<VertexId>,
    /// The stage it was made from: its history comes first.
    pub(crate) parent: Option<usize>,
    pub(crate) history: Vec<HistoryLine>,
    /// Until the last stage that is made from it has taken it.
    pub(crate) state: Option<State>,
}
