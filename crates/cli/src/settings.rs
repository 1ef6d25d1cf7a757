//! What the environment says, read in one place.

use std::env;
use std::ops::Deref;
use std::path::PathBuf;

use image::Platform;
use store::Store;

use crate::error::Failure;
use crate::sync;

/// Where the store is, unless `--root` says otherwise: `KILN_ROOT`, `/var/lib/kiln` for root, the user's data directory
/// for others (XDG Base Directory Specification).
pub(crate) fn store_root(flag: Option<PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(root) = flag.or_else(|| non_empty("KILN_ROOT").map(PathBuf::from)) {
        return Ok(root);
    }
    // Inside our own user namespace the caller is root too; the identity outside decides.
    if caller_is_root() {
        return Ok(PathBuf::from("/var/lib/kiln"));
    }
    if let Some(data) = non_empty("XDG_DATA_HOME").map(PathBuf::from).filter(|p| p.is_absolute()) {
        return Ok(data.join("kiln"));
    }
    home().map(|home| home.join(".local/share/kiln")).ok_or_else(|| {
        Failure::new("cannot tell where the store should be: HOME is not set")
            .help("say where with --root or KILN_ROOT")
    })
}

/// Opens the store.
pub(crate) fn open_store(root: Option<PathBuf>) -> Result<Store, Failure> {
    let root = store_root(root)?;
    Ok(Store::open(&root)?)
}

/// A store that is swept when the command ends, well or not: what was thrown away or left half-done frees its space.
#[derive(Debug)]
pub(crate) struct Swept(pub(crate) Store);

impl Swept {
    /// Begins to bring to the disk what was written, and sweeps the store.
    pub(crate) fn close(self) -> Result<(), Failure> {
        if self.leave_sync() { sync::begin(self.root()) } else { Ok(()) }
    }
}

impl Deref for Swept {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0
    }
}

impl Drop for Swept {
    fn drop(&mut self) {
        if let Err(error) = self.0.sweep() {
            tracing::warn!(%error, "the store could not be swept");
        }
    }
}

fn caller_is_root() -> bool {
    rustix::process::getuid().is_root() && sandbox::userns::identity() == sandbox::Identity::Root
}

/// The caller's home directory.
pub(crate) fn home() -> Option<PathBuf> {
    non_empty("HOME").map(PathBuf::from)
}

/// How to reach registries: docker's configuration, `registries.conf` of the machine and the user.
pub(crate) fn registry_options(mirrors: Vec<(String, String)>) -> registry::Options {
    let docker = non_empty("DOCKER_CONFIG").map(PathBuf::from).or_else(|| home().map(|h| h.join(".docker")));
    let mut registries_conf = Vec::new();
    if let Some(path) = non_empty("CONTAINERS_REGISTRIES_CONF") {
        registries_conf.push(PathBuf::from(path));
    } else if let Some(user) = home().map(|h| h.join(".config/containers/registries.conf")).filter(|p| p.exists()) {
        registries_conf.push(user);
    } else {
        registries_conf.push(PathBuf::from("/etc/containers/registries.conf"));
        registries_conf.push(PathBuf::from("/etc/containers/registries.conf.d"));
    }
    registry::Options {
        mirrors,
        docker_config: docker.map(|dir| dir.join("config.json")),
        registries_conf,
        certs_dirs: vec!["/etc/containers/certs.d".into(), "/etc/docker/certs.d".into()],
        git: git_options(),
        ..registry::Options::default()
    }
}

/// What git is told of the caller: how to reach servers, and as whom.
fn git_options() -> registry::git::GitOptions {
    let mut variables = Vec::new();
    for name in ["http_proxy", "https_proxy", "no_proxy", "all_proxy"] {
        variables.extend([name.to_owned(), name.to_uppercase()]);
    }
    let others =
        ["SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR"];
    variables.extend(others.map(str::to_owned));
    let variables = variables.into_iter().filter_map(|name| env::var_os(&name).map(|value| (name, value)));
    registry::git::GitOptions {
        path: env::var_os("PATH").unwrap_or_default(),
        variables: variables.collect(),
        home: home(),
    }
}

const PLATFORM: &str = "DOCKER_DEFAULT_PLATFORM";

/// Returns the platform that a flag or, without one, the environment says; `None` if neither does.
pub(crate) fn platform(flag: Option<&str>) -> Result<Option<Platform>, Failure> {
    Ok(platforms(flag.as_slice())?.into_iter().next())
}

/// Returns the platforms that flags or, without any, the environment say.
pub(crate) fn platforms(flags: &[impl AsRef<str>]) -> Result<Vec<Platform>, Failure> {
    let given = platform_flags(flags)?;
    if given.is_empty() {
        return non_empty(PLATFORM).map(|text| read_platform(PLATFORM, &text)).into_iter().collect();
    }
    Ok(given)
}

/// Returns the platform that a flag says. As with docker, what an image is made or run for does not decide what is shown of one
/// that is there, or handed on.
pub(crate) fn platform_flag(flag: Option<&str>) -> Result<Option<Platform>, Failure> {
    Ok(platform_flags(flag.as_slice())?.into_iter().next())
}

/// What is empty says nothing.
fn platform_flags(flags: &[impl AsRef<str>]) -> Result<Vec<Platform>, Failure> {
    let given = flags.iter().map(AsRef::as_ref).filter(|text| !text.is_empty());
    given.map(|text| read_platform("--platform", text)).collect()
}

fn read_platform(from: &str, text: &str) -> Result<Platform, Failure> {
    if text == "local" {
        return Ok(Platform::host());
    }
    let wrong = |failure: Failure| match nearest_platform(text) {
        Some(near) => failure.help(format!("did you mean `{near}`?")).code(2),
        None => failure.code(2),
    };
    let platform = text.parse::<Platform>();
    let platform = platform.map_err(|error| wrong(Failure::from_error(&error).context(from)))?;
    if nearest_platform(text).is_some() && !platform.is_known() {
        return Err(wrong(Failure::new(format!("{from} {text}: no such platform"))));
    }
    Ok(platform)
}

/// The platforms that images are made for.
fn nearest_platform(text: &str) -> Option<&'static str> {
    const COMMON: [&str; 11] = [
        "linux/amd64",
        "linux/arm64",
        "linux/arm/v7",
        "linux/arm/v6",
        "linux/386",
        "linux/ppc64le",
        "linux/s390x",
        "linux/riscv64",
        "linux/mips64le",
        "linux/loong64",
        "windows/amd64",
    ];
    dockerfile::diagnostic::nearest(text, COMMON)
}

/// An environment variable that is set to something.
pub(crate) fn non_empty(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
