//! Build contexts and Dockerfiles behind HTTP(S) addresses.

use std::fs::File;
use std::path::Path;

use plan::HttpSource;
use solver::{Cancel, HttpFile, Servers};
use store::Store;

use super::archive;
use crate::command::enter_namespace_from;
use crate::error::Failure;
use crate::progress::Mode;
use crate::terminal;

/// Returns the address that serves as the build context; `None` if that is something else. A directory that is there is a
/// directory, whatever it is called.
pub(super) fn context(text: &str) -> Result<Option<HttpSource>, Failure> {
    if Path::new(text).is_dir() {
        return Ok(None);
    }
    source(text).map_err(|failure| failure.context(format!("build context `{}`", plan::redact(text))))
}

/// Returns the address of a Dockerfile; `None` for a path.
pub(super) fn dockerfile(text: &str) -> Result<Option<HttpSource>, Failure> {
    source(text).map_err(|failure| failure.context(format!("--file {}", plan::redact(text))))
}

/// Returns the address of a named context, which is a directory with one file: BuildKit calls it `context`, whatever the
/// server does. `None` if the text is something else.
pub(super) fn named(text: &str) -> Result<Option<HttpSource>, Failure> {
    let source = source(text)?;
    Ok(source.map(|source| HttpSource { name: "context".to_owned(), ..source }))
}

/// Reads an address; `None` if the text is something else.
fn source(text: &str) -> Result<Option<HttpSource>, Failure> {
    if !is_address(text) {
        return Ok(None);
    }
    HttpSource::parse(text).map(Some).ok_or_else(|| Failure::new("the address names no host"))
}

/// True for what is fetched over HTTP, if only by git.
pub(super) fn is_address(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme))
}

/// Returns a file, with the mode and the time that an `ADD` would give it. It is transferred unless the one in the store is
/// still the same.
pub(super) fn fetch(source: &HttpSource, store: &Store, servers: Servers<'_>, mode: Mode) -> Result<HttpFile, Failure> {
    // Asking a server starts threads, and after that no namespace can be entered.
    enter_namespace_from(store)?;
    if !matches!(mode, Mode::Quiet | Mode::Json) {
        terminal::note(&format!("fetching {}", source.url));
    }
    let cancel = Cancel::default();
    let _guard = crate::signals::cancel_on_interrupt(&cancel)?;
    Ok(solver::fetch_http(store, servers, source, &cancel)?)
}

/// Returns when a file was made, as far as its server says so, or when the newest one in it was if it is an archive.
pub(super) fn time(file: &HttpFile) -> Result<Option<i64>, Failure> {
    Ok(file.modified.or(archive::newest(File::open(&file.path)?)))
}
