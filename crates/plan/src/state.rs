//! What a stage has come to, instruction by instruction, and what the next one inherits.

use dockerfile::word::Variables as _;
use image::{ImageConfig, Platform};

use crate::base::ResolvedBase;
use crate::env::{Arguments, Env, List, split};
use crate::ports::Ports;
use crate::{HistoryLine, VertexId, path};

/// Where commands are looked for if nobody says anything else.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) root: Option<VertexId>,
    /// All of it but `Env`, which is `exported`, and what `ports` add.
    pub(crate) config: ImageConfig,
    /// Its `WorkingDir`, clean.
    directory: String,
    /// `ENV`: what containers see.
    pub(crate) exported: List,
    /// `ENV` and `ARG` together: what commands and expansions see.
    pub(crate) env: Env,
    pub(crate) arguments: Arguments,
    /// `EXPOSE`, without those of the base, which are in `config`.
    pub(crate) ports: Ports,
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
        let directory = std::mem::take(&mut config.config.working_dir);
        let actual = base.config.platform();
        let mut state = Self::new(config, platform, Some(root));
        state.enter(&directory);
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
        Self {
            directory: path::clean(&config.config.working_dir),
            root,
            config,
            exported,
            env,
            arguments: Arguments::default(),
            ports: Ports::default(),
            has_workdir: false,
            platform,
            machine,
        }
    }

    /// Starts from a finished stage.
    pub(crate) fn stage(mut self) -> Self {
        self.config.config.on_build.clear();
        self
    }

    /// Returns the directory that relative paths start from.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// Changes the working directory. The configuration has an absolute path as it is written.
    pub(crate) fn enter(&mut self, path: &str) {
        if path.is_empty() {
            return;
        }
        self.directory = path::join(&self.directory, path);
        let written = if path.starts_with('/') { path } else { &self.directory };
        written.clone_into(&mut self.config.config.working_dir);
    }

    /// Returns about how many bytes a copy takes.
    pub(crate) fn size(&self) -> usize {
        let labels = &self.config.config.labels;
        let labels: usize =
            labels.iter().map(|(name, value)| size_of::<(String, String)>() + name.len() + value.len()).sum();
        let volumes = &self.config.config.volumes;
        let volumes: usize = volumes.keys().map(|path| size_of::<String>() + path.len()).sum();
        // The variables of the image are there twice.
        self.env.variables().size() + self.exported.size() + self.arguments.size() + labels + volumes
    }

    /// Sets a variable of the image.
    pub(crate) fn export(&mut self, name: &str, value: String) {
        self.exported.set(name, &value);
        self.arguments.assign(name, &value);
        self.env.set(name, value);
    }

    /// Declares an `ARG`. If it is a variable, that is what the history shows.
    pub(crate) fn declare(&mut self, name: &str, value: Option<&str>) {
        let value = self.env.get(name).or(value).unwrap_or_default();
        self.arguments.declare(name, value);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_working_directory_stays_as_it_is_written() {
        let mut state = State::scratch(&Platform::host());
        let mut check = |path: &str, written: &str, directory: &str| {
            state.enter(path);
            assert_eq!((state.config.config.working_dir.as_str(), state.directory()), (written, directory), "{path}");
        };
        check("", "/", "/");
        check("srv/", "/srv", "/srv");
        check("/app//./", "/app//./", "/app");
        check("", "/app//./", "/app");
        check(".", "/app", "/app");
        check("../lib", "/lib", "/lib");
    }
}
