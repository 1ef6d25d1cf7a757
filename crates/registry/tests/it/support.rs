//! What the tests share: a small image, a clock that does not wait, a place with a store.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use image::{Descriptor, Digest, Platform, Reference, media_type};
use registry::{Clock, Options, Pinned, Progress, Registry, Result};
use serde_json::json;
use store::Store;
use testkit::{FakeRegistry, TempStore};

/// Long enough for several pieces of a transfer.
pub(crate) const LAYER_SIZE: usize = 300_000;

/// A clock that remembers how long it was asked to wait, and is that much later afterwards.
#[derive(Debug, Default)]
pub(crate) struct FakeClock(Mutex<Vec<Duration>>);

impl FakeClock {
    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.lock().unwrap().push(by);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + self.waits().iter().sum::<Duration>()
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

/// A store, and options to be changed before the first use.
pub(crate) struct Place {
    pub(crate) store: TempStore,
    pub(crate) options: Options,
    pub(crate) clock: Arc<FakeClock>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { store: testkit::store(), options: Options::default(), clock: Arc::default() }
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::with_clock(self.options.clone(), self.clock.clone())
    }

    /// Writes a `config.json` and uses it.
    pub(crate) fn login(&mut self, config: &serde_json::Value) {
        let path = self.store.directory().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        self.options.docker_config = Some(path);
    }

    /// Logs in to one host with a user and a password.
    pub(crate) fn login_to(&mut self, host: &str, user: &str, password: &str) {
        self.login(&json!({ "auths": { host: { "username": user, "password": password } } }));
    }

    pub(crate) fn resolve(&self, name: &str) -> Result<Pinned> {
        self.registry().resolve(&reference(name), &amd64(), &self.store)
    }

    /// Resolves and pulls.
    pub(crate) fn pull(&self, name: &str) -> Result<Pinned> {
        let registry = self.registry();
        let pinned = registry.resolve(&reference(name), &amd64(), &self.store)?;
        registry.pull(&pinned, &self.store, &Recorder::default())?;
        Ok(pinned)
    }
}

/// Remembers what it was told.
#[derive(Debug, Default)]
pub(crate) struct Recorder(pub(crate) Mutex<Vec<(Digest, u64, u64)>>);

impl Progress for Recorder {
    fn bytes(&self, digest: &Digest, done: u64, total: u64) {
        self.0.lock().unwrap().push((*digest, done, total));
    }
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

pub(crate) fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

/// The bytes of an image: nothing in a registry looks into layers.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) manifest: Vec<u8>,
}

impl Image {
    /// Makes an image whose layers are `seed` in different lengths.
    pub(crate) fn new(seed: u8, architecture: &str, layers: usize) -> Self {
        let layers: Vec<Vec<u8>> = (0..layers).map(|n| noise(seed.wrapping_add(n as u8), LAYER_SIZE + n)).collect();
        let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
        let config = json!({ "architecture": architecture, "os": "linux", "rootfs": rootfs, "config": {} });
        let config = config.to_string().into_bytes();
        let described =
            |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": described(media_type::OCI_CONFIG, &config),
            "layers": layers.iter().map(|layer| described(media_type::OCI_LAYER_GZIP, layer)).collect::<Vec<_>>(),
        });
        Self { config, layers, manifest: manifest.to_string().into_bytes() }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    pub(crate) fn layer(&self, number: usize) -> Digest {
        Digest::of(&self.layers[number])
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        image::descriptor::descriptor(media_type::OCI_MANIFEST, self.digest(), self.manifest.len() as u64)
    }

    pub(crate) fn serve(&self, fake: &FakeRegistry, repository: &str, tag: Option<&str>) {
        for blob in self.layers.iter().chain([&self.config]) {
            fake.put_blob(repository, blob);
        }
        fake.put_manifest(repository, tag, media_type::OCI_MANIFEST, &self.manifest);
    }

    pub(crate) fn keep(&self, store: &Store) {
        for blob in self.layers.iter().chain([&self.config, &self.manifest]) {
            store.put_blob(None, &mut blob.as_slice()).unwrap();
        }
    }

    #[track_caller]
    pub(crate) fn check_kept(&self, store: &Store) {
        for blob in self.layers.iter().chain([&self.config, &self.manifest]) {
            assert_eq!(&store.read_blob(&Digest::of(blob), 1 << 20).unwrap(), blob);
        }
    }

    #[track_caller]
    pub(crate) fn check_served(&self, fake: &FakeRegistry, repository: &str, reference: &str) {
        let (kind, bytes) = fake.manifest(repository, reference).unwrap();
        assert_eq!((kind.as_str(), &bytes), (media_type::OCI_MANIFEST, &self.manifest));
        for blob in self.layers.iter().chain([&self.config]) {
            assert_eq!(fake.blob(repository, &Digest::of(blob)).as_ref(), Some(blob));
        }
    }
}

/// An index of images, each with its platform.
pub(crate) fn index(images: &[(&Image, &str)]) -> Vec<u8> {
    let entry = |(image, architecture): &(&Image, &str)| {
        json!({
            "mediaType": media_type::OCI_MANIFEST,
            "digest": image.digest(),
            "size": image.manifest.len(),
            "platform": { "os": "linux", "architecture": architecture },
        })
    };
    let manifests: Vec<_> = images.iter().map(entry).collect();
    json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests }).to_string().into_bytes()
}

/// Bytes without a pattern, the same for the same seed.
fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Returns an error with all its sources, as a person reads it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {}", chain(source)));
    format!("{error}{}", source.unwrap_or_default())
}
