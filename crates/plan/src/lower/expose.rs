//! `EXPOSE [ip:][host:]port[-end][/protocol]…`: ports that containers are reached at.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use dockerfile::Word;

use super::scope::Scope;
use crate::lint;
use crate::ports::Protocol;

/// About what a port takes, in bytes: it is kept several times, under keys.
const PORT: usize = 256;

pub(super) fn lower(scope: &mut Scope<'_, '_>, words: &[Word]) -> Option<()> {
    let mut items = Vec::new();
    // As written: a variable stands where its name does.
    let mut words: Vec<&Word> = words.iter().collect();
    words.sort_by(|a, b| a.text.cmp(&b.text));
    for word in words {
        // BuildKit does not warn of undefined variables here.
        let expanded = scope.stages.findings.expand_words(word, &scope.state.env)?;
        items.extend(expanded.into_iter().map(|expanded| (expanded.value, word)));
    }
    let mut shown = Vec::new();
    for (text, word) in items {
        let span = word.span;
        let item = read(&text).map_err(|message| scope.error(span, message)).ok()?;
        if !word.is_literal() {
            lint::expose_protocol(&text, span, scope.stages.findings);
        }
        if item.of_host {
            lint::expose_format(&text, span, scope.stages.findings);
        }
        scope.stages.findings.charge(item.ports.len() * PORT, span)?;
        scope.state.ports.add(item.ports.clone(), item.protocol);
        shown.extend(item.ports.map(|port| (port, item.protocol)));
    }
    scope.note(line(&shown));
    Some(())
}

/// Returns the line of the history, with every port of a range in it.
fn line(ports: &[(u16, Protocol)]) -> String {
    let mut line = "EXPOSE [".to_owned();
    for (index, (port, protocol)) in ports.iter().enumerate() {
        let space = if index > 0 { " " } else { "" };
        // Writing to a string does not fail.
        let _ = write!(line, "{space}{port}/{protocol}");
    }
    line + "]"
}

#[derive(Debug, PartialEq)]
struct Item {
    ports: RangeInclusive<u16>,
    protocol: Protocol,
    /// An address or a port of the host was given, which means nothing here.
    of_host: bool,
}

fn read(text: &str) -> Result<Item, String> {
    let (front, rest) = text.rsplit_once(':').map_or((None, text), |(front, rest)| (Some(front), rest));
    let (port, protocol) = rest.split_once('/').unwrap_or((rest, ""));
    let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_lowercase() };
    if port.is_empty() {
        return Err(format!("invalid port: \"{text}\": no port specified"));
    }
    let Some(protocol) = Protocol::named(&protocol) else {
        return Err(format!("invalid port: \"{text}\": invalid proto: {protocol}"));
    };
    let ports = range(port).ok_or_else(|| format!("invalid containerPort: {port}"))?;
    if let Some(front) = front {
        check_host(front, port, &ports)?;
    }
    let of_host = front.is_some_and(|front| !matches!(front, "" | ":"));
    Ok(Item { ports, protocol, of_host })
}

/// Checks `[ip:][host]` against the ports it would be mapped to.
fn check_host(front: &str, port: &str, ports: &RangeInclusive<u16>) -> Result<(), String> {
    let (address, host) = front.rsplit_once(':').map_or(("", front), |(address, host)| (address, host));
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if !bare.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {bare}"));
    }
    if host.is_empty() {
        return Ok(());
    }
    let hosts = range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?;
    let single = ports.len() == 1;
    if hosts.len() != ports.len() && !single {
        return Err(format!("invalid ranges specified for container and host Ports: {port} and {host}"));
    }
    Ok(())
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let number = |text: &str| text.parse().ok();
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let (start, end): (u16, u16) = (number(start)?, number(end)?);
    (start <= end).then_some(start..=end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, ports: RangeInclusive<u16>, protocol: &str, of_host: bool) {
        let item = read(text).unwrap();
        assert_eq!(
            (item.ports, item.protocol.to_string().as_str(), item.of_host),
            (ports, protocol, of_host),
            "{text}"
        );
    }

    #[track_caller]
    fn check_error(text: &str, message: &str) {
        assert_eq!(read(text), Err(message.to_owned()), "{text}");
    }

    #[test]
    fn ports_and_ranges() {
        check("80", 80..=80, "tcp", false);
        check("80/UDP", 80..=80, "udp", false);
        check("80/", 80..=80, "tcp", false);
        check("8000-8002/sctp", 8000..=8002, "sctp", false);
        check("0-65535", 0..=65535, "tcp", false);
        check("+80-+81", 80..=81, "tcp", false);
    }

    #[test]
    fn host_parts_are_checked_and_dropped() {
        check("8080:80", 80..=80, "tcp", true);
        check("127.0.0.1:8080:80/tcp", 80..=80, "tcp", true);
        check("127.0.0.1::80", 80..=80, "tcp", true);
        check("[::1]:8080:80", 80..=80, "tcp", true);
        check("8000-8010:80", 80..=80, "tcp", true);
        check("::1:8080:80", 80..=80, "tcp", true);
        check("[::1]::80", 80..=80, "tcp", true);
        check(":80", 80..=80, "tcp", false);
        check("::80/udp", 80..=80, "udp", false);
        check("8000-8001:80-81", 80..=81, "tcp", true);
        check_error("host:8080:80", "invalid IP address: host");
        check_error("x:80", "invalid hostPort: x");
        check_error("8000-8001:80-82", "invalid ranges specified for container and host Ports: 80-82 and 8000-8001");
    }

    #[test]
    fn what_is_no_port() {
        check_error("http", "invalid containerPort: http");
        check_error("65536", "invalid containerPort: 65536");
        check_error("81-80", "invalid containerPort: 81-80");
        check_error("-80", "invalid containerPort: -80");
        check_error("++80", "invalid containerPort: ++80");
        check_error("80-", "invalid containerPort: 80-");
        check_error("[::1:8080:80", "invalid IP address: [::1");
        check_error("80/icmp", "invalid port: \"80/icmp\": invalid proto: icmp");
        check_error("/udp", "invalid port: \"/udp\": no port specified");
        check_error("8080:", "invalid port: \"8080:\": no port specified");
        check_error("", "invalid port: \"\": no port specified");
    }
}
