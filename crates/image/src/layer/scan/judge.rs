//! What of an upper directory is part of the layer.

use std::collections::HashSet;

use super::super::{Entry, Ids, Kind, LayerPath, Metadata, Timestamp};
use super::walk::Found;
use super::{Lower, ScanOptions};

/// What has been decided about each path, by its place in the list.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) kept: Vec<bool>,
    /// Directories that are marked opaque though they hide nothing.
    pub(super) needless_opaque: Vec<usize>,
    /// Whether the root has other attributes than before.
    pub(super) root: bool,
}

/// Decides what is kept, and puts into `found` what the layer is to say of it.
pub(super) fn judge(found: &mut [Found], lower: &dyn Lower, options: &ScanOptions) -> Verdict {
    let before = look_up(found, lower);
    if options.ids == Ids::Ignore {
        take_owners(found, &before);
    }
    let changed_inodes = changed_inodes(found, &before);
    let ignore: HashSet<&LayerPath> = options.ignore.iter().collect();
    let mut judge = Judge {
        verdict: Verdict { kept: vec![true; found.len()], needless_opaque: Vec::new(), root: false },
        children: vec![0; found.len()],
        newest_stub: vec![None; found.len()],
        ignore,
        changed_inodes,
    };
    // From the end: children come before their directory.
    for at in (1..found.len()).rev() {
        judge.path(found, at, before[at].as_ref());
    }
    if let Some(root) = found.first_mut() {
        judge.settle_directory(root, 0, before[0].as_ref());
        judge.verdict.root = before[0].as_ref().is_some_and(|before| !same_but_time(before, root));
    }
    judge.verdict
}

/// Looks up what stood at each path, except where a directory hides all that did, or what is no directory stood.
fn look_up(found: &[Found], lower: &dyn Lower) -> Vec<Option<Entry>> {
    let mut before: Vec<Option<Entry>> = Vec::with_capacity(found.len());
    let mut shows = Vec::with_capacity(found.len());
    for (at, Found { path, parent, .. }) in found.iter().enumerate() {
        // A directory that no layer has an entry for may be there all the same, for what is in it.
        let is_merged = |parent: usize| before[parent].as_ref().is_none_or(is_directory) && !is_opaque(&found[parent]);
        let show = at == 0 || (shows[*parent] && is_merged(*parent));
        shows.push(show);
        before.push(if show { lower.lookup(path) } else { None });
    }
    before
}

fn is_directory(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Directory { .. })
}

fn is_opaque(found: &Found) -> bool {
    matches!(found.kind, Some(Kind::Directory { opaque: true }))
}

/// On disk all belongs to the caller: who owns it is what the layers below say.
fn take_owners(found: &mut [Found], before: &[Option<Entry>]) {
    for (found, before) in found.iter_mut().zip(before).filter(|(found, _)| found.kind != Some(Kind::Whiteout)) {
        let owner = before.as_ref().map_or((0, 0), |before| (before.metadata.uid, before.metadata.gid));
        (found.metadata.uid, found.metadata.gid) = owner;
    }
}

/// Returns the files of several names that have changed under one of them: all their names are kept, or they would no
/// longer be one file.
fn changed_inodes(found: &[Found], before: &[Option<Entry>]) -> HashSet<(u64, u64)> {
    let changed = found.iter().zip(before).filter(|(found, before)| !is_same(before.as_ref(), found));
    changed.filter_map(|(found, _)| found.inode).collect()
}

/// True if nothing has changed. Content is compared by hash: a program may set any time it likes.
fn is_same(before: Option<&Entry>, found: &Found) -> bool {
    before.is_some_and(|before| Some(&before.kind) == found.kind.as_ref() && before.metadata == found.metadata)
}

/// True for a directory with the attributes that one had before.
fn same_but_time(before: &Entry, found: &Found) -> bool {
    let Metadata { mode, uid, gid, xattrs, mtime: _ } = &before.metadata;
    is_directory(before)
        && (mode, uid, gid, xattrs)
            == (&found.metadata.mode, &found.metadata.uid, &found.metadata.gid, &found.metadata.xattrs)
}

/// The longest tick of Linux's timer: `CONFIG_HZ` is 100 at least.
const TICK: u32 = 10_000_000;

fn a_tick_after(Timestamp { seconds, nanoseconds }: Timestamp) -> Timestamp {
    match nanoseconds.saturating_add(TICK).checked_sub(1_000_000_000) {
        Some(nanoseconds) => Timestamp { seconds: seconds.saturating_add(1), nanoseconds },
        None => Timestamp { seconds, nanoseconds: nanoseconds + TICK },
    }
}

struct Judge<'a> {
    verdict: Verdict,
    /// How many paths are kept in each directory.
    children: Vec<usize>,
    /// When the last mount point in each directory was made.
    newest_stub: Vec<Option<Timestamp>>,
    ignore: HashSet<&'a LayerPath>,
    changed_inodes: HashSet<(u64, u64)>,
}

impl Judge<'_> {
    fn path(&mut self, found: &mut [Found], at: usize, before: Option<&Entry>) {
        let parent = found[at].parent;
        let kept = self.is_kept(&mut found[at], at, before, parent);
        self.verdict.kept[at] = kept;
        if kept {
            self.children[parent] += 1;
        }
    }

    fn is_kept(&mut self, found: &mut Found, at: usize, before: Option<&Entry>, parent: usize) -> bool {
        if before.is_none() && self.is_stub(found, at) {
            let stub = self.newest_stub[at].max(Some(found.metadata.mtime));
            self.newest_stub[parent] = self.newest_stub[parent].max(stub);
            return false;
        }
        match &found.kind {
            None => false,
            Some(Kind::Whiteout) => before.is_some(),
            Some(Kind::Directory { .. }) => {
                self.settle_directory(found, at, before);
                let unchanged = before.is_some_and(|before| same_but_time(before, found));
                is_opaque(found) || self.children[at] > 0 || !unchanged
            }
            Some(Kind::File { .. }) if found.inode.is_some_and(|inode| self.changed_inodes.contains(&inode)) => true,
            Some(_) => !is_same(before, found),
        }
    }

    /// True for a mount point that is still as it was made.
    fn is_stub(&self, found: &Found, at: usize) -> bool {
        let empty = match &found.kind {
            Some(Kind::File { size, .. }) => *size == 0,
            Some(Kind::Directory { .. }) => self.children[at] == 0,
            _ => false,
        };
        empty && self.ignore.contains(&found.path)
    }

    /// Puts right what making the step has done to a directory.
    fn settle_directory(&mut self, found: &mut Found, at: usize, before: Option<&Entry>) {
        // The kernel marks every new directory whose parent is merged: with nothing below, that hides nothing, and in a
        // layer that is used again on top of others it must not.
        if is_opaque(found) && !before.is_some_and(is_directory) {
            found.kind = Some(Kind::Directory { opaque: false });
            self.verdict.needless_opaque.push(at);
        }
        // If nothing in it has changed since, it was a mount point that gave it its time. For two files touched at once
        // the kernel may read a fine clock and a coarse one, which are a tick apart.
        let Some(before) = before.filter(|before| is_directory(before)) else { return };
        if self.newest_stub[at].is_some_and(|stub| found.metadata.mtime <= a_tick_after(stub)) {
            found.metadata.mtime = before.metadata.mtime;
        }
    }
}
