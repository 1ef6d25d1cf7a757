//! Build contexts that are git repositories.

use std::path::Path;

use plan::GitSource;
use solver::{Cancel, GitTree, Servers};
use store::Store;

use super::arguments::Options;
use crate::command::enter_namespace_from;
use crate::error::Failure;
use crate::progress::Mode;
use crate::terminal;

/// Returns the repository that serves as the build context; `None` if that is something else. A directory that is there
/// is a directory, whatever it is called.
pub(super) fn context(options: &Options) -> Result<Option<GitSource>, Failure> {
    if Path::new(&options.context).is_dir() {
        return Ok(None);
    }
    let Some(source) = GitSource::parse_context(&options.context) else { return Ok(None) };
    let invalid =
        |error| Failure::from_error(&error).context(format!("build context `{}`", plan::redact(&options.context)));
    let mut source = source.map_err(invalid)?;
    let argument = |name: &str| options.plan.build_args.get(name).map(String::as_str).unwrap_or_default();
    if matches!(argument("BUILDKIT_CONTEXT_KEEP_GIT_DIR"), "1" | "t" | "T" | "TRUE" | "true" | "True") {
        source.keep_git_dir = Some(true);
    }
    if !argument("SOURCE_DATE_EPOCH").is_empty() {
        source.commit_times = source.commit_times.or(Some(true));
    }
    Ok(Some(source))
}

/// Returns the files of a repository, fetched unless they are in the store.
pub(super) fn tree(source: &GitSource, store: &Store, servers: Servers<'_>, mode: Mode) -> Result<GitTree, Failure> {
    let commit = solver::resolve_git(store, servers, source, None)?;
    if let Some(tree) = solver::known_git(store, source, &commit)? {
        return Ok(tree);
    }
    // What is fetched becomes a layer; the thread that waits for an interrupt begins inside.
    enter_namespace_from(store)?;
    if !matches!(mode, Mode::Quiet | Mode::Json) {
        terminal::note(&format!("fetching {} at {}", source.url, commit.commit));
    }
    let cancel = Cancel::default();
    let _guard = crate::signals::cancel_on_interrupt(&cancel)?;
    Ok(solver::fetch_git(store, servers, source, &commit, &cancel)?)
}
