//! From a registry into the store.

use std::collections::HashSet;
use std::sync::Mutex;

use image::descriptor::digest_of;
use image::manifest::{MAX_MANIFEST, Manifest, Parsed};
use image::{Descriptor, Digest, ImageConfig, Platform, Reference, media_type};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use reqwest::{Method, StatusCode};
use store::Store;

use crate::auth::scope::Scope;
use crate::endpoint::Endpoint;
use crate::error::{Cause, Error, Next};
use crate::fetch::Wanted;
use crate::http::{Attempts, Call, Payload, Target};
use crate::routes::Purpose;
use crate::{NoProgress, Pinned, Progress, Registry, Result};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Indexes in indexes end somewhere. Two are in use.
const MAX_DEPTH: usize = 4;

/// What names a manifest.
#[derive(Clone, Copy, Debug)]
enum Which<'a> {
    Tag(&'a str),
    Digest(Digest),
}

impl Registry {
    /// Returns the manifest for `platform` under `name` and its configuration, both kept in `store`. A tag is resolved to
    /// the digest it has now. What the store already has by digest is not asked for.
    pub fn resolve(&self, name: &Reference, platform: &Platform, store: &Store) -> Result<Pinned> {
        let name = name.clone().or_latest();
        let root = self.manifest_of(&name, store)?;
        let reference = name.clone().with_digest(root.digest);
        let root_descriptor = root.descriptor();
        let manifest = self.select(&name, root, platform, store)?;
        let config = self.config(&name, &manifest, store)?;
        let Some(parsed) = manifest.as_image().cloned() else { return Err(not_an_image(&name, "it is an index")) };
        Ok(Pinned {
            reference,
            root: root_descriptor,
            descriptor: manifest.descriptor(),
            manifest: parsed,
            platform: config.platform(),
            config,
        })
    }

    /// Fetches all layers of an image that are not in `store` yet, several at once.
    pub fn pull(&self, pinned: &Pinned, store: &Store, progress: &dyn Progress) -> Result<()> {
        let layers = pinned.manifest.layers();
        self.in_parallel(layers, |layer| self.fetch_layer(&pinned.reference, layer, store, progress))
    }

    /// Fetches one layer into `store` unless it is there. Several threads may want the same one: it is fetched once.
    pub fn fetch_layer(
        &self,
        name: &Reference,
        layer: &Descriptor,
        store: &Store,
        progress: &dyn Progress,
    ) -> Result<()> {
        let digest = digest_of(layer).map_err(|error| not_an_image(name, error))?;
        let doing = format!("fetch layer {digest} of {}", name.name());
        self.fetch_blob(name, Wanted { digest: &digest, size: layer.size(), doing: &doing, progress }, store)
    }

    /// Works on all items with a few threads; the first failure keeps further ones from starting.
    pub(crate) fn in_parallel<T: Sync>(&self, items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
        let queue = Mutex::new((items.iter(), None));
        let lock = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let run = || {
            loop {
                let next = {
                    let mut queue = lock();
                    if queue.1.is_some() { None } else { queue.0.next() }
                };
                let Some(item) = next else { return };
                if let Err(error) = work(item) {
                    lock().1.get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.concurrency().min(items.len()) {
                scope.spawn(run);
            }
            run();
        });
        lock().1.take().map_or(Ok(()), Err)
    }

    /// Returns the manifest or index that `name` stands for.
    fn manifest_of(&self, name: &Reference, store: &Store) -> Result<Manifest> {
        if let Some(digest) = name.digest {
            return self.manifest_by_digest(name, digest, None, store);
        }
        let tag = name.tag.as_deref().unwrap_or("latest");
        if let Some(manifest) = self.unchanged(name, tag, store) {
            return Ok(manifest);
        }
        let manifest = self.anywhere(name, Purpose::Tag, |endpoint, attempts| {
            self.http.retrying(attempts, || self.fetch_manifest(name, endpoint, Which::Tag(tag)))
        })?;
        keep(&manifest, store)
    }

    /// Returns what the tag stood for last time, if it still does: asking that is free of rate limits. Any doubt is
    /// settled by fetching.
    fn unchanged(&self, name: &Reference, tag: &str, store: &Store) -> Option<Manifest> {
        let known = store.resolve(name).ok()??;
        let digest = digest_of(&known).ok()?;
        let bytes = store.read_blob(&digest, MAX_MANIFEST as u64).ok()?;
        let endpoint = self.http.routes.endpoints(name, Purpose::Tag).ok()?.into_iter().next()?;
        let path = endpoint.path(&format!("manifests/{tag}"));
        let (scope, doing) = (Scope::pull(&endpoint.repository), format!("look for a newer {name}"));
        let accept = accept();
        let headers = [(ACCEPT, accept.as_str())];
        let call = Call { method: &Method::HEAD, ..get(&endpoint, &path, &headers, &scope, &doing) };
        let reply = self.http.expect(&call, &[StatusCode::OK]).ok()?;
        let now: Digest = reply.header(CONTENT_DIGEST)?.parse().ok()?;
        if now != digest {
            return None;
        }
        Manifest::parse(bytes, Some(known.media_type().as_ref())).ok()
    }

    fn manifest_by_digest(
        &self,
        name: &Reference,
        digest: Digest,
        media_type: Option<&str>,
        store: &Store,
    ) -> Result<Manifest> {
        if store.has_blob(&digest) {
            let bytes = store.read_blob(&digest, MAX_MANIFEST as u64)?;
            return Manifest::parse(bytes, media_type).map_err(|error| not_an_image(name, error));
        }
        let manifest = self.anywhere(name, Purpose::Digest, |endpoint, attempts| {
            self.http.retrying(attempts, || self.fetch_manifest(name, endpoint, Which::Digest(digest)))
        })?;
        keep(&manifest, store)
    }

    fn fetch_manifest(&self, name: &Reference, endpoint: &Endpoint, which: Which<'_>) -> Result<Manifest> {
        let (wanted, doing) = match which {
            Which::Tag(tag) => (tag.to_owned(), format!("fetch the manifest of {}:{tag}", name.name())),
            Which::Digest(digest) => (digest.to_string(), format!("fetch manifest {digest} of {}", name.name())),
        };
        let path = endpoint.path(&format!("manifests/{wanted}"));
        let scope = Scope::pull(&endpoint.repository);
        let accept = accept();
        let headers = [(ACCEPT, accept.as_str())];
        let verified = matches!(which, Which::Digest(_));
        let call = Call { verified, ..get(endpoint, &path, &headers, &scope, &doing) };
        let reply = self.http.expect(&call, &[StatusCode::OK])?;
        let media_type = reply.header(CONTENT_TYPE).map(str::to_owned);
        let told = reply.header(CONTENT_DIGEST).and_then(|text| text.parse().ok());
        let bytes = reply.bytes(MAX_MANIFEST)?;
        let digest = Digest::of(&bytes);
        let expected = if let Which::Digest(digest) = which { Some(digest) } else { told };
        if expected.is_some_and(|expected| expected != digest) {
            let source = Cause(format!("its bytes have the digest {digest}"));
            return Err(Error::Corrupt { host: endpoint.host.clone(), doing, source });
        }
        Manifest::parse(bytes, media_type.as_deref()).map_err(|error| not_an_image(name, error))
    }

    /// Goes down an index to the manifest for `platform`.
    fn select(&self, name: &Reference, root: Manifest, platform: &Platform, store: &Store) -> Result<Manifest> {
        let mut manifest = root;
        for _ in 0..MAX_DEPTH {
            let Parsed::Index(index) = &manifest.parsed else { return Ok(manifest) };
            let chosen = platform
                .select(index.manifests())
                .map_err(|source| Error::Platform { name: name.to_string(), source })?;
            let digest = digest_of(chosen).map_err(|error| not_an_image(name, error))?;
            let (size, media_type) = (chosen.size(), chosen.media_type().to_string());
            manifest = self.manifest_by_digest(name, digest, Some(&media_type), store)?;
            if manifest.bytes.len() as u64 != size {
                let actual = manifest.bytes.len();
                return Err(not_an_image(name, format!("manifest {digest} has {actual} bytes, its index says {size}")));
            }
        }
        Err(not_an_image(name, "it is an index in an index in an index"))
    }

    fn config(&self, name: &Reference, manifest: &Manifest, store: &Store) -> Result<ImageConfig> {
        let (digest, size) = manifest.config().map_err(|error| not_an_image(name, error))?;
        let doing = format!("fetch the configuration of {name}");
        self.fetch_blob(name, Wanted { digest: &digest, size, doing: &doing, progress: &NoProgress }, store)?;
        let bytes = store.read_blob(&digest, size)?;
        let config = ImageConfig::parse(&bytes).map_err(|error| not_an_image(name, error))?;
        manifest.check_layers(&config).map_err(|error| not_an_image(name, error))?;
        Ok(config)
    }

    /// Tries mirrors, then the registry. Hosts that could not be reached are not asked a second time while there is
    /// another.
    pub(crate) fn anywhere<T>(
        &self,
        name: &Reference,
        purpose: Purpose,
        mut action: impl FnMut(&Endpoint, Attempts) -> Result<T>,
    ) -> Result<T> {
        let endpoints = self.http.routes.endpoints(name, purpose)?;
        let mut failures = Vec::new();
        for endpoint in &endpoints {
            if endpoint.mirror && self.is_down(&endpoint.host) {
                continue;
            }
            let attempts = if endpoint.mirror { Attempts::FEW } else { Attempts::MANY };
            match action(endpoint, attempts) {
                Ok(value) => return Ok(value),
                Err(error) if error.next() == Next::Stop => return Err(error),
                Err(error) if endpoint.mirror => {
                    tracing::debug!(%error, "mirror failed");
                    self.note_down(&endpoint.host, &error);
                    failures.push(failure(&error));
                }
                Err(error) if failures.is_empty() => return Err(error),
                Err(error) => return Err(Error::Mirrors { mirrors: failures, source: Box::new(error) }),
            }
        }
        Err(not_an_image(name, "there is no registry to ask"))
    }
}

/// Says in one line why a mirror did not serve.
fn failure(error: &Error) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

fn get<'a>(
    endpoint: &'a Endpoint,
    path: &'a str,
    headers: &'a [(HeaderName, &'a str)],
    scope: &'a Scope,
    doing: &'a str,
) -> Call<'a> {
    Call {
        endpoint,
        method: &Method::GET,
        target: Target::Path(path),
        headers,
        payload: Payload::Nothing,
        scope,
        doing,
        verified: false,
    }
}

fn accept() -> String {
    media_type::MANIFESTS.join(", ")
}

fn keep(manifest: &Manifest, store: &Store) -> Result<Manifest> {
    let expected = (manifest.digest, manifest.bytes.len() as u64);
    store.put_blob(Some(expected), &mut manifest.bytes.as_slice())?;
    Ok(manifest.clone())
}

pub(crate) fn not_an_image(name: &Reference, reason: impl ToString) -> Error {
    Error::NotAnImage { name: name.to_string(), reason: reason.to_string() }
}

/// Returns the digests of a list of descriptors, each once.
pub(crate) fn distinct(descriptors: &[Descriptor]) -> Vec<&Descriptor> {
    let mut seen = HashSet::new();
    descriptors.iter().filter(|descriptor| seen.insert(descriptor.digest().to_string())).collect()
}
