//! From names on the command line and in Dockerfiles to images.

use clap::Args;
use dockerfile::diagnostic::nearest;
use image::descriptor::digest_of;
use image::manifest::Parsed;
use image::{Descriptor, Digest, ImageConfig, ImageManifest, Manifest, Platform, Reference};
use plan::{BaseKey, BaseRequest, ResolvedBase};
use registry::Registry;
use store::{RecordKey, Store};

use crate::command::enter_namespace_from;
use crate::error::Failure;

/// Configurations and manifests above this size are refused.
const DOCUMENT_LIMIT: u64 = 4 << 20;

/// Flags of every command that talks to a registry.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RegistryArguments {
    /// Ask MIRROR before HOST (repeatable): --registry-mirror docker.io=mirror.example.com
    #[arg(long = "registry-mirror", value_name = "HOST=MIRROR", value_parser = mirror)]
    pub(crate) mirrors: Vec<(String, String)>,
}

fn mirror(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((host, mirror)) if !host.is_empty() && !mirror.is_empty() => Ok((host.to_owned(), mirror.to_owned())),
        _ => Err("expected HOST=MIRROR".to_owned()),
    }
}

/// An image of the store, opened.
#[derive(Debug)]
pub(crate) struct LocalImage {
    pub(crate) name: Reference,
    pub(crate) descriptor: Descriptor,
    pub(crate) manifest: ImageManifest,
    pub(crate) config: ImageConfig,
}

impl LocalImage {
    /// Returns the image as something to build on or to run.
    pub(crate) fn as_base(&self) -> ResolvedBase {
        ResolvedBase {
            reference: self.name.clone(),
            descriptor: self.descriptor.clone(),
            manifest: self.manifest.clone(),
            config: self.config.clone(),
        }
    }
}

/// Reads a name.
pub(crate) fn reference(text: &str) -> Result<Reference, Failure> {
    Ok(text.parse::<Reference>()?)
}

/// Reads a name that something is to be called: no digest, `latest` by default.
pub(crate) fn tag_name(text: &str) -> Result<Reference, Failure> {
    let name = reference(text)?.or_latest();
    if name.digest.is_some() {
        return Err(Failure::new(format!("`{text}` cannot be given as a name: it has a digest")).help("use NAME[:TAG]"));
    }
    Ok(name)
}

/// Returns the repository as people write it.
pub(crate) fn familiar_repository(name: &Reference) -> String {
    Reference { tag: None, digest: None, ..name.clone() }.familiar()
}

/// Finds an image of the store by name, or by (the start of) its id.
pub(crate) fn local(store: &Store, text: &str) -> Result<LocalImage, Failure> {
    if let Some((name, descriptor)) = by_id(store, text)? {
        return open(store, name, descriptor);
    }
    let name = reference(text)?.or_latest();
    match store.resolve(&name)? {
        Some(descriptor) => open(store, name, descriptor),
        None => Err(unknown_image(store, text)),
    }
}

/// Finds an image of the store, or fetches what a registry says of it; layers come when they are needed.
pub(crate) fn local_or_pull(store: &Store, registry: &Registry, text: &str) -> Result<LocalImage, Failure> {
    if let Some((name, descriptor)) = by_id(store, text)? {
        return open(store, name, descriptor);
    }
    let key = BaseKey { reference: reference(text)?.or_latest(), platform: Platform::host() };
    let request = BaseRequest { key, explicit_platform: false, similar_stage: None, span: dockerfile::Span::default() };
    let found = match base_here(store, &request, Pull::Missing)? {
        Some(found) => found,
        None => base_there(store, registry, &request)?,
    };
    let ResolvedBase { reference, descriptor, manifest, config } = found;
    Ok(LocalImage { name: reference, descriptor, manifest, config })
}

/// Says that an image is not in the store, and offers the nearest name.
pub(crate) fn unknown_image(store: &Store, text: &str) -> Failure {
    let names: Vec<String> = store.references().unwrap_or_default().iter().map(|(n, _)| n.familiar()).collect();
    let short: Vec<&str> = names.iter().map(|n| n.strip_suffix(":latest").unwrap_or(n)).collect();
    let failure = Failure::new(format!("no image named `{text}` in the store"));
    match nearest(text, names.iter().map(String::as_str).chain(short)) {
        Some(similar) => failure.help(format!("a similar name exists: `{similar}`")),
        None => failure.help("`kiln images` lists what is there, `kiln pull` fetches from a registry"),
    }
}

/// An image id (of the config, as docker has it) or a prefix of at least four digits that fits just one.
fn by_id(store: &Store, text: &str) -> Result<Option<(Reference, Descriptor)>, Failure> {
    let prefix = text.strip_prefix("sha256:").unwrap_or(text);
    if prefix.len() < 4 || !prefix.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()) {
        return Ok(None);
    }
    for (name, descriptor) in store.references()? {
        let image = open(store, name, descriptor)?;
        let ids = [image.manifest.config().digest().to_string(), image.descriptor.digest().to_string()];
        if ids.iter().any(|id| id["sha256:".len()..].starts_with(prefix)) {
            return Ok(Some((image.name, image.descriptor)));
        }
    }
    Ok(None)
}

/// Returns all names of one image.
pub(crate) fn names_of(store: &Store, descriptor: &Descriptor) -> Result<Vec<Reference>, Failure> {
    let names = store.references()?;
    Ok(names.into_iter().filter(|(_, d)| d.digest() == descriptor.digest()).map(|(name, _)| name).collect())
}

/// Opens a named manifest; of an index, the manifest for this machine.
pub(crate) fn open(store: &Store, name: Reference, descriptor: Descriptor) -> Result<LocalImage, Failure> {
    open_for(store, name, descriptor, &Platform::host())
}

fn open_for(
    store: &Store,
    name: Reference,
    descriptor: Descriptor,
    platform: &Platform,
) -> Result<LocalImage, Failure> {
    match read_manifest(store, &descriptor)?.parsed {
        Parsed::Index(index) => {
            let chosen = platform.select(index.manifests())?.clone();
            let Parsed::Image(manifest) = read_manifest(store, &chosen)?.parsed else {
                return Err(Failure::new(format!("image `{}` is an index of indexes", name.familiar())));
            };
            opened(store, name, chosen, *manifest)
        }
        Parsed::Image(manifest) => opened(store, name, descriptor, *manifest),
    }
}

fn read_manifest(store: &Store, descriptor: &Descriptor) -> Result<Manifest, Failure> {
    let bytes = store.read_blob(&digest_of(descriptor)?, DOCUMENT_LIMIT)?;
    Ok(Manifest::parse(bytes, Some(descriptor.media_type().as_ref()))?)
}

fn opened(
    store: &Store,
    name: Reference,
    descriptor: Descriptor,
    manifest: ImageManifest,
) -> Result<LocalImage, Failure> {
    let config = store.read_blob(&digest_of(manifest.config())?, DOCUMENT_LIMIT)?;
    Ok(LocalImage { name, descriptor, manifest, config: ImageConfig::parse(&config)? })
}

/// How a base image is looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pull {
    /// The store first, then the registry.
    Missing,
    /// Always ask the registry what a tag stands for.
    Always,
}

/// A question of the plan, answered.
pub(crate) type Answer = (BaseKey, Result<ResolvedBase, Failure>);

/// Answers the plan's questions about base images: from the store where it can, the others from registries, all at once.
pub(crate) fn bases(
    store: &Store,
    registry: &Registry,
    requests: &[BaseRequest],
    pull: Pull,
) -> Result<Vec<Answer>, Failure> {
    let mut answers = Vec::new();
    let mut remote = Vec::new();
    for request in requests {
        match base_here(store, request, pull).transpose() {
            Some(answer) => answers.push((request.key.clone(), answer)),
            None => remote.push(request),
        }
    }
    if !remote.is_empty() {
        // Talking to a registry starts threads, and after that no namespace can be entered.
        enter_namespace_from(store)?;
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            remote.iter().map(|request| (request, scope.spawn(|| base_there(store, registry, request)))).collect();
        answers.extend(threads.into_iter().map(|(request, thread)| {
            let answer = thread.join().unwrap_or_else(|_| Err(Failure::new("resolving the base image panicked")));
            (request.key.clone(), answer)
        }));
    });
    Ok(answers)
}

/// Returns a base image if the store has it in a form that can be read.
pub(crate) fn known_base(store: &Store, request: &BaseRequest) -> Option<ResolvedBase> {
    base_here(store, request, Pull::Missing).ok().flatten()
}

/// Looks a base image up in the store; `None` if it is not there, or a registry has to be asked.
fn base_here(store: &Store, request: &BaseRequest, pull: Pull) -> Result<Option<ResolvedBase>, Failure> {
    let BaseKey { reference, platform } = &request.key;
    if pull == Pull::Always && reference.registry != LAYOUT_HOST {
        return Ok(None);
    }
    let Some(descriptor) = store.resolve(reference)? else { return Ok(None) };
    let image = open_for(store, reference.clone(), descriptor, platform)?;
    let fits = !request.explicit_platform || image.config.platform().rank_for(platform).is_some();
    Ok(fits.then(|| image.as_base()))
}

/// Asks a registry for a base image, and keeps the name for next time.
fn base_there(store: &Store, registry: &Registry, request: &BaseRequest) -> Result<ResolvedBase, Failure> {
    let BaseKey { reference, platform } = &request.key;
    let pinned = registry.resolve(reference, platform, store)?;
    remember_origin(store, reference, pinned.manifest.layers())?;
    if reference.tag.is_some() && reference.digest.is_none() {
        store.tag(reference, &pinned.descriptor)?;
    }
    Ok(ResolvedBase {
        reference: reference.clone(),
        descriptor: pinned.descriptor,
        manifest: pinned.manifest,
        config: pinned.config,
    })
}

/// Remembers where layers that stay in the registry for now can be fetched: an image built on them has another name.
fn remember_origin(store: &Store, reference: &Reference, layers: &[Descriptor]) -> Result<(), Failure> {
    for layer in layers {
        let digest = digest_of(layer)?;
        if !store.has_blob(&digest) {
            store.put_fact(&origin_key(&digest), reference.to_string().as_bytes())?;
        }
    }
    Ok(())
}

/// Returns the image that a layer was first seen in, if it came from a registry.
pub(crate) fn origin(store: &Store, layer: &Digest) -> Result<Option<Reference>, Failure> {
    let text = store.fact(&origin_key(layer))?.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.and_then(|text| text.parse().ok()))
}

fn origin_key(layer: &Digest) -> RecordKey {
    RecordKey(*Digest::of(format!("origin of {layer}").as_bytes()).as_bytes())
}

/// The registry part of names given to images read from an OCI layout: no real host can be called so.
pub(crate) const LAYOUT_HOST: &str = "oci-layout.invalid";
