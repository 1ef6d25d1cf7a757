//! Ops: what a vertex does. A leaf op ([`Op::Base`], [`Op::Source`]) has no parent; the others put one layer on their
//! parent.

use std::fmt;

use image::{Digest, Platform};

use crate::base::ResolvedBase;
use crate::environment::Environment;
use crate::git::GitSource;

/// What a vertex does.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a plan has few vertices, and moves none of them often")]
pub enum Op {
    /// The layers of an image.
    Base(ResolvedBase),
    /// Files from elsewhere, in a layer of their own.
    Source(Source),
    Run(Run),
    Copy(Copy),
    Workdir(Workdir),
}

impl Op {
    /// Returns about how many bytes the op holds.
    pub(crate) fn size(&self) -> usize {
        let sum = |words: &[String]| words.iter().map(String::len).sum::<usize>();
        match self {
            Self::Base(_) => 0,
            Self::Source(Source::Http(http)) => http.url.len() + http.name.len(),
            Self::Source(Source::Git(git)) => git.url.len() + git.subdir.len(),
            Self::Run(run) => sum(&run.argv) + run.env.size() + run.cwd.len() + run.user.len(),
            Self::Copy(copy) => copy.destination.len() + sum(&copy.exclude),
            Self::Workdir(workdir) => workdir.path.len() + workdir.user.len(),
        }
    }
}

/// What is fetched from elsewhere. The layer has that alone, on nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// One file, with mode 600, of root, as old as the server says.
    Http(HttpSource),
    /// Files of a repository at a commit, of root.
    Git(GitSource),
}

impl Source {
    /// True if the op says what the content is: nobody has to be asked whether it is still the same.
    pub fn is_pinned(&self) -> bool {
        match self {
            Self::Http(http) => http.checksum.is_some(),
            Self::Git(git) => git.pinned().is_some(),
        }
    }
}

/// A file of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpSource {
    /// Without login and fragment.
    pub url: String,
    /// In no key.
    pub login: Option<Login>,
    /// What the file is called in the layer.
    pub name: String,
    pub checksum: Option<Digest>,
}

/// Who asks a server, as written in an address.
#[derive(Clone, Eq, PartialEq)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// A command in a box.
#[derive(Clone, Debug)]
pub struct Run {
    pub argv: Vec<String>,
    /// `PATH` included.
    pub env: Environment,
    /// Proxy settings: given to the command, in no key and no history.
    pub proxy: Vec<(String, String)>,
    pub cwd: String,
    /// As in `USER`.
    pub user: String,
    pub hostname: String,
    /// What the command is made for; whether the machine can execute it is the caller's to find out.
    pub platform: Platform,
    pub network: RunNetwork,
    pub security: RunSecurity,
    pub mounts: Vec<Mount>,
    /// Variables that hold secrets.
    pub secret_env: Vec<SecretEnv>,
    /// A heredoc script that starts with `#!`: bytes of a file that argv names, bound read-only (mode 0755).
    pub script: Option<Script>,
    /// How many equal commands come before it, on what it starts from, if it writes to a cache: each of them has to run, though the
    /// layer of the one before may be empty.
    pub repetition: u32,
    /// `--add-host`, resource limits and `/dev/shm`: not in the op digest.
    pub limits: Limits,
}

impl Run {
    /// True if what it does may show in a cache.
    pub(crate) fn writes_to_cache(&self) -> bool {
        self.mounts.iter().any(|mount| !mount.read_only && matches!(mount.kind, MountKind::Cache(_)))
    }
}

/// A script file given to a [`Run`].
#[derive(Clone, Debug)]
pub struct Script {
    /// Absolute path in the box.
    pub path: String,
    pub bytes: Vec<u8>,
}

/// What does not decide the result.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Lines for `/etc/hosts`: name, address.
    pub add_hosts: Vec<(String, String)>,
    /// Name (`nofile`), soft, hard.
    pub ulimits: Vec<(String, u64, u64)>,
    /// Bytes; 64 MiB if unset.
    pub shm_size: Option<u64>,
}

/// `--network` of a `RUN`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RunNetwork {
    #[default]
    Default,
    None,
    Host,
}

/// `--security` of a `RUN`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RunSecurity {
    #[default]
    Sandbox,
    Insecure,
}

/// `RUN --mount`.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Absolute.
    pub target: String,
    pub read_only: bool,
    pub kind: MountKind,
}

#[derive(Clone, Debug)]
pub enum MountKind {
    /// `path` of the input at that position of [`Vertex::inputs`](crate::Vertex).
    Bind {
        input: usize,
        path: String,
        span: dockerfile::Span,
        /// As of [`CopySource::Path`].
        clamped: bool,
    },
    Tmpfs {
        size: Option<u64>,
    },
    /// A directory that stays from build to build.
    Cache(Cache),
    /// A file with a secret, whose value the caller has.
    Secret {
        secret: SecretRef,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// A socket of an SSH agent, which the caller has.
    Ssh {
        agent: SecretRef,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

/// A directory that stays from build to build, outside of all layers.
#[derive(Clone, Debug)]
pub struct Cache {
    /// With the namespace in front.
    pub id: String,
    pub sharing: CacheSharing,
    /// What it holds at first: a path of the input at that position.
    pub base: Option<(usize, String)>,
    /// What of it is mounted, if not all; not in the op digest. Mounting it does not make it.
    pub subpath: Option<String>,
    /// What the directory is like when it is made, if that was asked for. Such a cache is another than one of the same id that
    /// is not, or otherwise.
    pub directory: Option<CacheDirectory>,
}

/// A directory that a cache is made as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CacheDirectory {
    /// Permissions alone.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// What happens when several commands want one cache at once.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum CacheSharing {
    /// All use it.
    #[default]
    Shared,
    /// Each has one of its own.
    Private,
    /// One after the other.
    Locked,
}

/// Names a secret or an SSH agent. What it stands for is in no plan.
#[derive(Clone, Debug)]
pub struct SecretRef {
    pub id: String,
    /// Without it, a secret that was not given is left out.
    pub required: bool,
    pub span: dockerfile::Span,
}

/// A secret in a variable.
#[derive(Clone, Debug)]
pub struct SecretEnv {
    pub name: String,
    pub secret: SecretRef,
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug, Default)]
pub struct Copy {
    pub sources: Vec<CopySource>,
    /// Absolute; a trailing slash means a directory.
    pub destination: String,
    /// `user[:group]` as written after expansion.
    pub chown: Option<String>,
    pub chmod: Option<Chmod>,
    /// `ADD`: archives are extracted, except those of sources that are taken as they are.
    pub unpack: bool,
    /// `--exclude`, as written: patterns over the paths below each directory that is copied.
    pub exclude: Vec<String>,
    /// `--parents`: the pattern of each path is `BASE/./PATTERN`, and what matches keeps its path below the base.
    pub parents: bool,
    /// `--link`: the destination is resolved in an empty root, and nothing of the parent decides the layer.
    pub link: bool,
}

/// One source of a copy.
#[derive(Clone, Debug)]
pub enum CopySource {
    /// A path or wildcard of the input at that position of [`Vertex::inputs`](crate::Vertex): absolute and clean, so
    /// that nothing above the root can be named.
    Path {
        input: usize,
        pattern: String,
        span: dockerfile::Span,
        /// Not extracted, whatever [`Copy::unpack`] says.
        as_is: bool,
        /// As written it led out of the root by `..`: of no meaning but to whoever is told that nothing was found.
        clamped: bool,
    },
    /// A file written in the Dockerfile.
    Inline { name: String, bytes: Vec<u8> },
}

/// A mode to set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Chmod {
    Octal(u32),
    /// Checked; applied per entry.
    Symbolic(String),
}

/// `WORKDIR`: makes the directory if it is missing.
#[derive(Clone, Debug)]
pub struct Workdir {
    /// Absolute and clean.
    pub path: String,
    /// The current `USER`: who owns what is made (an unknown name is root).
    pub user: String,
}
