//! Stores that go away.

use std::ops::Deref;

use store::Store;
use tempfile::TempDir;

/// A store in a temporary directory, removed on drop.
#[derive(Debug)]
pub struct TempStore {
    store: Store,
    directory: TempDir,
}

/// Makes an empty store.
pub fn store() -> TempStore {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let store = Store::open(&directory.path().join("store")).expect("an empty directory becomes a store");
    TempStore { store, directory }
}

impl TempStore {
    /// Returns the directory around the store, for other files of the test.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }
}

impl Deref for TempStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}
