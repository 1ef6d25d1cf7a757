//! Clients: one for each way of trusting a host.

use std::time::Duration;

use reqwest::{ClientBuilder, Url};

use super::{Http, host_of, lock};
use crate::Result;
use crate::endpoint::is_loopback;
use crate::error::{Cause, Error};

/// Long enough for a slow network, short enough to try the next mirror.
const CONNECT: Duration = Duration::from_secs(30);

/// How long a server may say nothing. Registries think long over the end of a large upload.
pub(super) const SILENCE: Duration = Duration::from_secs(120);

/// What a client is for: a limit on silence would also count the time it takes to send.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Use {
    /// Small requests, large answers.
    Receive,
    /// A large request; whoever sends it watches over it.
    Send,
}

/// Which trust a client has.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Kind {
    /// The system's certificate authorities.
    System,
    /// These, and what is configured for one host.
    Host(String),
    /// No verification: this machine, or the user's wish. This machine is never reached through a proxy.
    Unverified { proxy: bool },
}

/// A client, and whether it can verify anybody.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) inner: reqwest::Client,
    pub(crate) has_authorities: bool,
}

impl Http {
    /// Returns the client for an address, made at its first use.
    pub(crate) fn client(&self, url: &Url, purpose: Use) -> Result<Client> {
        let kind = (self.kind(&host_of(url)), purpose);
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(&kind) {
            return Ok(client.clone());
        }
        let client = self.build(&kind.0, purpose)?;
        clients.insert(kind, client.clone());
        Ok(client)
    }

    fn kind(&self, host: &str) -> Kind {
        if is_loopback(host) && !self.certificates.has(host) {
            Kind::Unverified { proxy: false }
        } else if self.is_unverified(host) {
            Kind::Unverified { proxy: true }
        } else if self.certificates.has(host) {
            Kind::Host(host.to_owned())
        } else {
            Kind::System
        }
    }

    fn build(&self, kind: &Kind, purpose: Use) -> Result<Client> {
        // Fails if somebody else has installed one, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (host, authorities, identity) = match kind {
            Kind::Unverified { proxy } => {
                let builder = if *proxy { base(purpose) } else { base(purpose).no_proxy() };
                let built = builder.tls_certs_only([]).tls_danger_accept_invalid_certs(true).build();
                let inner = built.map_err(|error| failed("this machine", &error))?;
                return Ok(Client { inner, has_authorities: true });
            }
            Kind::Host(host) => {
                let found = self.certificates.of(host)?;
                (host.as_str(), found.authorities, found.identity)
            }
            Kind::System => ("registries", Vec::new(), None),
        };
        let base = || {
            let base = if is_loopback(host) { base(purpose).no_proxy() } else { base(purpose) };
            identity.iter().fold(base, |base, identity| base.identity(identity.clone()))
        };
        if let Ok(inner) = base().tls_certs_merge(authorities.clone()).build() {
            return Ok(Client { inner, has_authorities: true });
        }
        // A system without any CA certificate: plain HTTP and configured authorities still work.
        let has_authorities = !authorities.is_empty();
        let built = base().tls_certs_only(authorities).build();
        Ok(Client { inner: built.map_err(|error| failed(host, &error))?, has_authorities })
    }
}

/// Redirects are ours to follow, since credentials must not go with them.
fn base(purpose: Use) -> ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .http2_adaptive_window(true)
        .referer(false);
    match purpose {
        Use::Receive => builder.read_timeout(SILENCE),
        Use::Send => builder,
    }
}

fn failed(host: &str, error: &reqwest::Error) -> Error {
    Error::Tls { host: host.to_owned(), source: Cause::innermost(error) }
}
