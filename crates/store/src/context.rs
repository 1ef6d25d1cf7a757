//! Stat indexes of build contexts, and accounts of builds.

use crate::files::check_component;
use crate::seal::{self, Kind};
use crate::{Result, Store};

const LIMIT: u64 = 1 << 30;

impl Store {
    /// Returns the stat index last written for a context.
    pub fn context_index(&self, id: &str) -> Result<Option<Vec<u8>>> {
        check_component("context", id)?;
        let Some(mut bytes) = self.dir().read(&format!("contexts/{id}"), LIMIT)? else { return Ok(None) };
        let Some((value, rest)) = seal::open(Kind::Context, id, &bytes) else {
            tracing::warn!(id, "a damaged index of a context is ignored");
            return Ok(None);
        };
        // In place: it may be large.
        let (start, end) = (bytes.len() - rest.len() - value.len(), bytes.len() - rest.len());
        bytes.truncate(end);
        bytes.drain(..start);
        Ok(Some(bytes))
    }

    /// Replaces the stat index of a context.
    pub fn put_context_index(&self, id: &str, bytes: &[u8]) -> Result<()> {
        check_component("context", id)?;
        self.put_file(&format!("contexts/{id}"), &seal::seal(Kind::Context, id, bytes))
    }

    /// Writes the account of a finished build.
    pub fn put_build(&self, id: &str, bytes: &[u8]) -> Result<()> {
        check_component("build", id)?;
        // Without a mark: nobody misses an account that a power loss has taken, and one that is damaged is none.
        let temporary = self.temporary()?;
        self.dir().write(&temporary, bytes)?;
        self.dir().rename(&temporary, &format!("builds/{id}"))
    }

    /// Returns the account of a build.
    pub fn build(&self, id: &str) -> Result<Option<Vec<u8>>> {
        check_component("build", id)?;
        self.dir().read(&format!("builds/{id}"), LIMIT)
    }

    /// Returns the ids of all builds that have an account, sorted.
    pub fn builds(&self) -> Result<Vec<String>> {
        self.dir().list("builds")
    }
}

#[cfg(test)]
mod tests {
    use crate::{Error, Store};

    #[test]
    fn an_index_is_replaced_and_a_damaged_one_is_none() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        assert_eq!(store.context_index("a").unwrap(), None);
        store.put_context_index("a", b"one").unwrap();
        store.put_context_index("a", b"two").unwrap();
        assert_eq!(store.context_index("a").unwrap().unwrap(), b"two");
        std::fs::write(root.path().join("contexts/a"), b"garbage").unwrap();
        assert_eq!(store.context_index("a").unwrap(), None);
    }

    #[test]
    fn builds_are_listed_and_read() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        store.put_build("b", b"2").unwrap();
        store.put_build("a", b"1").unwrap();
        assert_eq!(store.builds().unwrap(), ["a", "b"]);
        assert_eq!(store.build("a").unwrap().unwrap(), b"1");
        assert_eq!(store.build("c").unwrap(), None);
    }

    #[test]
    fn a_name_stays_in_its_directory() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        for name in ["", ".", "..", "../a", "a/b", ".a", "a\0b", "a b"] {
            assert!(matches!(store.put_build(name, b""), Err(Error::InvalidName { .. })), "{name:?}");
            assert!(matches!(store.context_index(name), Err(Error::InvalidName { .. })), "{name:?}");
        }
    }
}
