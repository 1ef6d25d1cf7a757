//! Files of a git commit as a layer of the store: what `ADD` of a repository copies from, and what serves as a context.
//!
//! The layer is recorded under the commit and what of it is wanted. A ref is asked for each time; the commit that it
//! stands for is fetched once.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use image::layer::scan_tree;
use image::{ContentId, Index};
use plan::{GitSource, is_commit};
use registry::git::{Commit, Files, GitError, Place, Remote};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use store::{LayerId, Record, RecordInput, RecordKey, Store};

use crate::cancel::Cancel;
use crate::error::{Result, SolveErrorKind};
use crate::key::Hasher;
use crate::local::{PATIENCE, now};
use crate::servers::Servers;

/// Files of a commit, in the store.
#[derive(Clone, Debug)]
pub struct GitTree {
    pub layer: LayerId,
    pub content: ContentId,
    /// The directory with the files, to be read alone.
    pub directory: PathBuf,
    /// When the layer was made, in seconds since 1970.
    pub created: i64,
    /// When the commit was made.
    pub time: i64,
}

/// Returns the commit that a source means, after the server was asked where the address alone does not tell. The commit
/// is that of the files, unless the address names an annotated tag by its own digits.
pub fn resolve_git(store: &Store, servers: Servers<'_>, source: &GitSource, stop: Option<&Cancel>) -> Result<Commit> {
    if let Some(commit) = offline(source) {
        return Ok(commit);
    }
    if let Some(commit) = pinned(source)
        && known_git(store, source, &commit)?.is_some()
    {
        return Ok(commit);
    }
    let scratch = store.scratch()?;
    let stopped = stop.map(|stop| || stop.is_canceled());
    let stop = stopped.as_ref().map(|stopped| stopped as &dyn Fn() -> bool);
    let place = Place { scratch: scratch.path(), stop };
    let authorization = servers.authorization_of_git(source)?;
    let remote = Remote { url: &source.url, authorization: authorization.as_ref() };
    let commit = servers.registry.git().resolve(remote, source.reference.as_deref(), place).map_err(failed)?;
    match &source.checksum {
        Some(expected) => check(expected, &commit).map(|()| commit),
        None => Ok(commit),
    }
}

/// A commit by all of its digits needs no server.
fn offline(source: &GitSource) -> Option<Commit> {
    let named = |commit: &str, name| Some(Commit { commit: commit.to_owned(), tag: None, name });
    match source.reference.as_deref() {
        Some(reference) if is_commit(reference) => named(reference, None),
        reference if source.fetch_by_commit => {
            let full =
                |name: &str| if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") };
            named(source.checksum.as_deref()?, reference.map(full))
        }
        _ => None,
    }
}

/// What a ref has to stand for. Once its files are here, that is all there is to know; with `.git`, the name matters, too.
fn pinned(source: &GitSource) -> Option<Commit> {
    let commit = source.pinned().filter(|_| !source.keeps_git_dir())?;
    Some(Commit { commit: commit.to_owned(), tag: None, name: None })
}

fn check(expected: &str, commit: &Commit) -> Result<()> {
    let right = |object: &String| object.starts_with(expected);
    if right(&commit.commit) || commit.tag.as_ref().is_some_and(right) {
        return Ok(());
    }
    let tag = commit.tag.as_ref().map(|tag| format!(" or {tag}")).unwrap_or_default();
    Err(SolveErrorKind::GitChecksum { expected: expected.to_owned(), got: format!("{}{tag}", commit.commit) })
}

/// Returns the files of a commit if they are in the store.
pub fn known_git(store: &Store, source: &GitSource, commit: &Commit) -> Result<Option<GitTree>> {
    let key = key(source, commit);
    let (Some(record), Some(time)) = (store.hit(&key)?, store.fact(&key)?) else { return Ok(None) };
    let Ok(time) = time.try_into().map(i64::from_le_bytes) else { return Ok(None) };
    let directory = store.layer(&record.layer)?.tree().to_owned();
    Ok(Some(GitTree { layer: record.layer, content: record.content, directory, created: record.created, time }))
}

/// Brings the files of a commit into the store, unless they are there.
pub fn fetch_git(
    store: &Store,
    servers: Servers<'_>,
    source: &GitSource,
    commit: &Commit,
    stop: &Cancel,
) -> Result<GitTree> {
    let key = key(source, commit);
    let _lock = loop {
        if let Some(lock) = store.try_lock_key(&key)? {
            break lock;
        }
        if stop.is_canceled() {
            return Err(SolveErrorKind::Canceled);
        }
        std::thread::sleep(PATIENCE);
    };
    if let Some(tree) = known_git(store, source, commit)? {
        return Ok(tree);
    }
    let scratch = store.scratch()?;
    let stopped = || stop.is_canceled();
    let place = Place { scratch: scratch.path(), stop: Some(&stopped) };
    let keep_git_dir = source.keeps_git_dir();
    let files = Files { subdir: &source.subdir, submodules: source.submodules, keep_git_dir };
    let authorization = servers.authorization_of_git(source)?;
    let remote = Remote { url: &source.url, authorization: authorization.as_ref() };
    let fetched = servers.registry.git().fetch(remote, commit, files, place).map_err(failed)?;
    let draft = store.new_layer()?;
    std::fs::rename(&fetched.directory, draft.tree()).map_err(writing("move the files of", &fetched.directory))?;
    let (overlay, ids) = store::layer_flavor();
    let root = File::open(draft.tree()).map_err(writing("open", draft.tree()))?;
    let mut index = scan_tree(root.as_fd(), overlay, ids).map_err(|error| SolveErrorKind::Scan(Box::new(error)))?;
    if source.commit_times == Some(true) {
        index = set_times(draft.tree(), &index, fetched.time)?;
    }
    let content = index.content_id();
    let created = now().seconds;
    let layer = draft.commit(index, created)?;
    let inputs = vec![RecordInput { name: "commit".to_owned(), value: fetched.commit }];
    store.put_fact(&key, &fetched.time.to_le_bytes())?;
    store.put_record(&key, &Record { layer: layer.id().clone(), content, created, inputs })?;
    Ok(GitTree { layer: layer.id().clone(), content, created, directory: layer.tree().to_owned(), time: fetched.time })
}

/// Gives every file the time of the commit, what is below a directory first.
fn set_times(root: &Path, index: &Index, time: i64) -> Result<Index> {
    let mut entries = index.entries().to_vec();
    let at = Timespec { tv_sec: time, tv_nsec: 0 };
    let times = Timestamps { last_access: at, last_modification: at };
    for entry in entries.iter_mut().rev() {
        let path = root.join(entry.path.as_path());
        utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| writing("set the time of", &path)(error.into()))?;
        entry.metadata.mtime = image::Timestamp { seconds: time, nanoseconds: 0 };
    }
    Ok(entries.into_iter().collect())
}

/// What names the files: on every machine, from every server.
fn key(source: &GitSource, commit: &Commit) -> RecordKey {
    let mut hasher = Hasher::new("git files");
    hasher.text(&commit.commit);
    hasher.text(&source.subdir);
    hasher.byte(source.submodules.into());
    hasher.byte((source.commit_times == Some(true)).into());
    if source.keeps_git_dir() {
        hasher.text(&source.url);
        hasher.text(commit.tag.as_deref().unwrap_or_default());
        hasher.text(commit.name.as_deref().unwrap_or_default());
    }
    hasher.record()
}

fn failed(error: GitError) -> SolveErrorKind {
    match error {
        GitError::Stopped => SolveErrorKind::Canceled,
        error => SolveErrorKind::Git(error),
    }
}

fn writing(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SolveErrorKind {
    let path = path.to_owned();
    move |source| SolveErrorKind::Write { action, path, source }
}
