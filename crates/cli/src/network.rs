//! What a `RUN` can reach, and whom it asks for names.

use std::fs;
use std::net::IpAddr;

use sandbox::Pasta;
use solver::PrivateNetwork;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What systemd-resolved says of the servers behind it.
const BEHIND_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// `/etc/resolv.conf` of a box with the network of this machine.
pub(crate) fn resolv_conf() -> Vec<u8> {
    fs::read(RESOLV_CONF).unwrap_or_default()
}

/// Returns what connects private networks here.
///
/// # Errors
/// What is missing.
pub(crate) fn private() -> Result<PrivateNetwork, String> {
    let pasta = Pasta::find()?;
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (resolv_conf, forward) = private_resolv_conf(&read(RESOLV_CONF), &read(BEHIND_RESOLVED));
    let pasta = if forward { pasta.forward_dns() } else { pasta };
    Ok(PrivateNetwork { pasta, resolv_conf: resolv_conf.into_bytes() })
}

/// Leaves out servers on loopback, which are not those of a private network. If none is left, pasta asks them on behalf of the
/// box: true.
fn private_resolv_conf(own: &str, behind_resolved: &str) -> (String, bool) {
    let text =
        [own, behind_resolved].into_iter().find(|text| text.lines().any(|line| server(line).is_some_and(reachable)));
    let mut kept: String = text
        .unwrap_or(own)
        .lines()
        .filter(|line| server(line).is_none_or(reachable))
        .flat_map(|line| [line, "\n"])
        .collect();
    if text.is_none() {
        kept.push_str(&format!("nameserver {}\n", Pasta::RESOLVER));
    }
    (kept, text.is_none())
}

/// Returns the address of a line `nameserver ADDRESS`.
fn server(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    (words.next()? == "nameserver").then(|| words.next().unwrap_or_default())
}

fn reachable(server: &str) -> bool {
    server.split('%').next().unwrap_or_default().parse().is_ok_and(|address: IpAddr| !address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: &str, behind: &str, expected: &str, forward: bool) {
        assert_eq!(private_resolv_conf(own, behind), (expected.to_owned(), forward));
    }

    #[test]
    fn servers_on_loopback_are_left_out() {
        let kept = "search example.org\nnameserver 192.0.2.53\n";
        check(kept, "", kept, false);
        check("nameserver 127.0.0.1\nnameserver ::1\nnameserver 192.0.2.1\n", "", "nameserver 192.0.2.1\n", false);
        check("nameserver 127.0.0.53\noptions edns0\n", kept, kept, false);
        check("nameserver 127.0.0.1\noptions edns0\n", "", "options edns0\nnameserver 169.254.1.1\n", true);
        check("", "", "nameserver 169.254.1.1\n", true);
        check("nameserver fe80::1%eth0\n", "", "nameserver fe80::1%eth0\n", false);
    }
}
