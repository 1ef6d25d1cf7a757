//! What a name means: a stage, a named context, an image (reference: section 3).

use std::collections::HashMap;

use dockerfile::Span;
use dockerfile::ast::Stage;
use dockerfile::diagnostic::nearest;
use image::reference::InvalidReference;
use image::{Platform, Reference};

use crate::base::BaseKey;
use crate::options::{NamedContext, Options};

/// Where files come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    /// A stage, by position.
    Stage(usize),
    Image(BaseKey),
    /// A named context that is a directory, by its key.
    Directory(String),
    /// `scratch`: no files.
    Scratch,
}

/// The base that has no files.
pub(crate) const SCRATCH: &str = "scratch";

/// All names of one build.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    stages: &'a [Stage],
    /// Positions in ascending order: a name may be given twice.
    by_name: HashMap<String, Vec<usize>>,
    /// By normalized name: the key as given, and what it stands for.
    contexts: HashMap<String, (&'a str, &'a NamedContext)>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(stages: &'a [Stage], options: &'a Options) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, stage) in stages.iter().enumerate() {
            if let Some(name) = &stage.from.name {
                by_name.entry(name.value.to_lowercase()).or_default().push(index);
            }
        }
        let contexts = options.contexts.iter().map(|(key, context)| (normalize_key(key), (key.as_str(), context)));
        Self { stages, by_name, contexts: contexts.collect() }
    }

    /// Returns the stage that `FROM name` means in the stage at `current`: only earlier ones count.
    pub(crate) fn earlier_stage(&self, name: &str, current: usize) -> Option<usize> {
        let positions = self.by_name.get(&name.to_lowercase())?;
        let earlier = positions.partition_point(|position| *position < current);
        positions[..earlier].last().copied()
    }

    /// Returns the stage with a name, the last one if there are several.
    pub(crate) fn stage(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_lowercase())?.last().copied()
    }

    /// Returns the stage of a number.
    pub(crate) fn numbered(&self, number: i64) -> Option<usize> {
        usize::try_from(number).ok().filter(|index| *index < self.stages.len())
    }

    /// Returns a stage's name as written, or its number.
    pub(crate) fn display(&self, index: usize) -> String {
        let name = self.stages.get(index).and_then(|stage| stage.from.name.as_ref());
        name.map_or_else(|| index.to_string(), |name| name.value.clone())
    }

    /// Returns where a stage begins.
    pub(crate) fn place(&self, index: usize) -> Span {
        self.stages.get(index).map(|stage| stage.from.image.span).unwrap_or_default()
    }

    /// Returns the name of a stage that `wrong` is almost, or that it is though it cannot be meant.
    pub(crate) fn similar(&self, wrong: &str) -> Option<String> {
        if self.by_name.contains_key(&wrong.to_lowercase()) {
            return Some(wrong.to_owned());
        }
        let names = self.stages.iter().filter_map(|stage| stage.from.name.as_ref());
        nearest(wrong, names.map(|name| name.value.as_str())).map(str::to_owned)
    }

    /// Returns the named context that takes the place of a stage.
    pub(crate) fn replacement(&self, index: usize, platform: &Platform) -> Option<Source> {
        let name = self.stages.get(index)?.from.name.as_ref()?;
        self.context(&name.value.to_lowercase(), platform)
    }

    /// Returns what a name means that is not a stage's.
    pub(crate) fn outside(&self, name: &str, platform: &Platform) -> Result<Source, InvalidReference> {
        if name == SCRATCH {
            return Ok(Source::Scratch);
        }
        let reference = name.parse::<Reference>();
        let key = reference.as_ref().map_or_else(|_| name.to_owned(), familiar);
        if let Some(source) = self.context(&key, platform) {
            return Ok(source);
        }
        Ok(Source::Image(BaseKey { reference: reference?.or_latest(), platform: platform.clone() }))
    }

    fn context(&self, key: &str, platform: &Platform) -> Option<Source> {
        let of_platform = format!("{key}::{platform}");
        let (given, context) = self.contexts.get(&of_platform).or_else(|| self.contexts.get(key))?;
        Some(match context {
            NamedContext::Directory => Source::Directory((*given).to_owned()),
            NamedContext::Image(reference) => {
                Source::Image(BaseKey { reference: reference.clone().or_latest(), platform: platform.clone() })
            }
        })
    }
}

/// Returns the name as people write it, `:latest` trimmed.
pub(crate) fn familiar(reference: &Reference) -> String {
    let text = reference.familiar();
    text.strip_suffix(":latest").map_or_else(|| text.clone(), str::to_owned)
}

/// Returns `name[::platform]` with the name as [`familiar`] has it.
fn normalize_key(key: &str) -> String {
    let (name, platform) = key.split_once("::").map_or((key, None), |(name, platform)| (name, Some(platform)));
    let name = name.to_lowercase();
    let name = name.parse().as_ref().map_or_else(|_| name.clone(), familiar);
    let platform = platform.map(|text| text.parse::<Platform>().map_or_else(|_| text.to_owned(), |p| p.to_string()));
    platform.map_or_else(|| name.clone(), |platform| format!("{name}::{platform}"))
}
