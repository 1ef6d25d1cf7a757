//! The op digest.

use std::fmt;
use std::io::Write as _;

use crate::environment::Environment;
use crate::git::GitSource;
use crate::op::{
    Cache, CacheDirectory, Chmod, Copy, CopySource, HttpSource, Mount, MountKind, Op, Run, RunNetwork, RunSecurity,
    SecretEnv, SecretRef, Source, Workdir,
};

/// Changes whenever equal ops would get another digest: every cache goes cold.
const VERSION: u64 = 1;

/// BLAKE3 of an op without its inputs: no names, spans, labels or limits. Length-prefixed fields in a fixed order,
/// under a format version (ARCHITECTURE.md, Identity).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OpDigest(pub [u8; 32]);

impl OpDigest {
    /// Returns the digest of `op`.
    pub fn of(op: &Op) -> Self {
        let mut fields = Fields::new(op.size());
        match op {
            Op::Base(base) => {
                fields.text("base");
                fields.list(&base.config.rootfs.diff_ids, |fields, id| fields.bytes(id.as_bytes()));
            }
            Op::Source(Source::Http(http)) => digest_http(&mut fields, http),
            Op::Source(Source::Git(git)) => digest_git(&mut fields, git),
            Op::Run(run) => digest_run(&mut fields, run),
            Op::Copy(copy) => digest_copy(&mut fields, copy),
            Op::Workdir(Workdir { path, user }) => {
                fields.text("workdir");
                fields.text(path);
                fields.text(user);
            }
        }
        Self(*blake3::hash(&fields.encoded).as_bytes())
    }
}

impl fmt::Display for OpDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

// The patterns name every field, so that a new one is either hashed or left out on purpose.

fn digest_http(fields: &mut Fields, http: &HttpSource) {
    let HttpSource { url, login: _, name, checksum } = http;
    fields.text("http");
    fields.text(url);
    fields.text(name);
    fields.option(checksum.as_ref(), |fields, checksum| fields.bytes(checksum.as_bytes()));
}

fn digest_git(fields: &mut Fields, git: &GitSource) {
    let GitSource {
        url,
        credentials: _,
        reference,
        checksum,
        subdir,
        keep_git_dir: _,
        submodules,
        commit_times,
        fetch_by_commit,
    } = git;
    fields.text("git");
    fields.text(url);
    fields.option(reference.as_ref(), |fields, reference| fields.text(reference));
    fields.option(checksum.as_ref(), |fields, checksum| fields.text(checksum));
    fields.text(subdir);
    fields.number(u64::from(git.keeps_git_dir()));
    fields.number(u64::from(*submodules));
    fields.number(u64::from(*commit_times == Some(true)));
    fields.number(u64::from(*fetch_by_commit));
}

fn digest_run(fields: &mut Fields, run: &Run) {
    let Run {
        argv,
        env,
        proxy: _,
        cwd,
        user,
        hostname,
        platform,
        network,
        security,
        mounts,
        secret_env,
        script,
        repetition,
        limits: _,
    } = run;
    fields.text("run");
    fields.list(argv, |fields, word| fields.text(word));
    fields.environment(env);
    fields.text(cwd);
    fields.text(user);
    fields.text(hostname);
    fields.display(platform);
    fields.text(match network {
        RunNetwork::Default => "default",
        RunNetwork::None => "none",
        RunNetwork::Host => "host",
    });
    fields.text(match security {
        RunSecurity::Sandbox => "sandbox",
        RunSecurity::Insecure => "insecure",
    });
    fields.list(mounts, digest_mount);
    fields.option(script.as_ref(), |fields, script| {
        fields.text(&script.path);
        fields.bytes(&script.bytes);
    });
    // Left out where there is none, as before there were any.
    if !secret_env.is_empty() {
        fields.text("secret env");
        fields.list(secret_env, |fields, SecretEnv { name, secret }| {
            fields.text(name);
            digest_secret(fields, secret);
        });
    }
    if *repetition > 0 {
        fields.text("repetition");
        fields.number(u64::from(*repetition));
    }
}

/// The value is not in the plan; whether a secret is there is the caller's business, too.
fn digest_secret(fields: &mut Fields, SecretRef { id, required, span: _ }: &SecretRef) {
    fields.text(id);
    fields.number(u64::from(*required));
}

fn digest_mount(fields: &mut Fields, mount: &Mount) {
    let Mount { target, read_only, kind } = mount;
    fields.text(target);
    fields.number(u64::from(*read_only));
    match kind {
        MountKind::Bind { input, path, span: _, clamped: _ } => {
            fields.text("bind");
            fields.number(*input as u64);
            fields.text(path);
        }
        MountKind::Tmpfs { size } => {
            fields.text("tmpfs");
            fields.option(size.as_ref(), |fields, size| fields.number(*size));
        }
        MountKind::Cache(Cache { id, sharing: _, base, subpath: _, directory }) => {
            fields.text("cache");
            fields.option(base.as_ref(), |fields, (input, path)| {
                fields.number(*input as u64);
                fields.text(path);
            });
            // What fills one cache does not fill another. Left out where it is as usual, as before it was there at all.
            if id != target {
                fields.text("cache id");
                fields.text(id);
            }
            if let Some(CacheDirectory { mode, uid, gid }) = directory {
                fields.text("cache directory");
                [mode, uid, gid].into_iter().for_each(|number| fields.number(u64::from(*number)));
            }
        }
        MountKind::Secret { secret, mode, uid, gid } => {
            fields.text("secret");
            digest_secret(fields, secret);
            [mode, uid, gid].into_iter().for_each(|number| fields.number(u64::from(*number)));
        }
        MountKind::Ssh { agent, mode, uid, gid } => {
            fields.text("ssh");
            digest_secret(fields, agent);
            [mode, uid, gid].into_iter().for_each(|number| fields.number(u64::from(*number)));
        }
    }
}

fn digest_copy(fields: &mut Fields, copy: &Copy) {
    let Copy { sources, destination, chown, chmod, unpack, exclude, parents, link } = copy;
    fields.text("copy");
    fields.list(sources, |fields, source| match source {
        CopySource::Path { input, pattern, span: _, as_is, clamped: _ } => {
            fields.text(if *as_is { "path as it is" } else { "path" });
            fields.number(*input as u64);
            fields.text(pattern);
        }
        CopySource::Inline { name, bytes } => {
            fields.text("inline");
            fields.text(name);
            fields.bytes(bytes);
        }
    });
    fields.text(destination);
    fields.option(chown.as_ref(), |fields, chown| fields.text(chown));
    fields.option(chmod.as_ref(), |fields, chmod| match chmod {
        Chmod::Octal(mode) => {
            fields.text("octal");
            fields.number(u64::from(*mode));
        }
        Chmod::Symbolic(text) => {
            fields.text("symbolic");
            fields.text(text);
        }
    });
    fields.number(u64::from(*unpack));
    // What came later is there only where it is asked for, so that caches stay warm.
    if !exclude.is_empty() {
        fields.text("exclude");
        fields.list(exclude, |fields, pattern| fields.text(pattern));
    }
    if *parents {
        fields.text("parents");
    }
    if *link {
        fields.text("link");
    }
}

/// Values one after the other, each with its type and length in front: no two sequences of fields encode alike.
struct Fields {
    encoded: Vec<u8>,
}

impl Fields {
    /// Starts with the format version. There is room for values of about `size` bytes.
    fn new(size: usize) -> Self {
        let mut fields = Self { encoded: Vec::with_capacity(size + 512) };
        fields.text("kiln op");
        fields.number(VERSION);
        fields
    }

    fn text(&mut self, text: &str) {
        framed(b't', text.as_bytes(), &mut self.encoded);
    }

    /// As a text.
    fn display(&mut self, value: &impl fmt::Display) {
        self.text("");
        let start = self.encoded.len();
        let _ = write!(self.encoded, "{value}");
        let length = (self.encoded.len() - start) as u64;
        self.encoded[start - size_of::<u64>()..start].copy_from_slice(&length.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        framed(b'b', bytes, &mut self.encoded);
    }

    fn number(&mut self, number: u64) {
        self.encoded.push(b'n');
        self.encoded.extend(number.to_le_bytes());
    }

    fn list<T>(&mut self, items: &[T], item: impl Fn(&mut Self, &T)) {
        self.encoded.push(b'l');
        self.encoded.extend((items.len() as u64).to_le_bytes());
        items.iter().for_each(|i| item(self, i));
    }

    /// As a list of names and values.
    fn environment(&mut self, environment: &Environment) {
        self.encoded.push(b'l');
        self.encoded.extend((environment.len() as u64).to_le_bytes());
        let encode = |(name, value): &(String, String), encoded: &mut Vec<u8>| {
            framed(b't', name.as_bytes(), encoded);
            framed(b't', value.as_bytes(), encoded);
        };
        environment.encode(encode, &mut self.encoded);
    }

    fn option<T>(&mut self, value: Option<&T>, item: impl Fn(&mut Self, &T)) {
        self.encoded.push(if value.is_some() { b's' } else { b'-' });
        if let Some(value) = value {
            item(self, value);
        }
    }
}

fn framed(kind: u8, bytes: &[u8], encoded: &mut Vec<u8>) {
    encoded.push(kind);
    encoded.extend((bytes.len() as u64).to_le_bytes());
    encoded.extend(bytes);
}

#[cfg(test)]
#[path = "digest_tests.rs"]
mod tests;
