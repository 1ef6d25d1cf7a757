//! Why a build failed.

use std::io;
use std::path::PathBuf;

use dockerfile::Span;
use plan::VertexId;

use crate::solution::Unfinished;

pub(crate) type Result<T, E = SolveErrorKind> = std::result::Result<T, E>;

/// The first failure of a build. It stays structural: whoever shows it finds the span of the vertex in the plan.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct SolveError {
    /// The vertex whose op failed; `None` when the build as a whole was stopped.
    pub vertex: Option<VertexId>,
    #[source]
    pub kind: SolveErrorKind,
    pub unfinished: Box<Unfinished>,
}

impl SolveError {
    pub(crate) fn at(vertex: VertexId) -> impl FnOnce(SolveErrorKind) -> Self {
        move |kind| Self { vertex: Some(vertex), kind, unfinished: Box::default() }
    }

    /// A failure of the build as a whole.
    pub(crate) fn whole(kind: SolveErrorKind) -> Self {
        Self { vertex: None, kind, unfinished: Box::default() }
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SolveErrorKind {
    /// A command ended with something else than 0. `tail`: its last output.
    #[error("process {:?} did not complete successfully: exit code: {}", .argv.join(" "), .status.code())]
    Run { argv: Vec<String>, status: sandbox::Status, tail: Vec<u8> },
    /// A source of a copy or a bind mount is not there. `span`: the word that names it, when it has one of its own.
    #[error("failed to calculate checksum of ref: {path:?}: not found")]
    CopyMissing {
        /// Clean and absolute: `/src`.
        path: String,
        /// A path that exists and is written much alike.
        similar: Option<String>,
        /// The path is there, but an ignore file hides it.
        ignored: bool,
        span: Option<Span>,
    },
    /// A secret that a command needs was not given.
    #[error("secret {id}: not found")]
    SecretMissing { id: String, span: Span },
    /// An SSH agent that a command needs was not given.
    #[error("SSH agent {id}: not found")]
    AgentMissing { id: String, span: Span },
    /// A secret that no variable can hold.
    #[error("secret {id} cannot be put into the variable {name}: {reason}")]
    SecretInVariable { id: String, name: String, reason: &'static str, span: Span },
    /// A secret for a server that no header can hold.
    #[error("secret {id} cannot be sent to a server: {reason}")]
    SecretInHeader { id: String, reason: &'static str },
    /// A directory is where a file would have to go.
    #[error("cannot replace to directory {target} with file")]
    CopyOntoDirectory { target: String },
    /// Something that is not a directory is where a directory would have to be.
    #[error("cannot copy to non-directory: {target}")]
    CopyOntoFile { target: String },
    /// Something that is not a directory is where a working directory would have to be.
    #[error("cannot make the directory {path}: {target} is {what}")]
    WorkdirOntoFile { path: String, target: String, what: &'static str },
    /// More than 40 symbolic links, or a loop.
    #[error("too many levels of symbolic links: {path}")]
    SymlinkLoop { path: String },
    /// A wildcard that cannot be used.
    #[error("invalid wildcard {pattern:?}: {message}")]
    Wildcard { pattern: String, message: String, span: Span },
    /// A name that cannot be a path.
    #[error("invalid path {path:?}")]
    InvalidPath { path: String },
    /// `/etc/passwd` or `/etc/group` of the image cannot be used.
    #[error("failed to look up the owner {owner:?}: {reason}")]
    Owner { owner: String, reason: String },
    /// A context that the plan needs was not given.
    #[error("no build context named {name:?}")]
    NoContext { name: String },
    /// A file of a build context could not be read.
    #[error("failed to {action} {path} of the build context")]
    Context { action: &'static str, path: String, source: io::Error },
    /// An archive that `ADD` extracts is damaged, or would write outside its destination.
    #[error("failed to extract {path}: {reason}")]
    Archive { path: String, reason: String },
    /// A new layer could not be written.
    #[error("failed to {action} {path}")]
    Write { action: &'static str, path: PathBuf, source: io::Error },
    /// The layers of a base image could not be fetched.
    #[error("failed to fetch the base image")]
    Base(#[source] Box<registry::Error>),
    /// Files of a git repository could not be fetched.
    #[error("failed to fetch files of a git repository")]
    Git(#[source] registry::git::GitError),
    /// A ref stands for another commit than it should.
    #[error("expected checksum to match {expected}, got {got}")]
    GitChecksum { expected: String, got: String },
    /// A source could not be fetched.
    #[error(transparent)]
    Source(Box<registry::Error>),
    /// What was fetched is not what the Dockerfile says it is.
    #[error("{url} has the checksum {found}, expected is {expected}")]
    Checksum { url: String, expected: image::Digest, found: image::Digest },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("failed to run {:?}", .argv.join(" "))]
    Sandbox { argv: Vec<String>, source: Box<sandbox::Error> },
    /// What a command wrote could not be read back.
    #[error("failed to read what the command wrote")]
    Scan(#[source] Box<image::layer::ScanError>),
    /// An op ended without an answer: a defect of Kiln.
    #[error("internal error: an op panicked")]
    Panicked,
    /// The plan is not one that `plan::lower` makes.
    #[error("malformed plan: {0}")]
    Plan(&'static str),
    /// The caller asked, or something else failed first.
    #[error("canceled")]
    Canceled,
}
