//! What a container runs: the image's configuration and what the caller puts in its place.

use image::ImageConfig;
use sandbox::{Mount, MountKind, Network, Rlimit, Rootfs, Security, Spec, TerminalSize};

use crate::{Error, Result};

/// Search path of an image that sets none (docker's default).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SHM_SIZE: u64 = 64 << 20;

/// What the caller asks for; the rest is the image's.
#[derive(Clone, Debug)]
pub struct Options {
    pub name: Option<String>,
    /// Replaces the image's `CMD`, if not empty.
    pub command: Vec<String>,
    /// Replaces `ENTRYPOINT`, and then `CMD` too; empty text: none.
    pub entrypoint: Option<String>,
    /// Put over the image's `ENV`.
    pub env: Vec<(String, String)>,
    pub volumes: Vec<Volume>,
    pub working_dir: Option<String>,
    pub user: Option<String>,
    pub hostname: Option<String>,
    pub network: Network,
    /// The root cannot be written to.
    pub read_only: bool,
    pub terminal: Option<TerminalSize>,
    pub init: bool,
    pub add_hosts: Vec<(String, String)>,
    pub rlimits: Vec<Rlimit>,
    pub shm_size: Option<u64>,
    /// The machine's `/etc/resolv.conf`.
    pub resolv_conf: Vec<u8>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            command: Vec::new(),
            entrypoint: None,
            env: Vec::new(),
            volumes: Vec::new(),
            working_dir: None,
            user: None,
            hostname: None,
            network: Network::Host,
            read_only: false,
            terminal: None,
            init: false,
            add_hosts: Vec::new(),
            rlimits: Vec::new(),
            shm_size: None,
            resolv_conf: Vec::new(),
        }
    }
}

/// A directory or file of the machine, seen in the container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Volume {
    pub source: std::path::PathBuf,
    /// Absolute path in the container.
    pub target: String,
    pub read_only: bool,
}

/// Returns the argv: `ENTRYPOINT` followed by `CMD`, with docker's rules for what replaces what.
pub(crate) fn argv(image: &ImageConfig, options: &Options) -> Result<Vec<String>> {
    let mut argv = match options.entrypoint.as_deref() {
        Some("") => Vec::new(),
        Some(entrypoint) => vec![entrypoint.to_owned()],
        None => image.config.entrypoint.clone().unwrap_or_default(),
    };
    if options.command.is_empty() && options.entrypoint.is_none() {
        argv.extend(image.config.cmd.clone().unwrap_or_default());
    } else {
        argv.extend(options.command.iter().cloned());
    }
    if argv.is_empty() { Err(Error::NoCommand) } else { Ok(argv) }
}

/// Returns the environment: the image's, then the caller's in its place.
fn env(image: &ImageConfig, options: &Options, hostname: &str) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = vec![("PATH".into(), PATH.into()), ("HOSTNAME".into(), hostname.into())];
    if options.terminal.is_some() {
        env.push(("TERM".into(), "xterm".into()));
    }
    let image = image.config.env.iter().filter_map(|e| e.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
    for (name, value) in image.chain(options.env.iter().cloned()) {
        match env.iter_mut().find(|(n, _)| *n == name) {
            Some(entry) => entry.1 = value,
            None => env.push((name, value)),
        }
    }
    env
}

fn hosts(hostname: &str, add: &[(String, String)]) -> Vec<u8> {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    text.push_str(&format!("127.0.1.1\t{hostname}\n"));
    for (name, address) in add {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text.into_bytes()
}

/// Puts everything together for the sandbox.
pub(crate) fn spec(id: &str, rootfs: Rootfs, image: &ImageConfig, options: &Options) -> Result<Spec> {
    let hostname = options.hostname.clone().unwrap_or_else(|| id[..12].to_owned());
    let cwd = options.working_dir.clone().unwrap_or_else(|| image.config.working_dir.clone());
    let mounts = options
        .volumes
        .iter()
        .map(|volume| Mount {
            target: volume.target.clone(),
            read_only: volume.read_only,
            kind: MountKind::Bind { source: volume.source.clone(), recursive: true },
        })
        .collect();
    Ok(Spec {
        rootfs,
        mounts,
        argv: argv(image, options)?,
        env: env(image, options, &hostname),
        cwd: if cwd.is_empty() { "/".into() } else { cwd },
        user: options.user.clone().unwrap_or_else(|| image.config.user.clone()),
        extra_groups: Vec::new(),
        hosts: Some(hosts(&hostname, &options.add_hosts)),
        hostname,
        network: options.network,
        security: Security::Default { no_new_privs: false },
        rlimits: options.rlimits.clone(),
        resolv_conf: Some(options.resolv_conf.clone()),
        shm_size: options.shm_size.unwrap_or(SHM_SIZE),
        terminal: options.terminal,
        init: options.init,
    })
}

#[cfg(test)]
mod tests {
    use image::config::ContainerConfig;

    use super::*;

    fn image(entrypoint: &[&str], cmd: &[&str]) -> ImageConfig {
        let list = |words: &[&str]| (!words.is_empty()).then(|| words.iter().map(|&w| w.to_owned()).collect());
        ImageConfig {
            config: ContainerConfig { entrypoint: list(entrypoint), cmd: list(cmd), ..ContainerConfig::default() },
            ..ImageConfig::default()
        }
    }

    #[track_caller]
    fn check(image: &ImageConfig, entrypoint: Option<&str>, command: &[&str], expected: &[&str]) {
        let options = Options {
            entrypoint: entrypoint.map(str::to_owned),
            command: command.iter().map(|&c| c.to_owned()).collect(),
            ..Options::default()
        };
        assert_eq!(argv(image, &options).expect("a command"), expected);
    }

    #[test]
    fn the_command_line_replaces_cmd_but_not_entrypoint() {
        check(&image(&["e"], &["c"]), None, &[], &["e", "c"]);
        check(&image(&["e"], &["c"]), None, &["x", "y"], &["e", "x", "y"]);
        check(&image(&[], &["c"]), None, &["x"], &["x"]);
    }

    #[test]
    fn another_entrypoint_drops_cmd() {
        check(&image(&["e"], &["c"]), Some("sh"), &[], &["sh"]);
        check(&image(&["e"], &["c"]), Some("sh"), &["-c", "x"], &["sh", "-c", "x"]);
        check(&image(&["e"], &["c"]), Some(""), &["x"], &["x"]);
    }

    #[test]
    fn nothing_to_run_is_an_error() {
        assert!(matches!(argv(&image(&[], &[]), &Options::default()), Err(Error::NoCommand)));
        let options = Options { entrypoint: Some(String::new()), ..Options::default() };
        assert!(matches!(argv(&image(&["e"], &["c"]), &options), Err(Error::NoCommand)));
    }

    #[test]
    fn the_callers_environment_wins_in_place() {
        let mut image = image(&[], &["c"]);
        image.config.env = vec!["A=1".into(), "PATH=/bin".into(), "B=2".into()];
        let options = Options { env: vec![("A".into(), "9".into()), ("C".into(), "3".into())], ..Options::default() };
        let env = env(&image, &options, "h");
        let env: Vec<String> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(env, ["PATH=/bin", "HOSTNAME=h", "A=9", "B=2", "C=3"]);
    }
}
