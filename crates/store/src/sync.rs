//! Power loss: nothing is synced step by step.
//!
//! Before a process gives anything a name, it puts a *mark* into `dirty/`: an empty file named after this boot of the
//! machine, locked while the process lives. [`Store::sync`] brings everything to the disk with one `syncfs` and takes
//! the marks away that it covered; [`sync_left`] does so for a process that did not wait for it. So a mark of an earlier boot
//! says that names given after it may stand for data that was lost: they are verified when the store is next opened
//! ([`crate::recover`]). A clean store has no `dirty/`.
//!
//! Filesystems with a journal keep the order of names: a mark is on the disk before the names it stands for. The boot
//! is in its name, since the data of a small file may come late.

use std::path::Path;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::files::{Dir, random_hex};
use crate::lock::{Held, lock};
use crate::{Error, Result, Store, fault, recover};

const DIRTY: &str = "dirty";

/// Takes the place of the boot in the name of a mark when the disk did not take what it stands for: no boot is called so.
const LOST: &str = "lost";

/// The mark of this process, if it has written since its last sync.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    mark: RwLock<Option<Mark>>,
}

#[derive(Debug)]
struct Mark {
    name: String,
    _lock: Held,
}

impl Marks {
    fn read(&self) -> RwLockReadGuard<'_, Option<Mark>> {
        self.mark.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Mark>> {
        self.mark.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Makes everything written so far survive a power loss (one `syncfs`), and takes the marks away that say otherwise.
    /// Does nothing if this process wrote nothing since the last time.
    pub fn sync(&self) -> Result<()> {
        // From here on, whoever writes makes a new mark: the old one covers only what has its name.
        let Some(mark) = self.inner.marks.write().take() else { return Ok(()) };
        let covered = marks_of_dead(self.dir())?;
        if let Err(error) = sync_filesystem(self.dir()) {
            self.inner.marks.write().get_or_insert(mark);
            return Err(error);
        }
        self.dir().unlink(&mark.name)?;
        remove_marks(self.dir(), &covered)
    }

    /// Leaves what this process wrote to [`sync_left`], as if it had ended; false if there is nothing.
    pub fn leave_sync(&self) -> bool {
        self.inner.marks.write().take().is_some()
    }

    /// Gives what is at `from` its name. Every name that has to outlive a power loss is given here.
    pub(crate) fn name(&self, from: &str, to: &str) -> Result<()> {
        let _marked = self.marked()?;
        self.dir().rename(from, to)
    }

    /// Waits for a mark of this process and keeps it until the guard is dropped.
    fn marked(&self) -> Result<RwLockReadGuard<'_, Option<Mark>>> {
        loop {
            let mark = self.inner.marks.read();
            if mark.is_some() {
                return Ok(mark);
            }
            drop(mark);
            let mut mark = self.inner.marks.write();
            if mark.is_none() {
                *mark = Some(self.mark()?);
            }
        }
    }

    fn mark(&self) -> Result<Mark> {
        let temporary = self.temporary()?;
        let file = self.dir().create(&temporary)?;
        lock(&file, true).map_err(self.dir().fails("lock", &temporary))?;
        let file = Held::new(file);
        let name = format!("{DIRTY}/{}_{}", boot_id(), random_hex::<8>()?);
        self.dir().rename(&temporary, &name)?;
        Ok(Mark { name, _lock: file })
    }

    /// Verifies what a power loss may have taken, once.
    pub(crate) fn recover_if_unclean(&self) -> Result<()> {
        if !self.dir().exists(DIRTY) || self.marks_before_boot()?.is_empty() {
            return Ok(());
        }
        let _alone = self.wait_for("recovery")?;
        let marks = self.marks_before_boot()?;
        let mut since = i64::MAX;
        for mark in &marks {
            since = since.min(self.dir().stat(mark)?.map_or(0, |stat| stat.st_mtime));
        }
        if marks.is_empty() {
            return Ok(());
        }
        recover::verify_since(self, since)?;
        sync_filesystem(self.dir())?;
        remove_marks(self.dir(), &marks)
    }

    /// Returns the marks of an earlier boot. On a shared disk another machine has another boot, and holds its marks.
    fn marks_before_boot(&self) -> Result<Vec<String>> {
        let of_this_boot = format!("{DIRTY}/{}_", boot_id());
        let foreign = |name: &String| !name.starts_with(&of_this_boot);
        if !self.dir().list(DIRTY)?.iter().any(|name| foreign(&format!("{DIRTY}/{name}"))) {
            return Ok(Vec::new());
        }
        Ok(marks_of_dead(self.dir())?.into_iter().filter(foreign).collect())
    }
}

/// Brings to the disk what processes have written to the store at `root` that have ended without [`Store::sync`], or left it ([`Store::leave_sync`]), for whoever did not want
/// to wait for it. Takes no lock: nobody waits for this either. What cannot be written is lost as by a power loss: whatever is
/// younger than the marks is verified when the store is next opened.
///
/// # Errors
/// If there is no store, or what was written has not come to the disk.
pub fn sync_left(root: &Path) -> Result<()> {
    let dir = Dir::open(root).map_err(|source| Error::Open { root: root.to_owned(), source })?;
    let covered = marks_of_dead(&dir)?;
    if covered.is_empty() {
        return Ok(());
    }
    if let Err(error) = sync_filesystem(&dir) {
        for mark in &covered {
            dir.rename(mark, &format!("{DIRTY}/{LOST}_{}", random_hex::<8>()?))?;
        }
        return Err(error);
    }
    remove_marks(&dir, &covered)
}

fn sync_filesystem(dir: &Dir) -> Result<()> {
    let synced = fault::point().and_then(|()| Ok(rustix::fs::syncfs(dir.fd())?));
    synced.map_err(dir.fails("sync", "."))
}

/// Returns the marks that nobody holds any more.
fn marks_of_dead(dir: &Dir) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for name in dir.list(DIRTY)? {
        let name = format!("{DIRTY}/{name}");
        // Shared: others who look at the same time are not to be taken for its holder.
        if let Some(file) = dir.open_file(&name)?
            && file.try_lock_shared().is_ok()
        {
            drop(Held::new(file));
            names.push(name);
        }
    }
    Ok(names)
}

fn remove_marks(dir: &Dir, names: &[String]) -> Result<()> {
    names.iter().try_for_each(|name| dir.unlink(name).map(drop))?;
    dir.rmdir(DIRTY).map(drop)
}

/// Returns what names this boot of the machine (random(4), `boot_id`).
fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let id: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        if id.is_empty() { "unknown".to_owned() } else { id }
    })
}

#[cfg(test)]
#[path = "sync_tests.rs"]
mod tests;
