//! Directories that stay from build to build: what `RUN --mount=type=cache` shows.
//!
//! `cache/<key>/<number>/` holds one copy, `cache/<key>/<number>.lock` is locked by whoever uses it: shared or alone. A lock
//! file is never removed while its directory is there.

use std::path::{Path, PathBuf};

use crate::files::DIR_MODE;
use crate::lock::{Held, lock};
use crate::{Error, Result, Store};

/// How a cache is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CacheUse {
    /// Together with others; who uses it alone gets out of the way by being given another copy.
    Shared,
    /// Alone; if the first copy is used, another one.
    Private,
    /// Alone, and always the first copy.
    Locked,
}

/// A cache in use: nobody else gets it in a way that does not fit until this is dropped.
#[derive(Debug)]
pub struct CacheDir {
    path: PathBuf,
    _lock: Held,
}

impl CacheDir {
    /// Returns the directory that `make` filled when the cache was new.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// Takes a cache, or returns `None` where it would have to wait. A new one is first made elsewhere by `make`, in an
    /// empty directory, and then named. `key`: hexadecimal digits.
    pub fn try_cache<E: From<Error>>(
        &self,
        key: &str,
        usage: CacheUse,
        mut make: impl FnMut(&Path) -> Result<(), E>,
    ) -> Result<Option<CacheDir>, E> {
        crate::files::check_component("cache", key)?;
        self.dir().mkdir("cache", DIR_MODE)?;
        let parent = format!("cache/{key}");
        self.dir().mkdir(&parent, DIR_MODE)?;
        let mut number = 0_u32;
        loop {
            let name = format!("{parent}/{number}");
            let lock_name = format!("{name}.lock");
            let file = self.dir().open_or_create(&lock_name)?;
            let free = match usage {
                CacheUse::Shared => match file.try_lock_shared() {
                    Ok(()) => Ok(true),
                    Err(std::fs::TryLockError::WouldBlock) => Ok(false),
                    Err(std::fs::TryLockError::Error(error)) => Err(error),
                },
                CacheUse::Private | CacheUse::Locked => lock(&file, false),
            };
            if free.map_err(self.dir().fails("lock", &lock_name))? {
                let held = Held::new(file);
                self.make_cache(key, &name, &mut make)?;
                return Ok(Some(CacheDir { path: self.dir().full(&name), _lock: held }));
            }
            if usage == CacheUse::Locked {
                return Ok(None);
            }
            number += 1;
        }
    }

    /// Makes a cache unless it is there. Those who share it all come here at once.
    fn make_cache<E: From<Error>>(
        &self,
        key: &str,
        name: &str,
        make: &mut impl FnMut(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let _gate = self.wait_for(&format!("cache-{key}"))?;
        if self.dir().exists(name) {
            return Ok(());
        }
        let temporary = self.temporary()?;
        self.dir().mkdir(&temporary, DIR_MODE)?;
        make(&self.dir().full(&temporary))?;
        self.dir().rename(&temporary, name)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(store: &Store, usage: CacheUse) -> Option<CacheDir> {
        store
            .try_cache("ab", usage, |path| {
                std::fs::write(path.join("seed"), "s").expect("a file");
                Ok::<_, Error>(())
            })
            .expect("a cache")
    }

    #[test]
    fn a_cache_is_seeded_once_and_kept() {
        let root = tempfile::tempdir().expect("a directory");
        let store = Store::open(&root.path().join("store")).expect("a store");
        let first = take(&store, CacheUse::Shared).expect("a free cache");
        let second = take(&store, CacheUse::Shared).expect("a shared cache");
        assert_eq!(first.path(), second.path());
        assert!(first.path().join("seed").exists());
        std::fs::remove_file(first.path().join("seed")).expect("a file");
        drop((first, second));
        assert!(!take(&store, CacheUse::Locked).expect("a free cache").path().join("seed").exists());
    }

    #[test]
    fn private_and_locked_uses_are_alone() {
        let root = tempfile::tempdir().expect("a directory");
        let store = Store::open(&root.path().join("store")).expect("a store");
        let private = take(&store, CacheUse::Private).expect("a free cache");
        let other = take(&store, CacheUse::Private).expect("another copy");
        assert_ne!(private.path(), other.path());
        assert!(take(&store, CacheUse::Locked).is_none());
        let path = private.path().to_owned();
        drop(private);
        let locked = take(&store, CacheUse::Locked).expect("a free cache");
        assert_eq!(locked.path(), path);
        assert_ne!(take(&store, CacheUse::Shared).expect("another copy").path(), path);
    }
}
