//! Build contexts and Dockerfiles behind HTTP(S) addresses.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use plan::HttpSource;
use registry::{FileAnswer, FileInfo, FileRequest, Registry};
use store::{Scratch, Store};

use crate::command::enter_namespace_from;
use crate::error::Failure;
use crate::progress::Mode;
use crate::terminal;

/// A file that has arrived, alone in a directory until this is dropped.
#[derive(Debug)]
pub(super) struct Fetched {
    scratch: Scratch,
    path: PathBuf,
    /// `Last-Modified`, in seconds since 1970.
    pub(super) modified: Option<i64>,
}

impl Fetched {
    /// Returns the directory that holds the file and nothing else.
    pub(super) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Opens the file, whose name goes, and returns when it was made.
    pub(super) fn open(self) -> Result<(File, Option<i64>), Failure> {
        Ok((File::open(&self.path)?, self.modified))
    }
}

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

/// Reads an address; `None` if the text is something else.
pub(super) fn source(text: &str) -> Result<Option<HttpSource>, Failure> {
    if !is_address(text) {
        return Ok(None);
    }
    HttpSource::parse(text).map(Some).ok_or_else(|| Failure::new("the address names no host"))
}

/// True for what is fetched over HTTP, if only by git.
pub(super) fn is_address(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme))
}

/// Fetches a file, with the name, the mode and the time that an `ADD` would give it.
pub(super) fn fetch(source: &HttpSource, store: &Store, registry: &Registry, mode: Mode) -> Result<Fetched, Failure> {
    // Asking a server starts threads, and after that no namespace can be entered.
    enter_namespace_from(store)?;
    if !matches!(mode, Mode::Quiet | Mode::Json) {
        terminal::note(&format!("fetching {}", source.url));
    }
    let scratch = store.scratch()?;
    let request = FileRequest {
        url: source.url.clone(),
        login: source.login.as_ref().map(|login| (login.user.clone(), login.password.clone())),
        known: None,
        limit: scratch.free_space()?,
    };
    let arriving = scratch.path().join("0");
    let mut file = File::options().read(true).write(true).create_new(true).open(&arriving)?;
    let FileAnswer::New(info) = registry.fetch_file(&request, &mut file, &|_, _| {})? else {
        return Err(Failure::new(format!("failed to fetch {}: the answer compares it with nothing", source.url)));
    };
    let path = scratch.path().join(info.name.as_ref().unwrap_or(&source.name));
    let kept = file
        .set_permissions(Permissions::from_mode(0o600))
        .and_then(|()| file.set_times(FileTimes::new().set_modified(time(&info))))
        .and_then(|()| fs::rename(&arriving, &path));
    kept.map_err(|error| Failure::from_error(&error).context(format!("failed to keep {}", source.url)))?;
    Ok(Fetched { scratch, path, modified: info.modified })
}

fn time(info: &FileInfo) -> SystemTime {
    SystemTime::UNIX_EPOCH
        + Duration::from_secs(info.modified.and_then(|at| u64::try_from(at).ok()).unwrap_or_default())
}
