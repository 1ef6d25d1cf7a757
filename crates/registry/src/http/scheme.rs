//! Whether a host speaks HTTPS or plain HTTP.

use reqwest::{Method, StatusCode, Url};

use super::{Http, Reply, lock};
use crate::Result;
use crate::endpoint::{Endpoint, Security};
use crate::error::Error;

impl Http {
    /// Returns the address of a path on an endpoint. Where both schemes are allowed, the host is asked once.
    pub(crate) fn url(&self, endpoint: &Endpoint, path: &str, doing: &str) -> Result<Url> {
        let scheme = self.scheme(endpoint, doing)?;
        address(scheme, endpoint, path, doing)
    }

    /// True if a certificate of `host` need not be verified.
    pub(crate) fn is_unverified(&self, host: &str) -> bool {
        self.routes.is_insecure(host) || lock(&self.unverified).contains(host)
    }

    fn scheme(&self, endpoint: &Endpoint, doing: &str) -> Result<&'static str> {
        let order = match endpoint.security {
            Security::Verified => return Ok("https"),
            Security::Plain => return Ok("http"),
            Security::Loopback => ["http", "https"],
            Security::Insecure => ["https", "http"],
        };
        if endpoint.security == Security::Insecure {
            lock(&self.unverified).insert(endpoint.host.clone());
        }
        if let Some(known) = lock(&self.schemes).get(&endpoint.host) {
            return Ok(known);
        }
        let scheme = self.probe(order, endpoint, doing)?;
        lock(&self.schemes).insert(endpoint.host.clone(), scheme);
        Ok(scheme)
    }

    /// Asks with one scheme, then the other. If none is spoken, the first failure tells.
    fn probe(&self, order: [&'static str; 2], endpoint: &Endpoint, doing: &str) -> Result<&'static str> {
        let first = match self.ping(order[0], endpoint, doing) {
            Ok(true) => return Ok(order[0]),
            Ok(false) => return Ok(order[1]),
            Err(error) => error,
        };
        match self.ping(order[1], endpoint, doing) {
            Ok(true) => Ok(order[1]),
            // It does speak TLS, and that is what is wrong.
            Err(Error::Unreachable { host, doing, source }) if source.is_of_certificate() => {
                Err(Error::Unreachable { host, doing, source })
            }
            _ => Err(first),
        }
    }

    /// False if the server says that it speaks HTTPS only.
    fn ping(&self, scheme: &'static str, endpoint: &Endpoint, doing: &str) -> Result<bool> {
        let url = address(scheme, endpoint, "/v2/", doing)?;
        let request = reqwest::Request::new(Method::GET, url);
        let reply = self.execute(request, &endpoint.host, doing)?;
        Ok(!(scheme == "http" && wants_https(reply)))
    }
}

/// Go's server and nginx alike answer plain HTTP on a TLS port with 400 and a sentence that has the word.
fn wants_https(mut reply: Reply) -> bool {
    reply.status() == StatusCode::BAD_REQUEST && reply.beginning().contains("HTTPS")
}

fn address(scheme: &str, endpoint: &Endpoint, path: &str, doing: &str) -> Result<Url> {
    Url::parse(&format!("{scheme}://{}{path}", endpoint.host)).map_err(|error| Error::Protocol {
        host: endpoint.host.clone(),
        doing: doing.to_owned(),
        reason: format!("is no address: {error}"),
    })
}
