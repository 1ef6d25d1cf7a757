//! What the environment says, read in one place.

use std::env;
use std::path::PathBuf;

use store::Store;

use crate::error::Failure;

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

/// An environment variable that is set to something.
pub(crate) fn non_empty(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
