//! From the store to a registry: first what is referred to, then what refers.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};

use image::descriptor::digest_of;
use image::manifest::{MAX_MANIFEST, Manifest, Parsed};
use image::{Descriptor, Digest, Reference, media_type};
use reqwest::header::{CONTENT_TYPE, HeaderName, LOCATION};
use reqwest::{Method, StatusCode, Url};
use store::Store;

use crate::auth::scope::Scope;
use crate::endpoint::{Endpoint, Security};
use crate::error::{Cause, Error};
use crate::fetch::Wanted;
use crate::http::{Attempts, Call, Payload, Reply, Target};
use crate::pull::distinct;
use crate::{Progress, Registry, Result};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// One push: where to, and from what.
struct Push<'a> {
    registry: &'a Registry,
    name: &'a Reference,
    endpoint: Endpoint,
    /// Repositories that may already have some of the blobs.
    sources: &'a [Reference],
    store: &'a Store,
    progress: &'a dyn Progress,
}

impl Registry {
    /// Pushes a manifest or an index with all it refers to, and returns its digest, which is what `name` stands for from
    /// then on.
    pub fn push(
        &self,
        name: &Reference,
        manifest: &Descriptor,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<Digest> {
        self.push_from(name, manifest, &[], store, progress)
    }

    /// Pushes like [`Registry::push`]. Blobs that one of `sources` has are mounted from there if it is on the same host,
    /// and fetched from there if they are not in the store.
    pub fn push_from(
        &self,
        name: &Reference,
        manifest: &Descriptor,
        sources: &[Reference],
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<Digest> {
        let name = name.clone().or_latest();
        let endpoint = self.http.routes.origin(&name)?;
        let push = Push { registry: self, name: &name, endpoint, sources, store, progress };
        let manifest = push.read(manifest)?;
        push.contents(&manifest)?;
        let digest = manifest.digest.to_string();
        push.put_manifest(&manifest, name.tag.as_deref().unwrap_or(&digest))?;
        Ok(manifest.digest)
    }
}

impl Push<'_> {
    /// Pushes what a manifest or an index refers to.
    fn contents(&self, manifest: &Manifest) -> Result<()> {
        match &manifest.parsed {
            Parsed::Image(image) => {
                let mut blobs = image.layers().clone();
                blobs.push(image.config().clone());
                let roles: Vec<_> =
                    distinct(&blobs).into_iter().map(|blob| (blob, role(blob, image.config()))).collect();
                self.registry.in_parallel(&roles, |(blob, role)| self.blob(blob, role))
            }
            Parsed::Index(index) => index.manifests().iter().try_for_each(|child| self.child(child)),
        }
    }

    /// Pushes an entry of an index, unless the registry has it: it would not without all that belongs to it.
    fn child(&self, child: &Descriptor) -> Result<()> {
        let digest = self.digest(child)?;
        if !media_type::MANIFESTS.contains(&child.media_type().as_ref()) {
            return self.blob(child, "entry");
        }
        let doing = format!("push manifest {digest} to {}", self.name.name());
        if self.exists(&format!("manifests/{digest}"), &doing)? {
            return Ok(());
        }
        let manifest = self.read(child)?;
        self.contents(&manifest)?;
        self.put_manifest(&manifest, &digest.to_string())
    }

    fn blob(&self, blob: &Descriptor, role: &'static str) -> Result<()> {
        let (digest, size) = (self.digest(blob)?, blob.size());
        let doing = format!("push {role} {digest} to {}", self.name.name());
        let _slot = self.registry.slots.take(digest);
        let sent = AtomicU64::new(0);
        self.registry.http.retrying(Attempts::MANY, || {
            sent.store(0, Ordering::Relaxed);
            self.deliver(digest, size, role, &doing, &sent)
        })?;
        self.registry.note_source(&self.endpoint, digest);
        self.progress.bytes(&digest, size, size);
        Ok(())
    }

    /// Sees to it that the registry has a blob: it does, or another of its repositories does, or it is sent.
    fn deliver(&self, digest: Digest, size: u64, role: &'static str, doing: &str, sent: &AtomicU64) -> Result<()> {
        if self.exists(&format!("blobs/{digest}"), doing)? {
            return Ok(());
        }
        let Some(session) = self.begin(digest, doing)? else { return Ok(()) };
        self.obtain(digest, size, role)?;
        self.upload(&session, digest, size, doing, sent)
    }

    fn exists(&self, rest: &str, doing: &str) -> Result<bool> {
        let path = self.endpoint.path(rest);
        let scope = Scope::push(&self.endpoint.repository);
        let accept = media_type::MANIFESTS.join(", ");
        let headers = [(reqwest::header::ACCEPT, accept.as_str())];
        let call = Call { method: &Method::HEAD, headers: &headers, ..self.call(Target::Path(&path), &scope, doing) };
        let reply = self.registry.http.send(&call)?;
        match reply.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(false),
            // A storage service behind the registry that answers GET alone tells nothing.
            _ if reply.host != self.endpoint.host => Ok(false),
            _ => Err(reply.into_error(self.registry.http.clock.now())),
        }
    }

    /// Begins an upload, trying to mount instead (distribution-spec, *Mounting a blob from another repository*); `None`
    /// if that worked.
    fn begin(&self, digest: Digest, doing: &str) -> Result<Option<Url>> {
        let mut scope = Scope::push(&self.endpoint.repository);
        for source in self.mountable(digest) {
            scope = scope.and(&source, &["pull"]);
            let path = self.endpoint.path(&format!("blobs/uploads/?mount={digest}&from={source}"));
            let call = Call { method: &Method::POST, ..self.call(Target::Path(&path), &scope, doing) };
            let reply = self.registry.http.send(&call)?;
            match reply.status() {
                StatusCode::CREATED => return Ok(None),
                StatusCode::ACCEPTED => return session(&reply, &self.endpoint).map(Some),
                // Not allowed to read there, or mounting is not known: an upload will tell.
                _ => {}
            }
        }
        let scope = Scope::push(&self.endpoint.repository);
        let path = self.endpoint.path("blobs/uploads/");
        let call = Call { method: &Method::POST, ..self.call(Target::Path(&path), &scope, doing) };
        let reply = self.registry.http.expect(&call, &[StatusCode::ACCEPTED])?;
        session(&reply, &self.endpoint).map(Some)
    }

    /// Returns other repositories of the same host that have or may have a blob.
    fn mountable(&self, digest: Digest) -> Vec<String> {
        let known = self.registry.known().sources.get(&(self.endpoint.host.clone(), digest)).cloned();
        let routes = &self.registry.http.routes;
        let endpoints = self.sources.iter().filter_map(|source| routes.origin(source).ok());
        let hinted = endpoints.filter(|source| source.host == self.endpoint.host).map(|source| source.repository);
        let mut found: Vec<String> = Vec::new();
        for repository in known.into_iter().chain(hinted) {
            if repository != self.endpoint.repository && !found.contains(&repository) {
                found.push(repository);
            }
        }
        found.truncate(2);
        found
    }

    /// Makes sure that a blob is in the store, fetching it from where the image came from.
    fn obtain(&self, digest: Digest, size: u64, role: &'static str) -> Result<()> {
        let mut failure = None;
        for source in self.sources {
            if self.store.has_blob(&digest) {
                return Ok(());
            }
            let doing = format!("fetch {role} {digest} of {}", source.name());
            let wanted = Wanted { digest: &digest, size, doing: &doing, progress: self.progress };
            failure = self.registry.bring(source, wanted, self.store).err();
        }
        if self.store.has_blob(&digest) {
            return Ok(());
        }
        Err(failure.unwrap_or_else(|| Error::Missing { name: self.name.to_string(), role, digest }))
    }

    /// Sends a blob in one piece (distribution-spec, *POST then PUT*).
    fn upload(&self, session: &Url, digest: Digest, size: u64, doing: &str, sent: &AtomicU64) -> Result<()> {
        let mut address = session.clone();
        address.query_pairs_mut().append_pair("digest", &digest.to_string());
        let scope = Scope::push(&self.endpoint.repository);
        let open = || -> Result<File> { Ok(self.store.open_blob(&digest)?) };
        let told = |count: u64| {
            let done = sent.fetch_add(count, Ordering::Relaxed) + count;
            self.progress.bytes(&digest, done.min(size), size);
        };
        let call = Call {
            method: &Method::PUT,
            headers: &[(CONTENT_TYPE, "application/octet-stream")],
            payload: Payload::File { open: &open, size, sent: &told },
            ..self.call(Target::Address(&address), &scope, doing)
        };
        let reply = self.registry.http.expect(&call, &[StatusCode::CREATED, StatusCode::NO_CONTENT]);
        let reply = reply.map_err(|error| match error {
            // Registries forget sessions, of a restart for one: another attempt begins a new one.
            Error::NotFound { host, doing, .. } => {
                Error::Interrupted { host, doing, source: Cause("the registry has forgotten the upload".to_owned()) }
            }
            other => other,
        })?;
        self.check(&reply, digest, doing)
    }

    fn put_manifest(&self, manifest: &Manifest, wanted: &str) -> Result<()> {
        let path = self.endpoint.path(&format!("manifests/{wanted}"));
        let scope = Scope::push(&self.endpoint.repository);
        let doing = format!("push the manifest of {}", self.name);
        let call = Call {
            method: &Method::PUT,
            headers: &[(CONTENT_TYPE, manifest.media_type)],
            payload: Payload::Bytes(&manifest.bytes),
            ..self.call(Target::Path(&path), &scope, &doing)
        };
        let accepted = [StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED];
        let http = &self.registry.http;
        let reply = http.retrying(Attempts::MANY, || http.expect(&call, &accepted))?;
        self.check(&reply, manifest.digest, &doing)
    }

    /// A registry that says it keeps something else does not keep what was sent.
    fn check(&self, reply: &Reply, digest: Digest, doing: &str) -> Result<()> {
        let kept: Option<Digest> = reply.header(CONTENT_DIGEST).and_then(|text| text.parse().ok());
        match kept.filter(|kept| *kept != digest) {
            None => Ok(()),
            Some(kept) => Err(Error::Corrupt {
                host: self.endpoint.host.clone(),
                doing: doing.to_owned(),
                source: Cause(format!("it keeps {kept} instead of {digest}")),
            }),
        }
    }

    fn call<'c>(&'c self, target: Target<'c>, scope: &'c Scope, doing: &'c str) -> Call<'c> {
        Call {
            endpoint: &self.endpoint,
            method: &Method::GET,
            target,
            headers: &[],
            payload: Payload::Nothing,
            scope,
            doing,
            verified: false,
        }
    }

    fn read(&self, target: &Descriptor) -> Result<Manifest> {
        let digest = self.digest(target)?;
        if !self.store.has_blob(&digest) {
            return Err(Error::Missing { name: self.name.to_string(), role: "manifest", digest });
        }
        let bytes = self.store.read_blob(&digest, MAX_MANIFEST as u64)?;
        Manifest::parse(bytes, Some(target.media_type().as_ref())).map_err(|error| self.unusable(&error))
    }

    fn digest(&self, descriptor: &Descriptor) -> Result<Digest> {
        digest_of(descriptor).map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &dyn std::error::Error) -> Error {
        Error::NotAnImage { name: self.name.to_string(), reason: error.to_string() }
    }
}

fn role(blob: &Descriptor, config: &Descriptor) -> &'static str {
    if blob.digest() == config.digest() { "configuration" } else { "layer" }
}

/// Returns where an upload goes on.
fn session(reply: &Reply, endpoint: &Endpoint) -> Result<Url> {
    let location = reply.header(LOCATION).ok_or_else(|| reply.nonsense("began an upload without saying where"))?;
    let verified = endpoint.security == Security::Verified;
    next_address(reply.url(), location, verified).map_err(|reason| reply.nonsense(reason))
}

/// Resolves the address of an upload against the one that gave it. A registry behind a proxy may give its own without
/// the `s`; it is not followed into the clear.
fn next_address(base: &Url, location: &str, verified: bool) -> std::result::Result<Url, &'static str> {
    let mut url = base.join(location).map_err(|_| "began an upload at what is no address")?;
    if verified && url.scheme() == "http" {
        let same_host = url.host_str() == base.host_str() && url.port().is_none_or(|port| Some(port) == base.port());
        if !same_host || url.set_scheme("https").is_err() || url.set_port(base.port()).is_err() {
            return Err("wants an upload sent in the clear");
        }
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(location: &str, verified: bool, expected: Result<&str, &str>) {
        let base = Url::parse("https://r.example:5000/v2/a/blobs/uploads/").unwrap();
        let found = next_address(&base, location, verified);
        assert_eq!(found.as_ref().map(Url::as_str).map_err(|reason| *reason), expected);
    }

    #[test]
    fn addresses_of_uploads() {
        let here = "https://r.example:5000/v2/a/blobs/uploads/1?s=2";
        check("/v2/a/blobs/uploads/1?s=2", true, Ok(here));
        check("1?s=2", true, Ok(here));
        check("http://r.example/v2/a/blobs/uploads/1?s=2", true, Ok(here));
        check("http://r.example:5000/v2/a/blobs/uploads/1?s=2", true, Ok(here));
        check("http://r.example:80/1", true, Ok("https://r.example:5000/1"));
        check("https://storage.example/1", true, Ok("https://storage.example/1"));
        check("http://storage.example/1", true, Err("wants an upload sent in the clear"));
        check("http://r.example:81/1", true, Err("wants an upload sent in the clear"));
        check("http://r.example:81/1", false, Ok("http://r.example:81/1"));
        check("https://", true, Err("began an upload at what is no address"));
    }
}
