//! `--annotation [PLACE[PLATFORM],…:]NAME=VALUE`, as with buildx.

use std::collections::BTreeMap;

use dockerfile::diagnostic::nearest;
use image::Platform;

use crate::error::Failure;

const PLACES: [&str; 3] = ["manifest", "index", "manifest-descriptor"];

/// What is annotated.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Annotations {
    /// With any, there is an index even of one image.
    pub(crate) index: BTreeMap<String, String>,
    manifests: Vec<Annotation>,
    /// Of the manifests' entries in the index.
    entries: Vec<Annotation>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Annotation {
    /// `None`: those of all platforms.
    platform: Option<Platform>,
    name: String,
    value: String,
}

impl Annotations {
    /// Reads all flags of a build for `platforms`.
    pub(super) fn parse(texts: &[String], platforms: &[Platform]) -> Result<Self, Failure> {
        let mut annotations = Self::default();
        for text in texts {
            annotations
                .add(text, platforms)
                .map_err(|why| Failure::new(format!("--annotation {text}: {why}")).code(2))?;
        }
        Ok(annotations)
    }

    fn add(&mut self, text: &str, platforms: &[Platform]) -> Result<(), String> {
        let (key, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
        let (places, name) = key.split_once(':').unwrap_or(("manifest", key));
        if name.is_empty() {
            return Err("the name is empty".to_owned());
        }
        for place in places.split(',') {
            let (place, platform) = match place.strip_suffix(']').and_then(|place| place.split_once('[')) {
                Some((place, platform)) => (place, Some(read_platform(platform, platforms)?)),
                None => (place, None),
            };
            let annotation = Annotation { platform, name: name.to_owned(), value: value.to_owned() };
            match place {
                "manifest" => self.manifests.push(annotation),
                "manifest-descriptor" => self.entries.push(annotation),
                "index" if annotation.platform.is_some() => return Err("an index is for all platforms".to_owned()),
                "index" => {
                    self.index.insert(annotation.name, annotation.value);
                }
                "index-descriptor" => {
                    return Err("`index-descriptor:` is not supported: nothing but a layout would have it".to_owned());
                }
                other => {
                    let question = nearest(other, PLACES).map(|near| format!(" (did you mean {near}?)"));
                    let question = question.unwrap_or_default();
                    return Err(format!("`{other}:` cannot be annotated{question}: one of {}", PLACES.join(", ")));
                }
            }
        }
        Ok(())
    }

    /// True if only an index has all of them.
    pub(super) fn need_index(&self) -> bool {
        !self.index.is_empty() || !self.entries.is_empty()
    }

    /// Returns those of the manifest for a platform.
    pub(crate) fn of_manifest(&self, platform: &Platform) -> BTreeMap<String, String> {
        pairs(&self.manifests, platform)
    }

    /// Returns those of the entry of the index for a platform.
    pub(crate) fn of_entry(&self, platform: &Platform) -> BTreeMap<String, String> {
        pairs(&self.entries, platform)
    }
}

/// One that names the platform goes before one that does not, whichever comes first.
fn pairs(annotations: &[Annotation], platform: &Platform) -> BTreeMap<String, String> {
    let of = |wanted: Option<&Platform>| {
        let right = annotations.iter().filter(move |annotation| annotation.platform.as_ref() == wanted);
        right.map(|annotation| (annotation.name.clone(), annotation.value.clone())).collect::<Vec<_>>()
    };
    of(None).into_iter().chain(of(Some(platform))).collect()
}

fn read_platform(text: &str, platforms: &[Platform]) -> Result<Platform, String> {
    let platform: Platform = text.parse().map_err(|error| format!("{error}"))?;
    if !platforms.contains(&platform) {
        let built: Vec<_> = platforms.iter().map(ToString::to_string).collect();
        return Err(format!("nothing is built for {platform}, only for {}", built.join(", ")));
    }
    Ok(platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Annotations, String> {
        let texts: Vec<String> = texts.iter().copied().map(str::to_owned).collect();
        let platforms = ["linux/amd64", "linux/arm64"].map(|text| text.parse().expect("a platform"));
        Annotations::parse(&texts, &platforms).map_err(|failure| failure.message().to_owned())
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn places_and_platforms() {
        let annotations = parse(&[
            "manifest[linux/arm64]:a=arm",
            "a=all",
            "manifest:b=x=y",
            "index,manifest-descriptor:c=d",
            "manifest-descriptor[linux/amd64]:e=",
        ]);
        let annotations = annotations.expect("annotations");
        let (amd64, arm64) = ("linux/amd64".parse().expect("a platform"), "linux/arm64".parse().expect("a platform"));
        assert_eq!(annotations.index, map(&[("c", "d")]));
        assert_eq!(annotations.of_manifest(&amd64), map(&[("a", "all"), ("b", "x=y")]));
        assert_eq!(annotations.of_manifest(&arm64), map(&[("a", "arm"), ("b", "x=y")]));
        assert_eq!(annotations.of_entry(&amd64), map(&[("c", "d"), ("e", "")]));
        assert_eq!(annotations.of_entry(&arm64), map(&[("c", "d")]));
    }

    #[test]
    fn what_cannot_be_annotated() {
        let fails = |text: &str, why: &str| {
            assert_eq!(parse(&[text]), Err(format!("--annotation {text}: {why}")));
        };
        fails("a", "expected NAME=VALUE");
        fails("manifest:=b", "the name is empty");
        fails(
            "indx:a=b",
            "`indx:` cannot be annotated (did you mean index?): one of manifest, index, manifest-descriptor",
        );
        fails("index[linux/amd64]:a=b", "an index is for all platforms");
        fails("manifest[linux/s390x]:a=b", "nothing is built for linux/s390x, only for linux/amd64, linux/arm64");
        fails("manifest[a/b/c/d]:a=b", &"a/b/c/d".parse::<Platform>().expect_err("no platform").to_string());
        fails("index-descriptor:a=b", "`index-descriptor:` is not supported: nothing but a layout would have it");
    }
}
