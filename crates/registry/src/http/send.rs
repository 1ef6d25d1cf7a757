//! Sending a request: authorization, redirects, bodies that can be sent again.

use std::fs::File;
use std::sync::Arc;

use futures_util::stream;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, Request, StatusCode, Url};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::client::{SILENCE, Use};
use super::{Http, Reply, host_of, lock};
use crate::Result;
use crate::auth::challenge::{self, Challenge};
use crate::auth::scope::Scope;
use crate::endpoint::{Endpoint, is_loopback};
use crate::error::{Cause, Error};

pub(crate) const MAX_REDIRECTS: usize = 10;

/// How much of a blob is read from disk at a time.
const PIECE: usize = 128 << 10;

/// A request to an endpoint.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) method: &'a Method,
    pub(crate) target: Target<'a>,
    pub(crate) headers: &'a [(HeaderName, &'a str)],
    pub(crate) payload: Payload<'a>,
    pub(crate) scope: &'a Scope,
    /// For messages: "fetch layer sha256:…".
    pub(crate) doing: &'a str,
    /// True if the answer will be verified by a digest, so that it may come from anywhere.
    pub(crate) verified: bool,
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// A path on the endpoint.
    Path(&'a str),
    /// An address that the endpoint gave.
    Address(&'a Url),
}

/// What a request carries.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// A file, opened anew for each attempt, and who wants to know how much of it is gone.
    File {
        open: &'a dyn Fn() -> Result<File>,
        size: u64,
        sent: &'a dyn Fn(u64),
    },
}

/// Whom a request is made as.
#[derive(Debug, Default)]
struct Identity {
    header: Option<HeaderValue>,
    user: Option<String>,
    note: Option<String>,
}

impl Http {
    /// Sends a request once, logging in if the endpoint asks for it, and returns the answer whatever its status is.
    pub(crate) fn send(&self, call: &Call<'_>) -> Result<Reply> {
        let url = match call.target {
            Target::Path(path) => self.url(call.endpoint, path, call.doing)?,
            Target::Address(url) => url.clone(),
        };
        let known = lock(&self.challenges).get(&call.endpoint.host).cloned();
        let mut identity = match known {
            Some(challenges) => self.identify(&challenges, call, false)?,
            None => Identity::default(),
        };
        let mut reply = self.follow(url.clone(), call, identity.header.as_ref())?;
        if reply.status() == StatusCode::UNAUTHORIZED && self.is_at(call.endpoint, reply.url()) {
            let challenges = challenge::parse(reply.headers(WWW_AUTHENTICATE));
            // What was sent along is no longer good, or nothing was: either way this is the one other attempt.
            let next = self.identify(&challenges, call, identity.header.is_some())?;
            self.remember(call.endpoint, challenges);
            if next.header.is_some() && next.header != identity.header {
                reply = self.follow(url, call, next.header.as_ref())?;
            }
            identity = next;
        }
        (reply.user, reply.note) = (identity.user, identity.note);
        Ok(reply)
    }

    /// Keeps what an endpoint asked for. The scope is that of one request.
    fn remember(&self, endpoint: &Endpoint, mut challenges: Vec<Challenge>) {
        for challenge in &mut challenges {
            challenge.parameters.remove("scope");
        }
        if !challenges.is_empty() {
            lock(&self.challenges).insert(endpoint.host.clone(), Arc::new(challenges));
        }
    }

    /// Sends a request and makes an error of any status that is not among `wanted`.
    pub(crate) fn expect(&self, call: &Call<'_>, wanted: &[StatusCode]) -> Result<Reply> {
        let reply = self.send(call)?;
        if wanted.contains(&reply.status()) { Ok(reply) } else { Err(reply.into_error(self.clock.now())) }
    }

    /// Sends one request as it is.
    pub(crate) fn execute(&self, request: Request, host: &str, doing: &str) -> Result<Reply> {
        let handle = self.handle()?;
        let client = self.client_for(request.url(), Use::Receive, host, doing)?;
        // The client looks for the runtime when it is called, not when it is awaited.
        let answer = handle.block_on(async { client.execute(request).await });
        let answer = answer.map_err(|error| broken(error, host, doing))?;
        Ok(Reply::new(answer, handle, host, doing))
    }

    /// Chooses the way in: a token where one is offered, else a password.
    fn identify(&self, challenges: &[Challenge], call: &Call<'_>, renew: bool) -> Result<Identity> {
        let endpoint = call.endpoint;
        let found = self.credentials.find(&endpoint.registry, &endpoint.repository);
        let credential = found.credential.as_ref();
        let user = credential.map(|credential| credential.user().to_owned());
        let offers = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let header = match (offers("bearer"), offers("basic")) {
            (Some(bearer), _) => {
                let header = self.bearer(bearer, credential, call, renew);
                Some(header.map_err(|error| with_note(error, found.note.as_ref()))?)
            }
            (None, Some(_)) => credential.and_then(crate::auth::token::basic),
            (None, None) => None,
        };
        Ok(Identity { header, user, note: found.note })
    }

    /// Follows redirects. Credentials go to the endpoint alone; once a redirect has led away, they are gone for good.
    fn follow(&self, url: Url, call: &Call<'_>, authorization: Option<&HeaderValue>) -> Result<Reply> {
        let mut authorization = authorization.filter(|_| self.is_at(call.endpoint, &url));
        let mut url = url;
        for _ in 0..MAX_REDIRECTS {
            let reply = self.submit(url.clone(), call, authorization)?;
            let Some(next) = redirect(&reply, call.method)? else { return Ok(reply) };
            if next.scheme() != "https" && url.scheme() == "https" && !self.may_be_plain(&next, call) {
                return Err(reply.nonsense(format!("redirects from HTTPS to plain HTTP on {}", host_of(&next))));
            }
            if !same_origin(&next, &url) {
                authorization = None;
            }
            url = next;
        }
        Err(Error::Protocol {
            host: call.endpoint.host.clone(),
            doing: call.doing.to_owned(),
            reason: format!("redirects more than {MAX_REDIRECTS} times"),
        })
    }

    fn may_be_plain(&self, url: &Url, call: &Call<'_>) -> bool {
        call.verified || is_loopback(&host_of(url)) || self.is_unverified(&host_of(url))
    }

    /// True if an address is on the endpoint itself, the scheme included: what may see its credentials.
    fn is_at(&self, endpoint: &Endpoint, url: &Url) -> bool {
        self.url(endpoint, "/v2/", "").is_ok_and(|own| same_origin(&own, url))
    }

    fn submit(&self, url: Url, call: &Call<'_>, authorization: Option<&HeaderValue>) -> Result<Reply> {
        let host = host_of(&url);
        let mut request = Request::new(call.method.clone(), url);
        add_headers(request.headers_mut(), call);
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        match call.payload {
            Payload::Nothing => {
                if matches!(*call.method, Method::POST | Method::PUT) {
                    request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                }
            }
            Payload::Bytes(bytes) => *request.body_mut() = Some(bytes.to_vec().into()),
            Payload::File { open, size, sent } => {
                request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
                return self.upload(request, open()?, sent, &host, call.doing);
            }
        }
        self.execute(request, &host, call.doing)
    }

    /// Sends a file, telling how much is gone as it goes.
    fn upload(&self, mut request: Request, file: File, sent: &dyn Fn(u64), host: &str, doing: &str) -> Result<Reply> {
        let handle = self.handle()?;
        let client = self.client_for(request.url(), Use::Send, host, doing)?;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        *request.body_mut() = Some(pieces(file, sender));
        let answer = handle.block_on(async {
            let answer = client.execute(request);
            tokio::pin!(answer);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => return answer.map_err(|error| broken(error, host, doing)),
                    count = timeout(SILENCE, next(&mut receiver)) => sent(count.map_err(|_| silent(host, doing))?),
                }
            }
        });
        Ok(Reply::new(answer?, handle, host, doing))
    }

    fn client_for(&self, url: &Url, purpose: Use, host: &str, doing: &str) -> Result<reqwest::Client> {
        let client = self.client(url, purpose)?;
        if url.scheme() == "https" && !client.has_authorities {
            return Err(Error::NoCertificates { host: host.to_owned(), doing: doing.to_owned() });
        }
        Ok(client.inner)
    }
}

/// Returns how much more is gone. When all is, there is only the answer to wait for.
async fn next(receiver: &mut mpsc::UnboundedReceiver<u64>) -> u64 {
    match receiver.recv().await {
        Some(count) => count,
        None => std::future::pending().await,
    }
}

fn pieces(file: File, sender: mpsc::UnboundedSender<u64>) -> reqwest::Body {
    let state = (tokio::fs::File::from_std(file), sender);
    reqwest::Body::wrap_stream(stream::try_unfold(state, |(mut file, sender)| async move {
        let mut piece = vec![0; PIECE];
        let count = file.read(&mut piece).await?;
        piece.truncate(count);
        let _ = sender.send(count as u64);
        Ok::<_, std::io::Error>((count > 0).then_some((piece, (file, sender))))
    }))
}

fn add_headers(headers: &mut HeaderMap, call: &Call<'_>) {
    for (name, value) in call.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(name, value);
        }
    }
}

/// Returns where an answer leads, if it is a redirect that such a request follows.
pub(crate) fn redirect(reply: &Reply, method: &Method) -> Result<Option<Url>> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match reply.status().as_u16() {
        307 | 308 => {}
        301..=303 if reads => {}
        _ => return Ok(None),
    }
    let Some(location) = reply.header(LOCATION) else { return Ok(None) };
    let next = reply.url().join(location).map_err(|_| reply.nonsense("redirects to what is no address"))?;
    match next.scheme() {
        "http" | "https" if next.host_str().is_some() => Ok(Some(next)),
        other => Err(reply.nonsense(format!("redirects to an address of the kind `{other}`"))),
    }
}

pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    (a.scheme(), a.host_str(), a.port_or_known_default()) == (b.scheme(), b.host_str(), b.port_or_known_default())
}

/// Addresses may carry signatures of a storage service, so none gets into a message.
fn broken(error: reqwest::Error, host: &str, doing: &str) -> Error {
    let error = error.without_url();
    let (host, doing) = (host.to_owned(), doing.to_owned());
    let source = if error.is_timeout() { Cause(SILENT.to_owned()) } else { Cause::innermost(&error) };
    if error.is_connect() {
        Error::Unreachable { host, doing, source }
    } else {
        Error::Interrupted { host, doing, source }
    }
}

/// Adds what went wrong when credentials were looked for.
fn with_note(error: Error, found: Option<&String>) -> Error {
    match error {
        Error::Denied { host, doing, user, message, note } => Error::Denied {
            host,
            doing,
            user,
            message,
            note: note.or_else(|| found.map(|found| found.as_str().into())),
        },
        other => other,
    }
}

const SILENT: &str = "no answer in time";

fn silent(host: &str, doing: &str) -> Error {
    Error::Interrupted { host: host.to_owned(), doing: doing.to_owned(), source: Cause(SILENT.to_owned()) }
}
