//! The syntax tree. Text fields hold what was written, continuation lines joined and escapes of line ends removed.

use crate::source::{SourceId, Span, Spanned};
use crate::word::Word;

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dockerfile {
    pub source: SourceId,
    pub directives: Directives,
    /// `ARG`s before the first `FROM`.
    pub globals: Vec<Instruction>,
    pub stages: Vec<Stage>,
    /// The first empty line of every continuation that has one; the lint warns of them.
    pub empty_continuations: Vec<Span>,
}

/// Parser directives (reference: section 1, 3).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directives {
    pub syntax: Option<Spanned<String>>,
    pub escape: Option<Spanned<char>>,
    pub check: Option<Spanned<String>>,
}

impl Directives {
    /// Returns the escape character of the file.
    pub fn escape_character(&self) -> char {
        self.escape.as_ref().map_or('\\', |escape| escape.value)
    }
}

/// A `FROM` and what follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    pub from: From,
    /// Of the whole `FROM` instruction.
    pub span: Span,
    /// Of the keyword, as cased in the file.
    pub keyword: Spanned<String>,
    pub comments: Vec<Spanned<String>>,
    pub instructions: Vec<Instruction>,
}

/// `FROM [--platform=P] IMAGE [AS NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct From {
    pub platform: Option<Word>,
    pub image: Word,
    /// As written; compares lower-cased.
    pub name: Option<Spanned<String>>,
    /// The word `AS` as cased in the file.
    pub as_keyword: Option<Spanned<String>>,
}

/// One instruction of a stage (or a global `ARG`).
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// From the keyword to the end of the last line or heredoc terminator.
    pub span: Span,
    pub keyword: Spanned<String>,
    /// The arguments with flags as one line, for display: `COPY --from=build /a /b` without `COPY`.
    pub text: String,
    /// Comment lines directly above.
    pub comments: Vec<Spanned<String>>,
    pub kind: Kind,
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Add(Copy),
    Arg(Vec<ArgItem>),
    Cmd(Command),
    Copy(Copy),
    Entrypoint(Command),
    Env(KeyValues),
    Expose(Vec<Word>),
    Healthcheck(Healthcheck),
    Label(KeyValues),
    Maintainer(Spanned<String>),
    Onbuild(Onbuild),
    Run(Run),
    Shell(Vec<Spanned<String>>),
    Stopsignal(Word),
    User(Word),
    Volume(Vec<Word>),
    Workdir(Word),
}

/// `NAME[=default]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgItem {
    pub span: Span,
    pub name: Word,
    pub default: Option<Word>,
}

/// `k=v …`, or the legacy `k v`.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyValues {
    pub pairs: Vec<(Word, Word)>,
    pub legacy: bool,
}

/// Exec form (JSON) or shell form.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Exec(Vec<Spanned<String>>),
    Shell(Spanned<String>),
}

/// `RUN [flags] command`.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub flags: RunFlags,
    pub command: Command,
    pub heredocs: Vec<Heredoc>,
    /// True if the whole text is a single heredoc: its body is the script.
    pub script: bool,
}

/// Flags of `RUN`, not yet expanded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFlags {
    /// The text after `--mount=`, quotes and escapes of the flag word removed.
    pub mounts: Vec<Spanned<String>>,
    pub network: Option<Spanned<String>>,
    pub security: Option<Spanned<String>>,
    pub devices: Vec<Spanned<String>>,
}

/// `COPY` or `ADD`.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    pub flags: CopyFlags,
    pub sources: Vec<CopySource>,
    pub destination: Word,
}

/// A source word, or a file written in place.
#[derive(Clone, Debug, PartialEq)]
pub enum CopySource {
    Path(Word),
    Heredoc(Heredoc),
}

/// Flags of `COPY` and `ADD`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CopyFlags {
    pub from: Option<Spanned<String>>,
    pub chown: Option<Word>,
    pub chmod: Option<Word>,
    pub checksum: Option<Word>,
    pub link: Option<Spanned<bool>>,
    pub parents: Option<Spanned<bool>>,
    pub keep_git_dir: Option<Spanned<bool>>,
    pub unpack: Option<Spanned<bool>>,
    pub exclude: Vec<Spanned<String>>,
}

/// `<<NAME` and its body.
#[derive(Clone, Debug, PartialEq)]
pub struct Heredoc {
    pub name: String,
    pub file_descriptor: Option<u32>,
    /// `<<-`: leading tabs are removed (already done in `body`'s use, not in `raw`).
    pub chomp: bool,
    /// The name was not quoted: variables of the body expand in COPY and ADD.
    pub expand: bool,
    /// The raw lines.
    pub raw: String,
    /// The body as a word for expansion, tabs removed when `chomp`; quotes are not special in it.
    pub body: Word,
    /// Of the `<<NAME` word.
    pub span: Span,
}

/// `HEALTHCHECK NONE` or `CMD`; durations in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Healthcheck {
    pub interval: i64,
    pub timeout: i64,
    pub start_period: i64,
    pub start_interval: i64,
    pub retries: i64,
    /// `None` for `HEALTHCHECK NONE`.
    pub command: Option<Command>,
}

/// `ONBUILD INSTRUCTION`.
#[derive(Clone, Debug, PartialEq)]
pub struct Onbuild {
    /// What goes into the image: the text without `ONBUILD`, heredoc bodies included.
    pub trigger: String,
    pub instruction: Box<Instruction>,
}
