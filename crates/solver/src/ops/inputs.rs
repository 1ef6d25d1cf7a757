//! The named parts of a key, kept in its record so that a miss can be explained.

use image::ContentId;
use plan::{CacheDirectory, Chmod, Copy, CopySource, MountKind, Run, Workdir};
use store::RecordInput;

use crate::files_of::FILES;

/// Names the address that a source was fetched from.
pub const ADDRESS: &str = "url";

/// Names the commit of a repository, and the one that its ref stood for the last time.
pub const COMMIT: &str = "commit";
pub const COMMIT_BEFORE: &str = "commit before";

pub(crate) fn input(name: impl Into<String>, value: impl Into<String>) -> RecordInput {
    RecordInput { name: name.into(), value: value.into() }
}

fn hex(hash: [u8; 32]) -> String {
    blake3::Hash::from_bytes(hash).to_hex().to_string()
}

/// Values may be secrets that somebody put into `ARG` or `ENV`, and they are long: their hash tells as much.
fn hashed(value: &[u8]) -> String {
    blake3::hash(value).to_hex()[..32].to_owned()
}

pub(crate) fn run(run: &Run, parent: ContentId, mounts: &[(String, [u8; 32])]) -> Vec<RecordInput> {
    let mut inputs = vec![
        input("argv", run.argv.join(" ")),
        input("cwd", &run.cwd),
        input("user", &run.user),
        input("hostname", &run.hostname),
        input("platform", run.platform.to_string()),
        input("network", format!("{:?}", run.network)),
        input("security", format!("{:?}", run.security)),
    ];
    inputs.extend(run.env.iter().map(|(name, value)| input(format!("env {name}"), hashed(value.as_bytes()))));
    if let Some(script) = &run.script {
        inputs.push(input("script", hashed(&script.bytes)));
    }
    for mount in &run.mounts {
        if let MountKind::Cache(cache) = &mount.kind {
            let made =
                cache.directory.map(|CacheDirectory { mode, uid, gid }| format!(" mode {mode:o} owner {uid}:{gid}"));
            inputs.push(input(format!("cache {}", mount.target), format!("{}{}", cache.id, made.unwrap_or_default())));
        }
    }
    if run.repetition > 0 {
        inputs.push(input("repetition", run.repetition.to_string()));
    }
    inputs.extend(mounts.iter().map(|(target, hash)| input(format!("mount {target}"), hex(*hash))));
    inputs.push(input("parent", parent.hex()));
    inputs
}

pub(crate) fn workdir(workdir: &Workdir, probe: [u8; 32]) -> Vec<RecordInput> {
    vec![input("destination", &workdir.path), input("user", &workdir.user), input("probe", hex(probe))]
}

pub(crate) fn copy(copy: &Copy, probe: [u8; 32], selections: &[(&str, [u8; 32])]) -> Vec<RecordInput> {
    let mut inputs = vec![input("destination", &copy.destination), input("probe", hex(probe))];
    if let Some(chown) = &copy.chown {
        inputs.push(input("chown", chown));
    }
    match &copy.chmod {
        Some(Chmod::Octal(mode)) => inputs.push(input("chmod", format!("{mode:o}"))),
        Some(Chmod::Symbolic(text)) => inputs.push(input("chmod", text)),
        None => {}
    }
    inputs.extend(copy.exclude.iter().map(|pattern| input("exclude", pattern)));
    if copy.parents {
        inputs.push(input("parents", "true"));
    }
    if copy.link {
        inputs.push(input("link", "true"));
    }
    for source in &copy.sources {
        if let CopySource::Inline { name, bytes } = source {
            inputs.push(input(format!("text {name}"), hashed(bytes)));
        }
    }
    for (pattern, selection) in selections {
        inputs.push(input(format!("{FILES}{pattern}"), hex(*selection)));
    }
    inputs
}
