//! Temporary files: one directory under `tmp/` for each process, held by a lock while the process lives.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use crate::files::{DIR_MODE, Dir, random_hex};
use crate::lock::Held;
use crate::open::Inner;
use crate::{Error, Result, Store, trash};

/// Only names of this shape are ever taken for leftovers.
const PREFIX: &str = "p-";

/// How long an interrupted download is kept.
const PARTIAL_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The directory of this process, locked.
#[derive(Debug)]
pub(crate) struct ProcessDir {
    pub(crate) name: String,
    _lock: Held,
}

impl ProcessDir {
    /// Makes the directory. While it does, it holds `tmp/` itself shared, so that a sweep never sees it unlocked.
    pub(crate) fn new(dir: &Dir) -> Result<Self> {
        let gate = open_dir(dir, "tmp")?;
        gate.lock_shared().map_err(dir.fails("lock", "tmp"))?;
        let _gate = Held::new(gate);
        let name = format!("tmp/{PREFIX}{}", random_hex::<8>()?);
        dir.mkdir(&name, DIR_MODE)?;
        let lock = open_dir(dir, &name)?;
        lock.lock().map_err(dir.fails("lock", &name))?;
        Ok(Self { name, _lock: Held::new(lock) })
    }
}

fn open_dir(dir: &Dir, name: &str) -> Result<File> {
    Ok(dir.open_dir(name).map_err(dir.fails("open", name))?.into())
}

impl Drop for Inner {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(process) = process {
            let _ = self.dir.rmdir(&process.name);
        }
    }
}

/// A private temporary directory.
#[derive(Debug)]
pub struct Scratch {
    store: Store,
    name: String,
    path: PathBuf,
}

impl Scratch {
    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how many bytes there is room for.
    pub fn free_space(&self) -> Result<u64> {
        let disk = rustix::fs::statvfs(&self.path).map_err(|source| Error::io("examine", &self.path, source))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be deleted now is deleted by a later sweep.
        if let Ok(discarded) = self.store.discard(&self.name) {
            let _ = trash::remove(self.store.dir(), &discarded);
        }
    }
}

impl Store {
    /// Makes a private directory under `tmp/` that is moved to `trash/` and deleted on drop.
    pub fn scratch(&self) -> Result<Scratch> {
        let name = self.temporary()?;
        self.dir().mkdir(&name, DIR_MODE)?;
        let path = self.dir().full(&name);
        Ok(Scratch { store: self.clone(), name, path })
    }

    /// Returns a name under `tmp/` that nothing has.
    pub(crate) fn temporary(&self) -> Result<String> {
        let mut process = self.inner.process.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.inner.counter.fetch_add(1, Ordering::Relaxed);
        if process.is_none() {
            *process = Some(ProcessDir::new(self.dir())?);
        }
        let directory = process.as_ref().map_or("tmp", |process| &process.name);
        Ok(format!("{directory}/{count}"))
    }

    /// Moves something to `trash/` and returns its name there.
    pub(crate) fn discard(&self, name: &str) -> Result<String> {
        let to = format!("trash/{}", random_hex::<8>()?);
        self.dir().rename(name, &to)?;
        Ok(to)
    }

    /// Clears away what dead processes left, and what is in `trash/`. For the end of a command that wrote something.
    /// What this process may not delete stays for one that may.
    pub fn sweep(&self) -> Result<()> {
        self.sweep_processes()?;
        self.sweep_partials()?;
        self.sweep_locks()?;
        trash::empty(self.dir())
    }

    fn sweep_processes(&self) -> Result<()> {
        let gate = open_dir(self.dir(), "tmp")?;
        if gate.try_lock().is_err() {
            return Ok(());
        }
        let _gate = Held::new(gate);
        for name in self.dir().list("tmp")?.into_iter().filter(|name| name.starts_with(PREFIX)) {
            let name = format!("tmp/{name}");
            // The kernel lets go of a lock when its holder dies, however it dies.
            let dead = open_dir(self.dir(), &name).is_ok_and(|dir| dir.try_lock().is_ok());
            if dead && let Err(error) = self.discard(&name) {
                tracing::debug!(%error, name, "leftovers stay");
            }
        }
        Ok(())
    }

    fn sweep_partials(&self) -> Result<()> {
        for name in self.dir().list("tmp/partial")? {
            let Ok(digest) = format!("sha256:{name}").parse() else { continue };
            let Some(file) = self.dir().open_file(&format!("tmp/partial/{name}"))? else { continue };
            let modified = file.metadata().and_then(|metadata| metadata.modified());
            let old = modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > PARTIAL_AGE));
            if (old || self.has_blob(&digest)) && file.try_lock().is_ok() {
                let _held = Held::new(file);
                self.dir().unlink(&format!("tmp/partial/{name}"))?;
            }
        }
        Ok(())
    }

    fn sweep_locks(&self) -> Result<()> {
        for name in self.dir().list("locks")? {
            // Taking the lock and letting go of it removes the file.
            drop(self.lock_named(&name, false)?);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "scratch_tests.rs"]
mod tests;
