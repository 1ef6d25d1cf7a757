//! A file behind an address as a layer of the store: what `ADD` of it copies from, and what serves as a context.
//!
//! The layer is recorded under the op of such an `ADD`, with what the server said of the file. The server is asked anew
//! each time, unless the checksum is given, and sends the file only when it is another one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};

use image::{Digest, Index, LayerPath, Metadata, Timestamp};
use plan::{HttpSource, Op, OpDigest, Source};
use registry::{FileAnswer, FileInfo, FileRequest, Validators};
use store::{Record, RecordInput, Store};

use crate::cancel::Cancel;
use crate::error::{Result, SolveErrorKind};
use crate::files::Nothing;
use crate::key::Key;
use crate::layout::{Attributes, Data, Layout, NewFile};
use crate::local::{OpResult, commit, wait_for_key};
use crate::ops::inputs::{self, input};
use crate::servers::Servers;
use crate::session::probe;
use crate::write::{Disk, Writer, copy_and_hash};

/// How soon a canceled build stops waiting for a server.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(50);

/// The names of the inputs of a record that are asked with the next time.
const ETAG: &str = "etag";
const LAST_MODIFIED: &str = "last modified";
/// When the file was made; empty if the server does not say.
const TIME: &str = "time";

/// A file, in the store.
#[derive(Clone, Debug)]
pub struct HttpFile {
    /// The directory that holds the file, with mode 600, and nothing else.
    pub directory: PathBuf,
    pub path: PathBuf,
    /// `Last-Modified`, in seconds since 1970.
    pub modified: Option<i64>,
}

/// What a server gives.
pub(crate) enum Obtained {
    /// What it gave before.
    Same(Record),
    New(Box<OpResult>),
}

/// Brings a file into the store, unless the one that is there is still the same.
pub fn fetch_http(store: &Store, servers: Servers<'_>, source: &HttpSource, stop: &Cancel) -> Result<HttpFile> {
    let op = OpDigest::of(&Op::Source(Source::Http(source.clone())));
    let key = Key::new(&op, &[]);
    let _lock = wait_for_key(store, key, stop)?;
    // Before there were contexts of this kind, a record did not have all that is wanted here.
    let earlier = store.record(&key.record())?.filter(|record| find(record, TIME).is_some());
    let record = match earlier {
        Some(record) if source.checksum.is_some() => record,
        earlier => match obtain(store, servers, source, (op, key), earlier, stop)? {
            Obtained::Same(record) => record,
            Obtained::New(result) => {
                let inputs = result.inputs.clone();
                let made = commit(store, *result)?;
                Record { layer: made.layer, content: made.content, created: made.created, inputs }
            }
        },
    };
    let directory = store.layer(&record.layer)?.tree().to_owned();
    Ok(HttpFile {
        path: directory.join(&source.name),
        directory,
        modified: find(&record, TIME).and_then(|time| time.parse().ok()),
    })
}

/// Asks the server for a file, comparing it with an earlier one. What is new is not recorded yet.
pub(crate) fn obtain(
    store: &Store,
    servers: Servers<'_>,
    source: &HttpSource,
    (op, key): (OpDigest, Key),
    earlier: Option<Record>,
    stop: &Cancel,
) -> Result<Obtained> {
    let spool = store.scratch()?;
    let request = FileRequest {
        url: source.url.clone(),
        authorization: servers.authorization_of_file(source)?,
        known: earlier.as_ref().map(validators),
        // All that there is room for.
        limit: spool.free_space()?,
    };
    let arrived = spool.path().join("0");
    match (transfer(servers, request, &arrived, stop)?, earlier) {
        (FileAnswer::Same, Some(record)) => Ok(Obtained::Same(record)),
        (FileAnswer::Same, None) => Err(SolveErrorKind::Plan("a server compared with nothing")),
        (FileAnswer::New(info), _) => {
            let found = verify(source, &arrived)?;
            let mut layout = layout(source, &info, &arrived)?;
            let draft = store.new_layer()?;
            let tree = draft.tree().to_owned();
            let (overlay, ids) = store::layer_flavor();
            let writer = Writer {
                tree: &tree,
                sources: &[],
                inline: &[],
                spool: Some(spool.path()),
                earlier: None,
                disk: Disk { ids, overlay },
                cancel: stop,
            };
            writer.write(&mut layout)?;
            let inputs = named(source, &info, &found);
            let index = Index::new(layout.index());
            Ok(Obtained::New(Box::new(OpResult { key, op, draft, index, faithful: true, inputs })))
        }
    }
}

/// Fetches into a new file. The thread is not waited for: a transfer cannot be interrupted, a build can.
fn transfer(servers: Servers<'_>, request: FileRequest, to: &Path, stop: &Cancel) -> Result<FileAnswer> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(to)
        .map_err(|source| SolveErrorKind::Write { action: "create", path: to.to_owned(), source })?;
    let (sender, receiver) = mpsc::channel();
    let registry = servers.registry.clone();
    std::thread::spawn(move || sender.send(registry.fetch_file(&request, &mut file, &|_, _| {})));
    loop {
        if stop.is_canceled() {
            return Err(SolveErrorKind::Canceled);
        }
        match receiver.recv_timeout(PATIENCE) {
            Ok(answer) => return answer.map_err(|error| SolveErrorKind::Source(Box::new(error))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(SolveErrorKind::Panicked),
        }
    }
}

/// Compares what arrived with the checksum, if there is one, and returns its own.
fn verify(source: &HttpSource, arrived: &Path) -> Result<Digest> {
    let found = File::open(arrived).and_then(Digest::of_reader).map_err(unreadable(arrived))?;
    match source.checksum {
        Some(expected) if expected != found => {
            Err(SolveErrorKind::Checksum { url: source.url.clone(), expected, found })
        }
        _ => Ok(found),
    }
}

fn layout(source: &HttpSource, info: &FileInfo, arrived: &Path) -> Result<Layout> {
    let (size, content) = File::open(arrived)
        .and_then(|mut file| copy_and_hash(&mut file, None, &mut Vec::new()))
        .map_err(unreadable(arrived))?;
    let mtime = Timestamp { seconds: info.modified.unwrap_or_default(), nanoseconds: 0 };
    let mut layout = Layout::new(probe(&Nothing, "/", None)?, Attributes { now: mtime, ..Attributes::default() });
    let target = LayerPath::root().join(source.name.as_bytes());
    layout.fetched(
        target,
        NewFile { data: Data::Spooled(0), size, content },
        Metadata { mode: 0o600, mtime, ..Metadata::default() },
    )?;
    Ok(layout)
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> SolveErrorKind {
    let path = path.to_owned();
    move |source| SolveErrorKind::Write { action: "read", path, source }
}

fn named(source: &HttpSource, info: &FileInfo, found: &Digest) -> Vec<RecordInput> {
    let mut named = vec![input(inputs::ADDRESS, &source.url), input("checksum", found.to_string())];
    let validators = &info.validators;
    named.extend(validators.etag.iter().map(|etag| input(ETAG, etag)));
    named.extend(validators.last_modified.iter().map(|date| input(LAST_MODIFIED, date)));
    named.push(input(TIME, info.modified.map(|time| time.to_string()).unwrap_or_default()));
    named
}

fn validators(record: &Record) -> Validators {
    Validators { etag: find(record, ETAG), last_modified: find(record, LAST_MODIFIED) }
}

fn find(record: &Record, name: &str) -> Option<String> {
    record.inputs.iter().find(|input| input.name == name).map(|input| input.value.clone())
}
