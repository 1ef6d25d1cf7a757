//! `--allow`, and what the machine denies in spite of it.

use std::fs;
use std::io;

use plan::{Entitlements, RunNetwork};
use serde::Deserialize;

use crate::error::Failure;

/// Where an administrator says what holds for every build of this machine.
const CONFIG: &str = "/etc/kiln/config.toml";

/// Keys that are not known here may mean to deny something: they are no mere oversight.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Entitlements that no flag can give.
    #[serde(default)]
    deny: Vec<String>,
}

/// Returns what steps may ask for. `--network=host` allows what it gives to every step, as with buildx.
pub(super) fn granted(flags: &[String], network: RunNetwork) -> Result<Entitlements, Failure> {
    let mut asked = flags.iter().map(String::as_str).collect::<Vec<_>>();
    if network == RunNetwork::Host {
        asked.push(Entitlements::NETWORK_HOST);
    }
    if asked.is_empty() {
        return Ok(Entitlements::default());
    }
    let config = match fs::read_to_string(CONFIG) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::new(format!("failed to read {CONFIG}: {error}"))),
    };
    allowed(&asked, &config.unwrap_or_default())
}

fn allowed(asked: &[&str], config: &str) -> Result<Entitlements, Failure> {
    let config: Config =
        toml::from_str(config).map_err(|error| Failure::new(format!("failed to read {CONFIG}: {error}")))?;
    for name in &config.deny {
        known(name).map_err(|failure| failure.context(format!("failed to read {CONFIG}")))?;
    }
    let mut granted = Entitlements::default();
    for name in asked {
        let entitlement = known(name)?;
        if config.deny.iter().any(|denied| denied == name) {
            let failure = Failure::new(format!("entitlement {name} is not allowed")).code(2);
            return Err(failure.help(format!("{CONFIG} denies it on this machine")));
        }
        *entitlement(&mut granted) = true;
    }
    Ok(granted)
}

fn known(name: &str) -> Result<fn(&mut Entitlements) -> &mut bool, Failure> {
    match name {
        Entitlements::NETWORK_HOST => Ok(|granted| &mut granted.network_host),
        Entitlements::SECURITY_INSECURE => Ok(|granted| &mut granted.security_insecure),
        _ => {
            let failure = Failure::new(format!("invalid entitlement \"{name}\""));
            Err(failure.help("expected network.host or security.insecure").code(2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_granted_unless_the_machine_denies_it() {
        let both = ["network.host", "security.insecure"];
        let all = Entitlements { network_host: true, security_insecure: true };
        assert_eq!(allowed(&both, "").ok(), Some(all));
        assert_eq!(allowed(&both[..1], "").ok(), Some(Entitlements { network_host: true, ..Default::default() }));
        assert_eq!(allowed(&both[..1], "deny = [\"security.insecure\"]").ok().map(|e| e.network_host), Some(true));
        let denied = allowed(&both, "deny = [\"security.insecure\"]").unwrap_err();
        assert!(format!("{denied:?}").contains("entitlement security.insecure is not allowed"));
    }

    #[test]
    fn mistakes_deny() {
        for (asked, config) in [
            ("device", ""),
            ("network.host", "deny = [\"network\"]"),
            ("network.host", "denied = []"),
            ("network.host", "deny"),
        ] {
            assert!(allowed(&[asked], config).is_err(), "{asked} {config}");
        }
    }
}
