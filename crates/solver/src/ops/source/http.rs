//! A file behind an address: asked for anew in every build, unless its checksum is given, and transferred only when the
//! server says that it is another one.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};

use image::{Digest, Index, LayerPath, Metadata, Timestamp};
use plan::HttpSource;
use registry::{FileAnswer, FileInfo, FileRequest, Validators};
use store::{Record, RecordInput};

use super::Fetched;
use crate::error::{Result, SolveErrorKind};
use crate::files::Nothing;
use crate::key::Key;
use crate::layout::{Attributes, Data, Layout, NewFile};
use crate::local::{LocalWorker, OpResult};
use crate::ops::inputs;
use crate::session::probe;
use crate::worker::Job;
use crate::write::{Writer, copy_and_hash};

/// How soon a canceled build stops waiting for a server.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(50);

/// The names of the inputs of a record that are asked with the next time.
const ETAG: &str = "etag";
const LAST_MODIFIED: &str = "last modified";

pub(super) fn execute(worker: &LocalWorker<'_>, job: Job<'_>, source: &HttpSource, key: Key) -> Result<Fetched> {
    let earlier = if job.vertex().ignore_cache { None } else { worker.store().record(&key.record())? };
    let spool = worker.store().scratch()?;
    let request = FileRequest {
        url: source.url.clone(),
        login: source.login.as_ref().map(|login| (login.user.clone(), login.password.clone())),
        known: earlier.as_ref().map(validators),
        // All that there is room for.
        limit: spool.free_space()?,
    };
    let arrived = spool.path().join("0");
    match (transfer(worker, job, request, &arrived)?, earlier) {
        (FileAnswer::Same, Some(record)) => Ok(Fetched::Same(record)),
        (FileAnswer::Same, None) => Err(SolveErrorKind::Plan("a server compared with nothing")),
        (FileAnswer::New(info), _) => {
            let found = verify(source, &arrived)?;
            let mut layout = layout(source, &info, &arrived)?;
            let draft = worker.store().new_layer()?;
            let tree = draft.tree().to_owned();
            let writer = Writer {
                tree: &tree,
                sources: &[],
                inline: &[],
                spool: Some(spool.path()),
                earlier: None,
                disk: worker.disk,
                cancel: job.stop,
            };
            writer.write(&mut layout)?;
            let inputs = named(source, &info, &found);
            let index = Index::new(layout.index());
            let op = job.vertex().digest;
            Ok(Fetched::New(Box::new(OpResult { key, op, draft, index, faithful: true, inputs })))
        }
    }
}

/// Fetches into a new file. The thread is not waited for: a transfer cannot be interrupted, a build can.
fn transfer(worker: &LocalWorker<'_>, job: Job<'_>, request: FileRequest, to: &Path) -> Result<FileAnswer> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(to)
        .map_err(|source| SolveErrorKind::Write { action: "create", path: to.to_owned(), source })?;
    let (sender, receiver) = mpsc::channel();
    let registry = worker.registry.clone();
    std::thread::spawn(move || sender.send(registry.fetch_file(&request, &mut file, &|_, _| {})));
    loop {
        job.check_canceled()?;
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
    let mut named = vec![inputs::input(inputs::ADDRESS, &source.url), inputs::input("checksum", found.to_string())];
    let validators = &info.validators;
    named.extend(validators.etag.iter().map(|etag| inputs::input(ETAG, etag)));
    named.extend(validators.last_modified.iter().map(|date| inputs::input(LAST_MODIFIED, date)));
    named
}

fn validators(record: &Record) -> Validators {
    let find = |name| record.inputs.iter().find(|input| input.name == name).map(|input| input.value.clone());
    Validators { etag: find(ETAG), last_modified: find(LAST_MODIFIED) }
}
