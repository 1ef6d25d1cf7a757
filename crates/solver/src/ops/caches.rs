//! The caches of a command (`RUN --mount=type=cache`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::Metadata;
use plan::{Cache, CacheDirectory, CacheSharing, Input, MountKind, Run};
use store::{CacheDir, CacheUse};

use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, plain_root};
use crate::local::{LocalWorker, PATIENCE};
use crate::ops::mounts::copy_for_mount;
use crate::select::{Selection, Wanted};
use crate::session::input_of;
use crate::worker::Job;
use crate::write::dress_root;

/// Where the content of a cache is in its directory: it may be a file.
const CONTENT: &str = "mount";

/// What a command holds while it runs, by the key of each cache.
#[derive(Debug, Default)]
pub(super) struct Caches(BTreeMap<String, CacheDir>);

impl Caches {
    /// Takes all caches of a command, or none: who waits for one holds no other.
    pub(super) fn take(worker: &LocalWorker<'_>, job: Job<'_>, run: &Run) -> Result<Self> {
        let mut wanted: BTreeMap<String, &Cache> = BTreeMap::new();
        for mount in &run.mounts {
            let MountKind::Cache(cache) = &mount.kind else { continue };
            // Mounted twice, it is held once, as strictly as either asks for.
            let known = wanted.entry(key(worker, job, cache)?).or_insert(cache);
            if cache.sharing > known.sharing {
                *known = cache;
            }
        }
        loop {
            job.check_canceled()?;
            if let Some(caches) = Self::try_take(worker, job, &wanted)? {
                return Ok(caches);
            }
            std::thread::sleep(PATIENCE);
        }
    }

    fn try_take(worker: &LocalWorker<'_>, job: Job<'_>, wanted: &BTreeMap<String, &Cache>) -> Result<Option<Self>> {
        let mut caches = Self::default();
        for (key, cache) in wanted {
            let usage = match cache.sharing {
                CacheSharing::Shared => CacheUse::Shared,
                CacheSharing::Private => CacheUse::Private,
                CacheSharing::Locked => CacheUse::Locked,
            };
            let taken = worker.store().try_cache(key, usage, |path| make(worker, job, cache, path))?;
            let Some(taken) = taken else { return Ok(None) };
            caches.0.insert(key.clone(), taken);
        }
        Ok(Some(caches))
    }

    /// Returns what is mounted for `cache`.
    pub(super) fn path(&self, worker: &LocalWorker<'_>, job: Job<'_>, cache: &Cache) -> Result<PathBuf> {
        let taken = self.0.get(&key(worker, job, cache)?).ok_or(SolveErrorKind::Plan("a cache that was not taken"))?;
        Ok(taken.path().join(CONTENT))
    }
}

/// Names a cache: by its id and by what it was made as. Of one `from`, two `source`s are two caches. BuildKit has one there, of
/// all of `from`, and mounts a part of it, which is the same unless one part is within the other.
fn key(worker: &LocalWorker<'_>, job: Job<'_>, cache: &Cache) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(cache.id.len() as u64).to_le_bytes());
    hasher.update(cache.id.as_bytes());
    if let Some(CacheDirectory { mode, uid, gid }) = cache.directory {
        for number in [mode, uid, gid] {
            hasher.update(&number.to_le_bytes());
        }
    }
    if let Some((input, path)) = &cache.base {
        let input = input_of(job.vertex(), *input)?;
        hasher.update(&selection(worker, job, input, path)?.mounted());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn selection(worker: &LocalWorker<'_>, job: Job<'_>, input: &Input, path: &str) -> Result<std::sync::Arc<Selection>> {
    worker.session.selection(job.results, input, Wanted::mount(path))
}

/// Fills a new cache.
fn make(worker: &LocalWorker<'_>, job: Job<'_>, cache: &Cache, directory: &Path) -> Result<()> {
    let content = directory.join(CONTENT);
    let default = plain_root().metadata;
    let Some((input, path)) = &cache.base else {
        let fail = |source| SolveErrorKind::Write { action: "create", path: content.clone(), source };
        fs::create_dir(&content).map_err(fail)?;
        let made = cache.directory.map_or(default.clone(), |CacheDirectory { mode, uid, gid }| Metadata {
            mode,
            uid,
            gid,
            ..default
        });
        return dress_root(&content, &made, worker.disk);
    };
    let input = input_of(job.vertex(), *input)?;
    let selection = selection(worker, job, input, path)?;
    match input {
        Input::Context(name) => seed(worker, job, worker.session.contexts.need(name)?, &selection, directory)?,
        Input::Vertex(id) => {
            let root = worker.session.need_root(job.results, Some(*id))?;
            seed(worker, job, root.files(), &selection, directory)?;
        }
        Input::Empty => {
            let root = worker.session.need_root(job.results, None)?;
            seed(worker, job, root.files(), &selection, directory)?;
        }
    }
    let seeded = selection.taken.first().map_or(default, |taken| taken.root.metadata.clone());
    dress_root(&content, &seeded, worker.disk)
}

fn seed(
    worker: &LocalWorker<'_>,
    job: Job<'_>,
    files: &dyn Files,
    selection: &Selection,
    directory: &Path,
) -> Result<()> {
    copy_for_mount(worker, job, files, selection, directory).map(drop)
}
