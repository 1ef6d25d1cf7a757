//! From names on the command line and in Dockerfiles to images.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use dockerfile::diagnostic::nearest;
use image::descriptor::{digest_of, with_platform};
use image::manifest::Parsed;
use image::platform::is_attestation;
use image::{Descriptor, Digest, ImageConfig, ImageManifest, Manifest, Platform, Reference, media_type};
use plan::{BaseKey, BaseRequest, ResolvedBase};
use registry::Registry;
use store::{DraftImage, RecordKey, Store, Target};

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
    /// What the name stands for: the manifest, or an index that it is in.
    pub(crate) target: Descriptor,
    pub(crate) descriptor: Descriptor,
    pub(crate) manifest: ImageManifest,
    pub(crate) config: ImageConfig,
}

impl LocalImage {
    /// Returns the id that people see: the configuration's digest, as docker has it; for an index, its own.
    pub(crate) fn id(&self) -> String {
        let is_index = self.target.digest() != self.descriptor.digest();
        let described = if is_index { &self.target } else { self.manifest.config() };
        described.digest().to_string()
    }

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

/// Reads the name of a repository: neither tag nor digest.
pub(crate) fn repository(text: &str) -> Result<Reference, Failure> {
    let name = reference(text)?;
    if name.tag.is_some() || name.digest.is_some() {
        return Err(Failure::new(format!("`{text}` is not a repository alone")).help("leave its tag and digest away"));
    }
    Ok(name)
}

/// Returns the repository as people write it.
pub(crate) fn familiar_repository(name: &Reference) -> String {
    Reference { tag: None, digest: None, ..name.clone() }.familiar()
}

/// Finds what a name of the store, or (the start of) an id, stands for.
pub(crate) fn find(store: &Store, text: &str) -> Result<(Reference, Target), Failure> {
    if let Some((name, manifest)) = by_id(store, text)? {
        return Ok((name, Target::Manifest(manifest)));
    }
    let name = reference(text)?.or_latest();
    match store.target(&name)? {
        Some(target) => Ok((name, target)),
        None => Err(unknown_image(store, text)),
    }
}

/// Returns the manifest or index of what a name stands for. An image that was built but not packed is packed now, in the
/// namespace that its files are from: this has to come before anything that starts threads.
pub(crate) fn packed(store: &Store, target: &Target) -> Result<Descriptor, Failure> {
    match target {
        Target::Manifest(manifest) => Ok(manifest.clone()),
        Target::Draft(draft) => match store.assembled(draft)? {
            Some(manifest) => Ok(manifest),
            None => {
                enter_namespace_from(store)?;
                let made = store.assemble(draft)?;
                store.sync()?;
                Ok(made)
            }
        },
    }
}

/// Finds what a name or an id stands for, of an index the image for `platform` alone if one is given.
pub(crate) fn find_for(
    store: &Store,
    text: &str,
    platform: Option<&Platform>,
) -> Result<(Reference, Descriptor), Failure> {
    let (name, target) = find(store, text)?;
    let target = packed(store, &target)?;
    match platform {
        None => Ok((name, target)),
        Some(platform) => open_for(store, name, target, platform).map(|image| (image.name, image.descriptor)),
    }
}

/// Finds an image of the store by name or id; of an index the one for `platform`, by default this machine's.
pub(crate) fn local(store: &Store, text: &str, platform: Option<&Platform>) -> Result<LocalImage, Failure> {
    let (name, target) = find(store, text)?;
    let target = packed(store, &target)?;
    match platform {
        None => open(store, name, target),
        Some(platform) => open_for(store, name, target, platform),
    }
}

/// Finds an image of the store, or fetches what a registry says of it; layers come when they are needed.
pub(crate) fn local_or_pull(
    store: &Store,
    registry: &Registry,
    text: &str,
    platform: Option<Platform>,
) -> Result<LocalImage, Failure> {
    if let Some((name, target)) = by_id(store, text)? {
        return match platform {
            None => open(store, name, target),
            Some(platform) => open_for(store, name, target, &platform),
        };
    }
    let explicit_platform = platform.is_some();
    let key = BaseKey { reference: reference(text)?.or_latest(), platform: platform.unwrap_or_else(Platform::host) };
    let request = BaseRequest { key, explicit_platform, help: None, span: dockerfile::Span::default() };
    let found = match base_here(store, &request, Pull::Missing)? {
        Some(found) => found,
        None => base_there(store, registry, &request)?,
    };
    let ResolvedBase { reference, descriptor, manifest, config } = found;
    if explicit_platform {
        check_platform(&reference, &config.platform(), &request.key.platform)?;
    }
    Ok(LocalImage { name: reference, target: descriptor.clone(), descriptor, manifest, config })
}

/// Finds an image that was built here, packed or not, by its name; `None` if it is something else, or for another platform.
pub(crate) fn built(
    store: &Store,
    text: &str,
    platform: Option<&Platform>,
) -> Result<Option<(Reference, DraftImage)>, Failure> {
    let name = reference(text)?.or_latest();
    let Some(Target::Draft(id)) = store.target(&name)? else { return Ok(None) };
    let mut images = store.draft(&id)?.map(|draft| draft.images).unwrap_or_default();
    let at = match platform {
        Some(platform) => best(images.iter().map(|image| image.config.platform()), platform),
        None => best(images.iter().map(|image| image.config.platform()), &Platform::host()).or(Some(0)),
    };
    Ok(at.filter(|at| *at < images.len()).map(|at| (name, images.swap_remove(at))))
}

/// Returns the name in the store that is nearest to `text`.
fn similar_name(store: &Store, text: &str) -> Option<String> {
    let names: Vec<String> = store.references().unwrap_or_default().iter().map(|(n, _)| n.familiar()).collect();
    let short: Vec<&str> = names.iter().map(|n| n.strip_suffix(":latest").unwrap_or(n)).collect();
    nearest(text, names.iter().map(String::as_str).chain(short)).map(str::to_owned)
}

/// Says that an image is not in the store, and offers the nearest name.
pub(crate) fn unknown_image(store: &Store, text: &str) -> Failure {
    let failure = Failure::new(format!("no image named `{text}` in the store"));
    match similar_name(store, text) {
        Some(similar) => failure.help(format!("a similar name exists: `{similar}`")),
        None => failure.help("`kiln images` lists what is there, `kiln pull` fetches from a registry"),
    }
}

/// An image id (of the config, as docker has it; of an index, its digest), or that of an image in an index, or a prefix
/// of one of at least four digits.
fn by_id(store: &Store, text: &str) -> Result<Option<(Reference, Descriptor)>, Failure> {
    let prefix = text.strip_prefix("sha256:").unwrap_or(text);
    if prefix.len() < 4 || !prefix.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()) {
        return Ok(None);
    }
    let fits = |descriptor: &Descriptor| descriptor.digest().digest().starts_with(prefix);
    let (mut ids, mut found) = (BTreeSet::new(), None);
    for (name, target) in store.references()? {
        // What is not packed has no id that somebody could have seen.
        let Some(target) = store.manifest_of(&target)? else { continue };
        if fits(&target) {
            ids.insert(target.digest().to_string());
            found.get_or_insert((name, target));
            continue;
        }
        for image in images_of(store, &name, &target)? {
            let id = [&image.descriptor, image.manifest.config()].into_iter().find(|descriptor| fits(descriptor));
            if let Some(id) = id {
                ids.insert(id.digest().to_string());
                found.get_or_insert((name.clone(), image.descriptor));
            }
        }
    }
    if ids.len() > 1 {
        let ids: Vec<_> = ids.into_iter().collect();
        return Err(
            Failure::new(format!("`{prefix}` is the start of the ids of {} images", ids.len())).help(ids.join(", "))
        );
    }
    Ok(found)
}

/// Opens the image that another was built on, under the name by which its layers can be fetched.
pub(crate) fn base_of(store: &Store, name: Reference, base: Descriptor) -> Result<ResolvedBase, Failure> {
    let mut base = open(store, name, base)?.as_base();
    for layer in base.manifest.layers() {
        if let Some(origin) = origin(store, &digest_of(layer)?)? {
            base.reference = origin;
            break;
        }
    }
    Ok(base)
}

/// Returns all names of what is described.
pub(crate) fn names_of(store: &Store, target: &Descriptor) -> Result<Vec<Reference>, Failure> {
    let mut names = Vec::new();
    for (name, named) in store.references()? {
        if store.manifest_of(&named)?.is_some_and(|manifest| manifest.digest() == target.digest()) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Opens what a name stands for; of an index, the image for this machine, or the first that is here.
pub(crate) fn open(store: &Store, name: Reference, target: Descriptor) -> Result<LocalImage, Failure> {
    let mut images = images_of(store, &name, &target)?;
    match pick(&images, &Platform::host()).or((!images.is_empty()).then_some(0)) {
        Some(at) => Ok(images.swap_remove(at)),
        None => Err(Failure::new(format!("nothing of image `{}` is here that could be used", name.familiar()))),
    }
}

fn open_for(store: &Store, name: Reference, target: Descriptor, platform: &Platform) -> Result<LocalImage, Failure> {
    let mut images = images_of(store, &name, &target)?;
    match pick(&images, platform) {
        Some(at) => Ok(images.swap_remove(at)),
        None => Err(Failure::new(format!("image `{}` is not here for {platform}", name.familiar()))
            .help(here_for(&name, &images))),
    }
}

/// Fails if an image is not for the platform that was asked for: what a registry has under a name may be one image, for
/// whatever platform.
pub(crate) fn check_platform(name: &Reference, actual: &Platform, wanted: &Platform) -> Result<(), Failure> {
    if actual.rank_for(wanted).is_some() {
        return Ok(());
    }
    let name = name.familiar();
    Err(Failure::new(format!("image `{name}` was found, but not for {wanted}: it is for {actual}"))
        .help(format!("take it as it is with `--platform {actual}`")))
}

/// Returns which of `images` is the best for a machine of a platform, the first of equals.
fn pick(images: &[LocalImage], platform: &Platform) -> Option<usize> {
    best(images.iter().map(|image| image.config.platform()), platform)
}

fn best(platforms: impl Iterator<Item = Platform>, platform: &Platform) -> Option<usize> {
    let ranks = platforms.enumerate().filter_map(|(at, other)| Some((other.rank_for(platform)?, at)));
    ranks.min().map(|(_, at)| at)
}

/// True if the image that an index has for a platform is here, not just another that would do.
fn has_best(store: &Store, target: &Descriptor, platform: &Platform) -> Result<bool, Failure> {
    let mut descriptor = target.clone();
    for _ in 0..MAX_DEPTH {
        if !store.has_blob(&digest_of(&descriptor)?) {
            return Ok(false);
        }
        match read_manifest(store, &descriptor)?.parsed {
            Parsed::Image(manifest) => return Ok(store.has_blob(&digest_of(manifest.config())?)),
            Parsed::Index(index) => match platform.select(index.manifests()) {
                Ok(chosen) => descriptor = chosen.clone(),
                Err(_) => return Ok(false),
            },
        }
    }
    Ok(false)
}

/// Says for what an image is in the store.
fn here_for(name: &Reference, images: &[LocalImage]) -> String {
    let platforms: Vec<String> = images.iter().map(|image| image.config.platform().to_string()).collect();
    format!("in the store, `{}` is for {}", name.familiar(), platforms.join(", "))
}

/// Indexes in indexes end somewhere. Two are in use.
const MAX_DEPTH: usize = 4;

/// Opens all images that a name stands for, as far as they are here: an index that was pulled names others as well.
pub(crate) fn images_of(store: &Store, name: &Reference, target: &Descriptor) -> Result<Vec<LocalImage>, Failure> {
    let mut images = Vec::new();
    collect(store, name, (target, target), MAX_DEPTH, &mut images)?;
    Ok(images)
}

fn collect(
    store: &Store,
    name: &Reference,
    (target, descriptor): (&Descriptor, &Descriptor),
    depth: usize,
    images: &mut Vec<LocalImage>,
) -> Result<(), Failure> {
    match read_manifest(store, descriptor)?.parsed {
        Parsed::Index(index) if depth > 0 => {
            for child in index.manifests().iter().filter(|child| is_image(child)) {
                if store.has_blob(&digest_of(child)?) {
                    collect(store, name, (target, child), depth - 1, images)?;
                }
            }
            Ok(())
        }
        Parsed::Index(_) => {
            Err(Failure::new(format!("image `{}` is an index in an index in an index", name.familiar())))
        }
        Parsed::Image(manifest) => {
            let config = digest_of(manifest.config())?;
            if !store.has_blob(&config) {
                return Ok(());
            }
            let config = store.read_blob(&config, DOCUMENT_LIMIT)?;
            let (target, descriptor) = (target.clone(), descriptor.clone());
            let config = ImageConfig::parse(&config)?;
            images.push(LocalImage { name: name.clone(), target, descriptor, manifest: *manifest, config });
            Ok(())
        }
    }
}

/// True for an entry of an index that may be an image or an index: no attestation, no artifact.
fn is_image(entry: &Descriptor) -> bool {
    media_type::MANIFESTS.contains(&entry.media_type().as_ref()) && !is_attestation(entry)
}

fn read_manifest(store: &Store, descriptor: &Descriptor) -> Result<Manifest, Failure> {
    let bytes = store.read_blob(&digest_of(descriptor)?, DOCUMENT_LIMIT)?;
    Ok(Manifest::parse(bytes, Some(descriptor.media_type().as_ref()))?)
}

/// Returns what can be sent or saved of `target`: itself if all of it is here. Of an index that was pulled for some of
/// its platforms, the image alone, or an index of the images that are here.
pub(crate) fn whole(store: &Store, name: &Reference, target: &Descriptor) -> Result<Descriptor, Failure> {
    let Parsed::Index(index) = read_manifest(store, target)?.parsed else { return Ok(target.clone()) };
    let here = |entry: &Descriptor| digest_of(entry).is_ok_and(|digest| store.has_blob(&digest));
    if index.manifests().iter().all(here) {
        return Ok(target.clone());
    }
    let images = images_of(store, name, target)?;
    let manifests: Vec<Descriptor> = images.iter().map(|i| i.descriptor.clone()).collect();
    let platforms: Vec<Platform> = images.iter().map(|i| i.config.platform()).collect();
    match manifests.as_slice() {
        [] => Ok(target.clone()),
        [image] => Ok(image.clone()),
        _ => {
            let entries = manifests.into_iter().zip(&platforms).map(|(entry, platform)| with_platform(entry, platform));
            Ok(store.make_index(&entries.collect::<Vec<_>>(), &BTreeMap::new())?)
        }
    }
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
    let Some(target) = store.target(reference)? else { return Ok(None) };
    // A step's key has the diff IDs of the base in it.
    let target = packed(store, &target)?;
    if let Parsed::Image(_) = read_manifest(store, &target)?.parsed {
        let image = open(store, reference.clone(), target)?;
        // What a layout has is all there is; a registry may have the image for another platform.
        let fits = !request.explicit_platform
            || reference.registry == LAYOUT_HOST
            || image.config.platform().rank_for(platform).is_some();
        return Ok(fits.then(|| image.as_base()));
    }
    if !has_best(store, &target, platform)? && reference.registry != LAYOUT_HOST {
        return Ok(None);
    }
    open_for(store, reference.clone(), target, platform).map(|image| Some(image.as_base()))
}

/// Asks a registry for a base image, and keeps the name for next time.
fn base_there(store: &Store, registry: &Registry, request: &BaseRequest) -> Result<ResolvedBase, Failure> {
    let BaseKey { reference, platform } = &request.key;
    let pinned = registry.resolve(reference, platform, store).map_err(|error| {
        let failure = Failure::from_error(&error);
        let here = store.resolve(reference).ok().flatten();
        let images = here.and_then(|target| images_of(store, reference, &target).ok()).unwrap_or_default();
        if !images.is_empty() {
            return failure.help(here_for(reference, &images));
        }
        let name = reference.familiar();
        match similar_name(store, name.strip_suffix(":latest").unwrap_or(&name)) {
            Some(similar) => failure.help(format!("in the store is an image with a similar name: `{similar}`")),
            None => failure,
        }
    })?;
    remember_origin(store, reference, pinned.manifest.layers())?;
    if reference.tag.is_some() && reference.digest.is_none() {
        // The index, if it is one: builds for other platforms find the same name.
        store.tag(reference, &pinned.root)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An index of nothing.
    fn index(number: u32) -> String {
        format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{{"number":"{number}"}}}}"#)
    }

    /// Returns its id.
    fn tag(store: &Store, name: &str, index: &str) -> String {
        let (digest, size) = store.put_blob(None, &mut index.as_bytes()).expect("a blob");
        let index = image::descriptor::descriptor(media_type::OCI_INDEX, digest, size);
        store.tag(&name.parse().expect("a name"), &index).expect("a name");
        index.digest().digest().to_owned()
    }

    #[test]
    fn the_start_of_two_ids_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("a store");
        let id = tag(&store, "a", &index(0));
        let start = &id[..4];
        let hex = |index: &str| image::digest::hex(Digest::of(index.as_bytes()).as_bytes());
        let alike = (1..).map(index).find(|index| hex(index).starts_with(start));
        let other = tag(&store, "b", &alike.expect("an index"));
        tag(&store, "c", &index(0));
        let failure = by_id(&store, start).expect_err("two images");
        assert_eq!(failure.message(), format!("`{start}` is the start of the ids of 2 images"));
        let found = |id: &str| by_id(&store, id).expect("no more than one").map(|(name, _)| name.familiar());
        assert_eq!((found(&id), found(&other)), (Some("a:latest".to_owned()), Some("b:latest".to_owned())));
        assert_eq!(found("ffff0000ffff"), None);
    }
}
