//! Which items a policy gives up. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{BUILDS, Holder, Item, RecordKey, What};

/// Days that a stat index or a derived value is kept without being used; both are made again when they are missed.
const DERIVED_DAYS: i64 = 30;
const DAY: i64 = 24 * 3600;

/// What may go besides that which nothing reaches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// The time of the collection, seconds since 1970.
    pub now: i64,
    /// All of the cache that no name and no container keeps.
    pub all: bool,
    /// Only what was last used before; then of the cache, too.
    pub until: Option<i64>,
    /// Of the cache only as much as is needed for the store to fit, least recently used first.
    pub keep_storage: Option<u64>,
    /// What nothing reaches stays for so many seconds after it was made.
    pub grace: i64,
}

impl Policy {
    fn is_old(&self, item: &Item) -> bool {
        self.until.is_none_or(|until| item.used < until)
    }

    /// True for what may go if nothing reaches it.
    fn is_abandoned(&self, item: &Item) -> bool {
        item.holders.is_empty() && self.is_old(item) && item.used <= self.now.saturating_sub(self.grace)
    }

    /// True if the cache is to shrink at all.
    fn takes_cache(&self) -> bool {
        self.all || self.until.is_some() || self.keep_storage.is_some()
    }
}

/// Returns the items to take, in the order in which to take them: records first, then drafts, flats, layers, blobs and the rest.
pub(super) fn select(items: &[Item], policy: &Policy) -> Vec<usize> {
    let mut choice = Choice { items, policy, taken: BTreeSet::new(), gone: BTreeSet::new() };
    choice.unreached();
    if policy.takes_cache() {
        choice.cache();
    }
    let mut taken: Vec<usize> = choice.taken.into_iter().collect();
    taken.sort_by_key(|at| rank(&items[*at].what));
    taken
}

fn rank(what: &What) -> u8 {
    match what {
        What::Record(_) => 0,
        What::Draft(_) => 1,
        What::Flat(_) => 2,
        What::Layer(_) => 3,
        What::Blob(_) => 4,
        _ => 5,
    }
}

struct Choice<'a> {
    items: &'a [Item],
    policy: &'a Policy,
    taken: BTreeSet<usize>,
    gone: BTreeSet<RecordKey>,
}

impl Choice<'_> {
    /// What nothing reaches, and derived values out of use.
    fn unreached(&mut self) {
        let builds: Vec<usize> = self.all_of(|what| matches!(what, What::Build));
        self.taken.extend(&builds[..builds.len().saturating_sub(BUILDS)]);
        let stale = self.policy.now - DERIVED_DAYS * DAY;
        for (at, item) in self.items.iter().enumerate() {
            let goes = match item.what {
                What::Layer(_) | What::Blob(_) | What::Container | What::Record(_) => self.policy.is_abandoned(item),
                // Nothing but a name leads to it.
                What::Draft(_) => item.holders.is_empty(),
                What::Fact | What::Context => self.is_stale(item, stale),
                What::Flat(_) => item.holders.is_empty() && self.is_stale(item, stale),
                What::CacheMount => self.policy.all && self.policy.is_old(item),
                _ => false,
            };
            if goes {
                self.taken.insert(at);
            }
        }
    }

    fn is_stale(&self, item: &Item, stale: i64) -> bool {
        item.used < stale || self.policy.all && self.policy.is_old(item)
    }

    /// Records that may go, the least recently used first, and with the last record of a layer the layer.
    fn cache(&mut self) {
        let mut left: u64 = self.items.iter().map(|item| item.size).sum();
        left -= self.taken.iter().map(|at| self.items[*at].size).sum::<u64>();
        let users = self.users();
        for at in self.groups() {
            if self.policy.keep_storage.is_some_and(|keep| left <= keep) {
                break;
            }
            left -= self.take(at, &users);
        }
    }

    /// Layers' records and cache mounts by last use. Records of layers that are held anyway stay: they cost nothing.
    fn groups(&self) -> Vec<usize> {
        let goes = |item: &Item| match item.what {
            What::Record(_) => !item.is_held() && self.policy.is_old(item),
            What::CacheMount => self.policy.is_old(item),
            _ => false,
        };
        let mut found: Vec<usize> =
            (0..self.items.len()).filter(|at| goes(&self.items[*at]) && !self.taken.contains(at)).collect();
        found.sort_by_key(|at| (self.items[*at].used, *at));
        found
    }

    /// Takes a record or cache mount with all that only it kept; returns what that frees.
    fn take(&mut self, at: usize, users: &BTreeMap<RecordKey, Vec<usize>>) -> u64 {
        let mut freed = 0;
        let mut put = |taken: &mut BTreeSet<usize>, at: usize| {
            if taken.insert(at) {
                freed += self.items[at].size;
            }
        };
        put(&mut self.taken, at);
        if let What::Record(key) = self.items[at].what {
            self.gone.insert(key);
            for user in users.get(&key).into_iter().flatten() {
                let kept = |holder: &Holder| !matches!(holder, Holder::Record(key) if self.gone.contains(key));
                if !self.items[*user].holders.iter().any(kept) {
                    put(&mut self.taken, *user);
                }
            }
        }
        freed
    }

    /// Layers and blobs by the records that hold them.
    fn users(&self) -> BTreeMap<RecordKey, Vec<usize>> {
        let mut users: BTreeMap<RecordKey, Vec<usize>> = BTreeMap::new();
        for at in self.all_of(|what| matches!(what, What::Layer(_) | What::Blob(_))) {
            for holder in &self.items[at].holders {
                if let Holder::Record(key) = holder {
                    users.entry(*key).or_default().push(at);
                }
            }
        }
        users
    }

    fn all_of(&self, wanted: impl Fn(&What) -> bool) -> Vec<usize> {
        (0..self.items.len()).filter(|at| wanted(&self.items[*at].what)).collect()
    }
}
