//! What a registry answers (distribution-spec, *Endpoints*).

use image::Digest;

use super::Shared;
use super::http::{Answer, Seen, parameters};
use super::state::{Access, State};

pub(super) fn answer(shared: &Shared, seen: &Seen, body: &[u8]) -> Answer {
    let mut state = shared.lock();
    if seen.path == "/token" {
        return token(&mut state, seen, body);
    }
    let Some(rest) = seen.path.strip_prefix("/v2/") else { return error(404, "UNSUPPORTED", "no such path") };
    if let Err(refusal) = admit(&state, seen, rest) {
        return refusal;
    }
    if rest.is_empty() {
        return Answer::new(200).body("{}");
    }
    let host = shared.address.to_string();
    for (kind, action) in ACTIONS {
        if let Some((repository, rest)) = rest.split_once(kind) {
            return action(&mut state, seen, &Target { host: &host, repository, rest }, body);
        }
    }
    error(404, "UNSUPPORTED", "no such path")
}

struct Target<'a> {
    host: &'a str,
    repository: &'a str,
    rest: &'a str,
}

type Action = fn(&mut State, &Seen, &Target<'_>, &[u8]) -> Answer;

const ACTIONS: [(&str, Action); 3] = [("/manifests/", manifests), ("/blobs/uploads/", uploads), ("/blobs/", blobs)];

fn manifests(state: &mut State, seen: &Seen, target: &Target<'_>, body: &[u8]) -> Answer {
    if seen.method == "PUT" {
        let lacking = state.lacking(target.repository, body);
        if !lacking.is_empty() {
            return error(400, "MANIFEST_BLOB_UNKNOWN", &lacking.join(" "));
        }
        let tag = (!target.rest.contains(':')).then_some(target.rest);
        let media_type = seen.header("content-type").unwrap_or_default();
        let digest = state.put_manifest(target.repository, tag, media_type, body);
        return Answer::new(201).with("Docker-Content-Digest", digest);
    }
    match state.manifest(target.repository, target.rest) {
        Some((media_type, bytes)) => {
            let digest = Digest::of(&bytes);
            Answer::new(200).with("Content-Type", media_type).with("Docker-Content-Digest", digest).body(bytes)
        }
        None => error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
    }
}

fn blobs(state: &mut State, seen: &Seen, target: &Target<'_>, _body: &[u8]) -> Answer {
    let digest = target.rest.parse().ok();
    let Some(bytes) = digest.and_then(|digest| state.blob(target.repository, &digest)) else {
        return error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    let range = seen.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    match range.and_then(|(start, _)| start.parse::<usize>().ok()) {
        None => Answer::new(200).body(bytes),
        Some(start) if start < bytes.len() => {
            let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            Answer::new(206).with("Content-Range", range).body(&bytes[start..])
        }
        Some(_) => error(416, "RANGE_INVALID", "beyond the end"),
    }
}

fn uploads(state: &mut State, seen: &Seen, target: &Target<'_>, body: &[u8]) -> Answer {
    let repository = target.repository;
    if seen.method == "POST" {
        let mount = seen.parameter("mount").and_then(|digest| digest.parse::<Digest>().ok());
        if let (Some(digest), Some(from)) = (mount, seen.parameter("from"))
            && state.mount(repository, &from, &digest)
        {
            return Answer::new(201).with("Docker-Content-Digest", digest);
        }
        state.begun += 1;
        let id = format!("upload-{}", state.begun);
        state.uploads.insert(id.clone(), Vec::new());
        let location = format!("http://{}/v2/{repository}/blobs/uploads/{id}?_state=hidden", target.host);
        return Answer::new(202).with("Location", location);
    }
    let Some(mut bytes) = state.uploads.get(target.rest).cloned() else {
        return error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
    };
    bytes.extend_from_slice(body);
    if seen.method == "PATCH" {
        state.uploads.insert(target.rest.to_owned(), bytes);
        return Answer::new(202).with("Location", &seen.path);
    }
    let digest = Digest::of(&bytes);
    if seen.parameter("digest") != Some(digest.to_string()) {
        return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    }
    state.uploads.remove(target.rest);
    state.put_blob(repository, &bytes);
    Answer::new(201).with("Docker-Content-Digest", digest)
}

/// Gives a token for what is asked: who proves nothing may read, if nobody is required.
fn token(state: &mut State, seen: &Seen, body: &[u8]) -> Answer {
    let Access::Token { user, refresh, .. } = &state.access else { return error(404, "UNSUPPORTED", "no tokens here") };
    let form = parameters(&String::from_utf8_lossy(body));
    let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let proven = match seen.method.as_str() {
        "POST" => refresh.is_some() && field("refresh_token") == *refresh,
        _ => user.as_ref().is_none_or(|(user, password)| seen.header("authorization") == Some(&basic(user, password))),
    };
    if !proven {
        return error(401, "UNAUTHORIZED", "incorrect username or password");
    }
    let query = parameters(&seen.query).into_iter().filter(|(name, _)| name == "scope").map(|(_, scope)| scope);
    let scopes = query.chain(field("scope")).flat_map(|text| text.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let value = format!("token-{}", state.tokens.len());
    let scopes = scopes.collect();
    state.tokens.insert(value.clone(), scopes);
    Answer::new(200).body(format!(r#"{{"token":"{value}","expires_in":300}}"#))
}

fn admit(state: &State, seen: &Seen, rest: &str) -> Result<(), Answer> {
    let refused = |challenge: String| {
        Err(error(401, "UNAUTHORIZED", "authentication required").with("WWW-Authenticate", challenge))
    };
    let given = seen.header("authorization").unwrap_or_default();
    match &state.access {
        Access::Open => Ok(()),
        Access::Basic { user, password } if given == basic(user, password) => Ok(()),
        Access::Basic { .. } => refused("Basic realm=\"fake\"".to_owned()),
        Access::Token { realm, .. } => {
            let wanted = scope(seen, rest);
            let known = given.strip_prefix("Bearer ").and_then(|token| state.tokens.get(token));
            if known.is_some_and(|scopes| wanted.is_empty() || scopes.iter().any(|scope| allows(scope, &wanted))) {
                return Ok(());
            }
            refused(format!(r#"Bearer realm="{realm}",service="fake",scope="{wanted}""#))
        }
    }
}

/// Returns the scope a request needs.
fn scope(seen: &Seen, rest: &str) -> String {
    let repository = ACTIONS.iter().find_map(|(kind, _)| rest.split_once(kind)).map(|(repository, _)| repository);
    let actions = if matches!(seen.method.as_str(), "GET" | "HEAD") { "pull" } else { "pull,push" };
    repository.map(|repository| format!("repository:{repository}:{actions}")).unwrap_or_default()
}

fn allows(scope: &str, wanted: &str) -> bool {
    let (Some((resource, given)), Some((needed, actions))) = (scope.rsplit_once(':'), wanted.rsplit_once(':')) else {
        return false;
    };
    resource == needed && actions.split(',').all(|action| given.split(',').any(|known| known == action))
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
    Answer::new(status).with("Content-Type", "application/json").body(body.to_string())
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().chain([0, 0].iter()).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let digit = char::from(DIGITS[bits >> (18 - 6 * place) & 63]);
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}
