//! One computer of a key at a time.
//!
//! A lock is a kernel-held lock on a file of its own, removed by its holder. Who got the lock of a file that was removed
//! meanwhile begins again, so all who hold a key's lock hold it on the one file that has its name.

use std::fs::{File, TryLockError};
use std::io;

use crate::{RecordKey, Result, Store};

/// A file that is locked, and not any more once this is dropped: closing it is not enough, since a process that another
/// thread is just starting has the descriptor, too, until it executes its program.
#[derive(Debug)]
pub(crate) struct Held(File);

impl Held {
    /// Takes over the lock that is held on `file`.
    pub(crate) fn new(file: File) -> Self {
        Self(file)
    }

    /// Lets go of the lock, the file staying open.
    pub(crate) fn release(&self) {
        // The kernel refuses this to nobody who has the file open.
        let _ = self.0.unlock();
    }

    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Keeps a key to one computer of it.
#[derive(Debug)]
pub struct KeyLock {
    store: Store,
    name: String,
    _file: Held,
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // Removed while still locked; a file that stays is found and used by the next.
        let _ = self.store.dir().unlink(&self.name);
    }
}

impl Store {
    /// Waits until no other thread or process computes `key`, and keeps others waiting until the guard is dropped.
    pub fn lock_key(&self, key: &RecordKey) -> Result<KeyLock> {
        self.wait_for(&key.hex())
    }

    /// Like [`lock_key`](Self::lock_key), but `None` if another computes it.
    pub fn try_lock_key(&self, key: &RecordKey) -> Result<Option<KeyLock>> {
        self.lock_named(&key.hex(), false)
    }

    pub(crate) fn wait_for(&self, name: &str) -> Result<KeyLock> {
        loop {
            if let Some(lock) = self.lock_named(name, true)? {
                return Ok(lock);
            }
        }
    }

    pub(crate) fn lock_named(&self, name: &str, wait: bool) -> Result<Option<KeyLock>> {
        let name = format!("locks/{name}");
        loop {
            let file = self.dir().open_or_create(&name)?;
            if !lock(&file, wait).map_err(self.dir().fails("lock", &name))? {
                return Ok(None);
            }
            let status = rustix::fs::fstat(&file).map_err(self.dir().fails("examine", &name))?;
            if status.st_nlink > 0 {
                return Ok(Some(KeyLock { store: self.clone(), name, _file: Held::new(file) }));
            }
        }
    }
}

/// Locks a file; false if another has it and `wait` is not set.
pub(crate) fn lock(file: &File, wait: bool) -> io::Result<bool> {
    loop {
        let result = if wait { file.lock().map_err(TryLockError::Error) } else { file.try_lock() };
        match result {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
