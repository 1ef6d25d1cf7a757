//! How image bytes travel: names are resolved, manifests and layers pulled into the store and pushed from it.
//!
//! ```text
//! Reference ─ routes ─► endpoints: mirrors, then the registry
//!                         │ http: scheme, certificates, redirects, retries      auth: challenge ─► token or password
//!                         ▼
//!              pull: manifest ─► platform ─► configuration ─► layers, resumed and verified ─► store
//!              push: layers, configuration ─► manifest ─► index                             ◄─ store
//! ```
//!
//! A [`Registry`] costs nothing until its first request; calls block, and must not be made from an asynchronous task.
//! A credential goes to the registry it is for, and to the token server that registry names over a connection nobody
//! can listen to; never anywhere else, and never into a message.

mod auth;
mod authorization;
mod clock;
mod download;
mod endpoint;
mod error;
mod fetch;
mod file;
pub mod git;
mod http;
mod pull;
mod push;
mod routes;
mod secret;
mod slots;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use image::{Descriptor, Digest, ImageConfig, ImageManifest, Platform, Reference};

pub use authorization::Authorization;
pub use clock::Clock;
pub use error::{Cause, Error};
pub use file::{FileAnswer, FileInfo, FileRequest, Validators};

use clock::SystemClock;
use endpoint::Endpoint;
use http::Http;
use slots::Slots;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Transfers at once, unless the caller says otherwise.
const DEFAULT_CONCURRENCY: usize = 4;

/// Where to look and as whom. Files are read when first needed; what is not there is empty.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--registry-mirror HOST=MIRROR`; the mirror may have a scheme and a path.
    pub mirrors: Vec<(String, String)>,
    /// Docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// `registries.conf` and directories of such, later ones going first.
    pub registries_conf: Vec<PathBuf>,
    /// Hosts, with or without a port, whose certificates are not verified and that may speak plain HTTP.
    pub insecure: Vec<String>,
    /// Directories like `/etc/docker/certs.d`.
    pub certs_dirs: Vec<PathBuf>,
    /// Transfers at once; 0 for the default.
    pub concurrency: usize,
    /// What git may know of the caller.
    pub git: git::GitOptions,
}

/// Registries as they can be reached from here. Cheap to clone; one per process is enough.
#[derive(Clone, Debug)]
pub struct Registry {
    http: Arc<Http>,
    slots: Arc<Slots>,
    concurrency: usize,
    known: Arc<Mutex<Known>>,
    git: git::Git,
}

/// What was learned on the way.
#[derive(Debug, Default)]
struct Known {
    /// Mirrors that could not be reached.
    down: HashSet<String>,
    /// Which repository of a host has a blob: it can be mounted from there.
    sources: HashMap<(String, Digest), String>,
}

/// An image whose tag has done its work.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// The name with the digest of what it stands for.
    pub reference: Reference,
    /// What the name stands for: the index of an image for several platforms, else the manifest.
    pub root: Descriptor,
    /// The manifest for the platform.
    pub descriptor: Descriptor,
    pub manifest: ImageManifest,
    pub config: ImageConfig,
    /// What the configuration says, which may differ from what was asked for if there was no choice.
    pub platform: Platform,
}

/// Who wants to know how far transfers are. Called from several threads at once.
pub trait Progress: Sync {
    /// `done` of `total` bytes of a blob are here, or there.
    fn bytes(&self, digest: &Digest, done: u64, total: u64);
}

/// Nobody.
#[derive(Clone, Copy, Debug)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn bytes(&self, _digest: &Digest, _done: u64, _total: u64) {}
}

impl Registry {
    /// Returns a way to registries. Nothing is read, started or sent yet.
    pub fn new(options: Options) -> Self {
        Self::with_clock(options, Arc::new(SystemClock))
    }

    /// Returns a way to registries that waits by another clock.
    pub fn with_clock(options: Options, clock: Arc<dyn Clock>) -> Self {
        let concurrency = if options.concurrency == 0 { DEFAULT_CONCURRENCY } else { options.concurrency };
        Self {
            http: Arc::new(Http::new(&options, clock)),
            slots: Arc::new(Slots::new(concurrency)),
            concurrency,
            known: Arc::default(),
            git: git::Git::new(options.git),
        }
    }

    /// Returns the way to git repositories.
    pub fn git(&self) -> &git::Git {
        &self.git
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn is_down(&self, host: &str) -> bool {
        self.known().down.contains(host)
    }

    fn note_down(&self, host: &str, error: &Error) {
        if matches!(error, Error::Unreachable { .. }) {
            self.known().down.insert(host.to_owned());
        }
    }

    fn note_source(&self, endpoint: &Endpoint, digest: Digest) {
        self.known().sources.insert((endpoint.host.clone(), digest), endpoint.repository.clone());
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
