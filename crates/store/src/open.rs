//! Opening a store: the layout, its version, its lock.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use image::layer::Index;
use rustix::io::Errno;

use crate::files::{DIR_MODE, Dir};
use crate::flat::FlatId;
use crate::lock::Held;
use crate::scratch::ProcessDir;
use crate::sync::Marks;
use crate::{Error, LayerId, Result};

/// The version of everything in a store.
pub(crate) const FORMAT: &str = "kiln store 1";

/// Its first line is [`FORMAT`]. It is also what the store's lock is held on: it is made once and never replaced.
const FORMAT_FILE: &str = "format";

/// The directories of a store.
const LAYOUT: [&str; 15] = [
    "blobs",
    "builds",
    "cache",
    "containers",
    "contexts",
    "diffs",
    "drafts",
    "facts",
    "flats",
    "layers",
    "locks",
    "records",
    "refs",
    "tmp",
    "trash",
];

/// What a directory may hold and still become a store: what an interrupted [`lay_out`] leaves, and what a fresh
/// filesystem has.
const TOLERATED: [&str; 1] = ["lost+found"];

/// A handle on a store; cheap to clone, safe to use from many threads. Holds the shared lock.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) dir: Dir,
    pub(crate) marks: Marks,
    pub(crate) process: Mutex<Option<ProcessDir>>,
    pub(crate) counter: AtomicU64,
    /// Every index that was read or made, once for all threads.
    pub(crate) indexes: Mutex<HashMap<LayerId, Arc<Index>>>,
    /// The same of flats.
    pub(crate) flats: Mutex<HashMap<FlatId, Arc<Index>>>,
    /// The open `format` file with the store's lock.
    lock: Held,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("root", &self.dir.path()).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Shared,
    Exclusive,
    TryExclusive,
}

impl Store {
    /// Gives up the store's lock although handles are still there: for a process that from now on only waits for another
    /// one to do its work. It must not read or write the store any more.
    pub fn release(&self) {
        self.inner.lock.release();
    }

    /// Opens the store at `root`, making it if missing, and takes the shared lock.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, Mode::Shared)?.ok_or_else(|| busy(root))
    }

    /// Opens the store at `root` alone, to remove what others could be using: waits until nobody has it open. Must not
    /// be called by who has it open.
    pub fn exclusive(root: &Path) -> Result<Self> {
        Self::open_with(root, Mode::Exclusive)?.ok_or_else(|| busy(root))
    }

    /// Opens the store at `root` alone; `None` if somebody has it open.
    pub fn try_exclusive(root: &Path) -> Result<Option<Self>> {
        Self::open_with(root, Mode::TryExclusive)
    }

    /// Returns the directory of the store, an absolute path.
    pub fn root(&self) -> &Path {
        self.dir().path()
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.inner.dir
    }

    fn open_with(root: &Path, mode: Mode) -> Result<Option<Self>> {
        let fails = |source| Error::Open { root: root.to_owned(), source };
        let root = std::path::absolute(root).map_err(fails)?;
        let dir = match Dir::open(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&root).map_err(fails)?,
            result => result.map_err(fails)?,
        };
        let mut format = match dir.open_file(FORMAT_FILE)? {
            Some(file) => file,
            None => lay_out(&dir)?,
        };
        if !lock(&format, mode).map_err(fails)? {
            return Ok(None);
        }
        check_format(&mut format, &root)?;
        let inner = Inner {
            dir,
            marks: Marks::default(),
            process: Mutex::default(),
            counter: AtomicU64::new(0),
            indexes: Mutex::default(),
            flats: Mutex::default(),
            lock: Held::new(format),
        };
        let store = Self { inner: Arc::new(inner) };
        store.recover_if_unclean()?;
        Ok(Some(store))
    }
}

fn busy(root: &Path) -> Error {
    Error::Open { root: root.to_owned(), source: io::ErrorKind::ResourceBusy.into() }
}

fn lock(file: &File, mode: Mode) -> io::Result<bool> {
    loop {
        let result = match mode {
            Mode::Shared => file.lock_shared(),
            Mode::Exclusive => file.lock(),
            Mode::TryExclusive => match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(error)) => Err(error),
                Ok(()) => Ok(()),
            },
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(|()| true),
        }
    }
}

/// Makes the root directory and those above it.
fn make(root: &Path) -> io::Result<Dir> {
    if let Some(parent) = root.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match rustix::fs::mkdir(root, DIR_MODE) {
        Ok(()) | Err(Errno::EXIST) => Dir::open(root),
        Err(error) => Err(error.into()),
    }
}

/// Makes what a store has in an empty directory; several processes may do so at once. The `format` file comes last.
fn lay_out(dir: &Dir) -> Result<File> {
    let known = |name: &str| TOLERATED.contains(&name) || LAYOUT.contains(&name);
    let names = dir.list_raw(".")?;
    if let Some(found) =
        names.iter().map(|name| name.to_string_lossy()).find(|name| !known(name) && name != FORMAT_FILE)
    {
        return Err(Error::NotAStore { root: dir.path().to_owned(), found: found.into_owned() });
    }
    LAYOUT.iter().chain(&["blobs/sha256", "tmp/partial"]).try_for_each(|name| dir.mkdir(name, DIR_MODE).map(drop))?;
    // A link, not a rename: the first one stays, so that all lock the same file.
    let process = ProcessDir::new(dir)?;
    let temporary = format!("{}/{FORMAT_FILE}", process.name);
    dir.write(&temporary, format!("{FORMAT}\n").as_bytes())?;
    dir.link(&temporary, FORMAT_FILE)?;
    dir.unlink(&temporary)?;
    dir.rmdir(&process.name)?;
    dir.open_file(FORMAT_FILE)?.ok_or_else(|| dir.fails("open", FORMAT_FILE)(Errno::NOENT))
}

fn check_format(file: &mut File, root: &Path) -> Result<()> {
    let mut bytes = Vec::with_capacity(64);
    file.take(63).read_to_end(&mut bytes).map_err(|error| Error::io("read", root.join(FORMAT_FILE), error))?;
    let text = String::from_utf8_lossy(&bytes);
    let found = text.lines().next().unwrap_or_default();
    if found == FORMAT {
        return Ok(());
    }
    Err(Error::Format { root: root.to_owned(), found: found.to_owned() })
}

impl Store {
    /// Returns the directory of containers.
    pub fn containers(&self) -> PathBuf {
        self.dir().full("containers")
    }
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
