//! Base images: asked for by name, answered with what lowering needs of them.

use std::collections::BTreeMap;

use dockerfile::Span;
use image::{Descriptor, ImageConfig, ImageManifest, Platform, Reference};

/// Which image, for which platform.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BaseKey {
    /// Full name with tag or digest; for a named context its reference or `oci-layout` name.
    pub reference: Reference,
    pub platform: Platform,
}

/// A question to the store or a registry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BaseRequest {
    pub key: BaseKey,
    /// `--platform` was given, on the command line or in `FROM`: another platform is then not accepted silently.
    pub explicit_platform: bool,
    /// Where the name stands.
    pub span: Span,
    /// What to say if there is no such image: which stage may have been meant.
    pub help: Option<String>,
}

/// The answer: everything known without any layer.
#[derive(Clone, Debug)]
pub struct ResolvedBase {
    pub reference: Reference,
    /// Of the manifest for the platform.
    pub descriptor: Descriptor,
    pub manifest: ImageManifest,
    pub config: ImageConfig,
}

/// All answers.
pub type Bases = BTreeMap<BaseKey, ResolvedBase>;
