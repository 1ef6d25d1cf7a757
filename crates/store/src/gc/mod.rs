//! Collection: what the store holds, why, and what may go.
//!
//! The roots are names of images, containers, and records. Whoever uses the store holds its shared lock, so a collector,
//! who holds it alone, never meets anything that is in use but has no name yet. What goes is told to `removed`, goes in
//! the order records, drafts, flats, layers, blobs (so that a collector that dies leaves nothing that names what is gone), and only
//! moves to `trash/`: deleting is for later, when others may use the store again.
//!
//! Last use is the time of a record's file, set anew by a hit at most once an hour ([`crate::Store::hit`]).

mod measure;
mod reach;
mod removed;
mod select;

use std::collections::BTreeMap;

use image::{Digest, Reference};

pub use select::Policy;

use crate::{DraftId, FlatId, LayerId, RecordKey, Result, Store};

/// Accounts of builds that are kept, newest first, whatever the policy.
const BUILDS: usize = 500;

/// What an [`Item`] is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum What {
    Layer(LayerId),
    Blob(Digest),
    Record(RecordKey),
    /// An image that was built here.
    Draft(DraftId),
    /// Many layers as one directory, which can be made again.
    Flat(FlatId),
    /// A derived value.
    Fact,
    /// The stat index of a build context.
    Context,
    /// The account of a build.
    Build,
    /// The directory of a cache mount.
    CacheMount,
    Volume,
    Container,
    /// Unfinished work and interrupted downloads.
    Temporary,
    Trash,
}

/// Why an [`Item`] is kept.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Holder {
    Name(Reference),
    Container(String),
    /// A record that gives the layer, or the layer that the blob can be used for.
    Record(RecordKey),
}

/// One thing that takes room.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Item {
    pub what: What,
    /// Its path below the root of the store.
    pub path: String,
    /// Bytes on the disk: blocks, files with several names once.
    pub size: u64,
    /// Last use as far as that is known, seconds since 1970.
    pub used: i64,
    pub holders: Vec<Holder>,
}

impl Item {
    /// True if a name or a container keeps it: the cache is not what it is for.
    pub fn is_held(&self) -> bool {
        self.holders.iter().any(|holder| !matches!(holder, Holder::Record(_)))
    }

    /// True if a collection of everything (`--all`) would take it.
    pub fn is_reclaimable(&self) -> bool {
        match self.what {
            What::Volume | What::Container | What::Build => false,
            _ => !self.is_held(),
        }
    }
}

/// What a collection took.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Collected {
    pub items: Vec<Item>,
    /// What the store holds after it.
    pub left: u64,
}

impl Collected {
    /// Returns the bytes that are free again, once the trash is deleted.
    pub fn size(&self) -> u64 {
        self.items.iter().map(|item| item.size).sum()
    }
}

impl Store {
    /// Returns everything that takes room, sorted by kind and name.
    pub fn usage(&self) -> Result<Vec<Item>> {
        measure::items(self, &reach::roots(self)?)
    }

    /// Returns what [`collect`](Self::collect) would take now.
    pub fn collectable(&self, policy: &Policy) -> Result<Collected> {
        let items = self.usage()?;
        Ok(collected(&items, &select::select(&items, policy)))
    }

    /// Moves what the policy gives up to `trash/`, for [`sweep`](Self::sweep) to delete once others may use the store
    /// again. The caller has to hold the store alone ([`Store::exclusive`], [`Store::try_exclusive`]).
    pub fn collect(&self, policy: &Policy) -> Result<Collected> {
        let items = self.usage()?;
        let chosen = select::select(&items, policy);
        let keys = chosen.iter().filter_map(|at| match &items[*at].what {
            What::Record(key) => Some(*key),
            _ => None,
        });
        removed::write(self, &keys.collect::<Vec<_>>(), policy.now)?;
        for at in &chosen {
            self.take_away(&items[*at])?;
        }
        self.drop_empty_names()?;
        self.drop_orphaned_flats()?;
        Ok(collected(&items, &chosen))
    }

    /// Returns when a collection removed a record (seconds since 1970), as far as that is remembered.
    pub fn removed_at(&self, key: &RecordKey) -> Result<Option<i64>> {
        removed::find(self, key)
    }

    fn take_away(&self, item: &Item) -> Result<()> {
        match &item.what {
            What::Layer(id) => self.remove_layer(id).map(drop),
            What::Flat(id) => self.remove_flat(id),
            What::Blob(digest) => self.remove_blob(digest).map(drop),
            What::Record(_) | What::Draft(_) | What::Fact | What::Context | What::Build => {
                self.dir().unlink(&item.path).map(drop)
            }
            What::Container if self.is_locked(&format!("{}/lock", item.path))? => Ok(()),
            What::CacheMount => self.discard(&item.path).map(drop),
            What::Container => match self.discard(&item.path) {
                // Who ran it needs no lock of the store to remove it, and was faster.
                Err(_) if !self.dir().exists(&item.path) => Ok(()),
                discarded => discarded.map(drop),
            },
            // Sweeping deletes them.
            What::Temporary | What::Trash | What::Volume => Ok(()),
        }
    }

    /// True for the lock of a container that runs, or is just being removed by who ran it.
    fn is_locked(&self, name: &str) -> Result<bool> {
        Ok(self.dir().open_file(name)?.is_some_and(|file| file.try_lock().is_err()))
    }

    /// Removes diff IDs whose layer is gone.
    fn drop_empty_names(&self) -> Result<()> {
        for hex in self.dir().list("diffs")? {
            if let Ok(digest) = format!("sha256:{hex}").parse()
                && self.layer_of_diff_id(&digest)?.is_none()
            {
                self.dir().unlink(&format!("diffs/{hex}"))?;
            }
        }
        Ok(())
    }
}

fn collected(items: &[Item], chosen: &[usize]) -> Collected {
    let total: u64 = items.iter().map(|item| item.size).sum();
    let items: Vec<Item> = chosen.iter().map(|at| items[*at].clone()).collect();
    let taken: u64 = items.iter().map(|item| item.size).sum();
    Collected { items, left: total.saturating_sub(taken) }
}

/// Who holds what.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    pub(crate) layers: BTreeMap<LayerId, Vec<Holder>>,
    pub(crate) blobs: BTreeMap<Digest, Vec<Holder>>,
    pub(crate) drafts: BTreeMap<DraftId, Vec<Holder>>,
    /// Records by file: the key and the layer, `None` if it is useless.
    pub(crate) records: BTreeMap<String, (RecordKey, Option<LayerId>)>,
}

#[cfg(test)]
mod tests;
