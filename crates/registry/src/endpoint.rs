//! Where a repository is served.

use std::net::IpAddr;

/// What a registry in the name of an image is called on the wire.
const HUB_HOST: &str = "registry-1.docker.io";

/// How a host is spoken to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Security {
    /// HTTPS with a verified certificate.
    Verified,
    /// HTTPS with whatever certificate, or plain HTTP: the user said so.
    Insecure,
    /// This machine: plain HTTP, or HTTPS if that is what answers.
    Loopback,
    /// Plain HTTP alone: the address says so.
    Plain,
}

/// One server of a repository: the registry itself or a mirror of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    /// Host with optional port, to connect to and to name in messages.
    pub(crate) host: String,
    /// The registry as credentials know it: `docker.io` for Docker Hub.
    pub(crate) registry: String,
    /// The repository as it is called there.
    pub(crate) repository: String,
    pub(crate) security: Security,
    /// True for all but the registry itself.
    pub(crate) mirror: bool,
}

impl Endpoint {
    /// Returns the endpoint of `repository` on `registry`; `insecure` as the configuration says.
    pub(crate) fn new(registry: &str, repository: &str, insecure: bool) -> Self {
        let is_hub = matches!(registry, "docker.io" | "index.docker.io");
        let host = if is_hub { HUB_HOST } else { registry };
        Self {
            host: host.to_owned(),
            registry: if is_hub { "docker.io" } else { registry }.to_owned(),
            repository: repository.to_owned(),
            security: security_of(host, insecure),
            mirror: false,
        }
    }

    /// Returns the path of the API for this repository, from the root of the server.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }
}

fn security_of(host: &str, insecure: bool) -> Security {
    match (is_loopback(host), insecure) {
        (true, _) => Security::Loopback,
        (false, true) => Security::Insecure,
        (false, false) => Security::Verified,
    }
}

/// True for a host, with or without a port, that is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = without_port(host);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Returns the host without its port.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(registry: &str, insecure: bool, host: &str, security: Security) {
        let endpoint = Endpoint::new(registry, "a", insecure);
        assert_eq!((endpoint.host.as_str(), endpoint.security), (host, security));
    }

    #[test]
    fn hosts() {
        check("docker.io", false, "registry-1.docker.io", Security::Verified);
        check("quay.io", false, "quay.io", Security::Verified);
        check("10.0.0.1:5000", true, "10.0.0.1:5000", Security::Insecure);
        check("localhost", false, "localhost", Security::Loopback);
        check("localhost:5000", true, "localhost:5000", Security::Loopback);
        check("127.9.9.9:80", false, "127.9.9.9:80", Security::Loopback);
        check("[::1]:5000", false, "[::1]:5000", Security::Loopback);
        check("[::2]", false, "[::2]", Security::Verified);
        check("localhost.example:5000", false, "localhost.example:5000", Security::Verified);
        check("127.0.0.1.example", false, "127.0.0.1.example", Security::Verified);
    }
}
