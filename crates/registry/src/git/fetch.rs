//! From a commit to a directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::command::{Commands, Here};
use super::{Commit, Fetched, Files, GitError, Result};

pub(super) fn fetch(commands: &Commands<'_>, url: &str, commit: &Commit, files: Files<'_>) -> Result<Fetched> {
    let work_tree = commands.place.scratch.join("files");
    let kept = files.keep_git_dir && files.subdir.is_empty();
    let git_dir = if kept { work_tree.join(".git") } else { commands.place.scratch.join("repository") };
    fs::create_dir(&work_tree).map_err(GitError::io("make a directory for git"))?;
    let repository = Repository { commands, url, here: Here { git_dir: &git_dir, work_tree: &work_tree } };
    repository.make(commit)?;
    repository.bring(commit)?;
    let head = repository.check_out(commit)?;
    let time = repository.time(&head)?;
    if files.submodules && work_tree.join(".gitmodules").is_file() {
        repository.update_submodules()?;
        if !kept {
            remove_links(&work_tree).map_err(GitError::io("remove what git left in submodules"))?;
        }
    }
    if kept {
        repository.tidy(commit)?;
    }
    let directory = enter(&work_tree, url, files.subdir)?;
    Ok(Fetched { directory, commit: head, time })
}

struct Repository<'a> {
    commands: &'a Commands<'a>,
    url: &'a str,
    here: Here<'a>,
}

impl Repository<'_> {
    fn run(&self, doing: &'static str, arguments: &[&str]) -> Result<String> {
        self.commands.run(doing, Some(self.here), arguments)
    }

    /// Makes an empty repository that knows where it is from.
    fn make(&self, commit: &Commit) -> Result<()> {
        let format = if commit.commit.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        self.run("prepare for", &["init", "--quiet", "--template=", format])?;
        self.run("prepare for", &["config", "remote.origin.url", self.url])?;
        self.run("prepare for", &["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"]).map(drop)
    }

    /// Fetches the commit alone, if the server gives what was not advertised; else by its name; else all there is.
    fn bring(&self, commit: &Commit) -> Result<()> {
        let base = ["fetch", "--quiet", "--no-write-fetch-head", "--no-recurse-submodules"];
        let object = ["--depth=1", "--no-tags", "--", "origin", commit.object()];
        let name = commit.name.as_deref().map(|name| ["--depth=1", "--no-tags", "--", "origin", name]);
        let all = ["--tags", "--", "origin"];
        let ways = [Some(&object[..]), name.as_ref().map(|name| &name[..]), Some(&all[..])];
        let mut refusal = None;
        for way in ways.into_iter().flatten() {
            let finished = self.commands.attempt(Some(self.here), &[&base[..], way].concat())?;
            if finished.status.success() {
                if self.has(commit.object())? {
                    return Ok(());
                }
            } else if is_refusal(&finished.stderr) {
                refusal = Some(self.commands.failed("fetch", &finished));
            } else {
                return Err(self.commands.failed("fetch", &finished));
            }
        }
        // The server said that it has no such thing, or it has and did not give it.
        let missing = GitError::NoCommit { url: self.url.to_owned(), commit: commit.commit.clone() };
        Err(refusal.filter(|_| commit.name.is_some()).unwrap_or(missing))
    }

    fn has(&self, object: &str) -> Result<bool> {
        Ok(self.commands.attempt(Some(self.here), &["cat-file", "-e", object])?.status.success())
    }

    /// Writes the files, and returns the commit: what was named may have been a tag.
    fn check_out(&self, commit: &Commit) -> Result<String> {
        let peeled = format!("{}^{{commit}}", commit.commit);
        let head = self.run("check out", &["rev-parse", "--verify", "--quiet", &peeled])?.trim().to_owned();
        self.run("check out", &["checkout", "--quiet", "--force", "--detach", &head])?;
        Ok(head)
    }

    /// Returns when the commit was made, in seconds since 1970.
    fn time(&self, commit: &str) -> Result<i64> {
        let text = self.run("read the commit of", &["show", "--no-patch", "--format=%ct", commit])?;
        text.trim().parse().map_err(|_| GitError::Failed {
            doing: "read the commit of",
            url: self.url.to_owned(),
            message: format!("it has no time: {}", text.trim()),
        })
    }

    fn update_submodules(&self) -> Result<()> {
        let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
        let shallow = self.commands.attempt(Some(self.here), &[&update[..], &["--depth=1"]].concat())?;
        if !shallow.status.success() && is_refusal(&shallow.stderr) {
            return self.run("fetch submodules of", &update).map(drop);
        }
        if shallow.status.success() { Ok(()) } else { Err(self.commands.failed("fetch submodules of", &shallow)) }
    }

    /// Gives the commit its name again, and takes out what only says how it came.
    fn tidy(&self, commit: &Commit) -> Result<()> {
        if let Some(name) = &commit.name {
            self.run("name the commit of", &["update-ref", name, commit.object()])?;
        }
        self.run("tidy up", &["reflog", "expire", "--all", "--expire=now"]).map(drop)
    }
}

/// True if a server does not give single commits, or no shallow history.
fn is_refusal(stderr: &[u8]) -> bool {
    let text = String::from_utf8_lossy(stderr);
    [
        "not our ref",
        "unadvertised object",
        "shallow",
        "--depth",
        "couldn't find remote ref",
        "did not contain",
        "no such ref",
    ]
    .iter()
    .any(|part| text.contains(part))
}

/// Removes the files `.git` of submodules: they lead to a repository that will not be there.
fn remove_links(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if entry.file_name() == ".git" && kind.is_file() {
            fs::remove_file(entry.path())?;
        } else if kind.is_dir() {
            remove_links(&entry.path())?;
        }
    }
    Ok(())
}

/// Goes down to a subdirectory. No link is followed: what is in the repository does not lead out of it.
fn enter(work_tree: &Path, url: &str, subdir: &str) -> Result<PathBuf> {
    let mut at = work_tree.to_owned();
    for (depth, name) in subdir.split('/').filter(|name| !name.is_empty()).enumerate() {
        at.push(name);
        let path = || subdir.to_owned();
        let metadata = match at.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(GitError::NoSubdir { url: url.to_owned(), path: path() });
            }
            Err(source) => return Err(GitError::Io { doing: "enter a subdirectory of the repository", source }),
        };
        if !metadata.is_dir() {
            let what = subdir.split('/').take(depth + 1).collect::<Vec<_>>().join("/");
            let kind = if metadata.is_symlink() { "a symbolic link" } else { "a file" };
            return Err(GitError::Subdir { url: url.to_owned(), path: path(), what, kind });
        }
    }
    Ok(at)
}
