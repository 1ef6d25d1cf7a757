//! Tokens: `GET` with a password or without (distribution, *Token Authentication*), `POST` with a refresh token
//! (*Oauth2 Token Authentication*).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, StatusCode, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::credentials::Credential;
use super::scope::Scope;
use crate::Result;
use crate::endpoint::is_loopback;
use crate::error::Error;
use crate::http::{Call, Http, Reply, host_of};
use crate::secret::Secret;

/// Far more than a token has.
const MAX_TOKEN: usize = 1 << 20;

/// What a token server means when it does not say how long its token is good.
const DEFAULT_LIFE: u64 = 60;

/// A token is replaced this long before its end, since a request takes time.
const MARGIN: Duration = Duration::from_secs(10);

/// Tokens that are still good.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<HashMap<Key, Arc<Mutex<Option<Token>>>>>);

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    realm: String,
    service: String,
    scope: Scope,
    credential: Option<Credential>,
}

#[derive(Clone, Debug)]
struct Token {
    value: Secret,
    good_until: SystemTime,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
}

impl Http {
    /// Returns the `Authorization` of a token for `call`; with `renew`, of one that was not used before.
    pub(crate) fn bearer(
        &self,
        challenge: &Challenge,
        credential: Option<&Credential>,
        call: &Call<'_>,
        renew: bool,
    ) -> Result<HeaderValue> {
        if let Some(Credential::Bearer { token }) = credential {
            return authorization("Bearer", token).ok_or_else(|| unusable(call));
        }
        let scope = call.scope.clone().merged(challenge.get("scope").unwrap_or_default());
        let key = Key {
            realm: challenge.get("realm").unwrap_or_default().to_owned(),
            service: challenge.get("service").unwrap_or_default().to_owned(),
            scope,
            credential: credential.cloned(),
        };
        let slot = self.tokens.slot(&key);
        // Held while asking: others who want the same token wait for this one.
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let good = slot.as_ref().filter(|token| !renew && self.clock.now() + MARGIN < token.good_until);
        if let Some(token) = good {
            return authorization("Bearer", &token.value).ok_or_else(|| unusable(call));
        }
        let token = self.fetch(&key, call)?;
        authorization("Bearer", &slot.insert(token).value).ok_or_else(|| unusable(call))
    }

    fn fetch(&self, key: &Key, call: &Call<'_>) -> Result<Token> {
        let realm = realm(&key.realm, call)?;
        let host = host_of(&realm);
        if key.credential.is_some() && !self.is_private(&realm, call) {
            let reason = format!("wants a password sent in the clear to {host}");
            return Err(Error::Protocol { host: call.endpoint.host.clone(), doing: call.doing.to_owned(), reason });
        }
        let doing = format!("get a token to {}", call.doing);
        let request = match &key.credential {
            Some(Credential::Identity { token }) => refresh(realm, key, token),
            credential => plain(realm, key, credential.as_ref()),
        };
        let mut reply = self.execute(request, &host, &doing)?;
        reply.user = key.credential.as_ref().map(|credential| credential.user().to_owned());
        // People log in to the registry, not to the server of its tokens.
        self.read(reply).map_err(|error| match error {
            Error::Denied { user, message, note, .. } => {
                let (host, doing) = (call.endpoint.host.clone(), call.doing.to_owned());
                Error::Denied { host, doing, user, message, note }
            }
            other => other,
        })
    }

    fn read(&self, reply: Reply) -> Result<Token> {
        let now = self.clock.now();
        if reply.status() != StatusCode::OK {
            return Err(reply.into_error(now));
        }
        let nonsense = reply.nonsense("gave an answer without a token");
        // The parser's own message would quote the answer.
        let Ok(answer) = serde_json::from_slice::<Answer>(&reply.bytes(MAX_TOKEN)?) else { return Err(nonsense) };
        let value = answer.token.into_iter().chain(answer.access_token).find(|token| !token.is_empty());
        let life = Duration::from_secs(answer.expires_in.unwrap_or(DEFAULT_LIFE).clamp(DEFAULT_LIFE, 86_400));
        value.map(|value| Token { value, good_until: now + life }).ok_or(nonsense)
    }

    /// True if nobody can listen on the way: HTTPS, or this machine talking to itself.
    fn is_private(&self, realm: &Url, call: &Call<'_>) -> bool {
        let host = host_of(realm);
        let both_here = is_loopback(&host) && is_loopback(&call.endpoint.host);
        // A user who said that a registry need not be trusted means its own token server too.
        let accepted = host == call.endpoint.host && call.endpoint.security != crate::endpoint::Security::Verified;
        realm.scheme() == "https" || both_here || accepted
    }
}

impl Tokens {
    fn slot(&self, key: &Key) -> Arc<Mutex<Option<Token>>> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tokens.entry(key.clone()).or_default())
    }
}

/// Returns the `Authorization` of a password; a refresh token is none.
pub(crate) fn basic(credential: &Credential) -> Option<HeaderValue> {
    match credential {
        Credential::Basic { user, password } => {
            let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
            authorization("Basic", &Secret::new(pair))
        }
        Credential::Bearer { token } => authorization("Bearer", token),
        Credential::Identity { .. } => None,
    }
}

fn authorization(scheme: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {}", secret.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn realm(text: &str, call: &Call<'_>) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.filter(|url| url.host_str().is_some()).ok_or_else(|| Error::Protocol {
        host: call.endpoint.host.clone(),
        doing: call.doing.to_owned(),
        reason: "asks for a token without saying where to get it".to_owned(),
    })
}

fn plain(mut realm: Url, key: &Key, credential: Option<&Credential>) -> Request {
    {
        let mut query = realm.query_pairs_mut();
        if !key.service.is_empty() {
            query.append_pair("service", &key.service);
        }
        for scope in key.scope.parameters() {
            query.append_pair("scope", &scope);
        }
        if let Some(Credential::Basic { user, .. }) = credential {
            query.append_pair("account", user);
        }
    }
    let mut request = Request::new(Method::GET, realm);
    if let Some(value) = credential.and_then(basic) {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    request
}

fn refresh(realm: Url, key: &Key, token: &Secret) -> Request {
    let scopes: Vec<String> = key.scope.parameters().collect();
    let mut form = realm.clone();
    form.set_query(None);
    form.query_pairs_mut().extend_pairs([
        ("grant_type", "refresh_token"),
        ("service", &key.service),
        ("client_id", "kiln"),
        ("scope", &scopes.join(" ")),
        ("refresh_token", token.expose()),
    ]);
    let mut request = Request::new(Method::POST, realm);
    *request.body_mut() = Some(form.query().unwrap_or_default().to_owned().into());
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    request
}

fn unusable(call: &Call<'_>) -> Error {
    Error::Protocol {
        host: call.endpoint.host.clone(),
        doing: call.doing.to_owned(),
        reason: "cannot be given a token that is no text".to_owned(),
    }
}
