//! Images as `docker save` writes them: a tar with `manifest.json`, a configuration and layers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use xtask::case::Image;
use xtask::tree::Tree;

/// Reads an archive whose layers are not compressed.
pub(crate) fn read(archive: &Path) -> Result<Image> {
    let mut members = BTreeMap::new();
    for entry in tar::Archive::new(File::open(archive)?).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        // A layer that is there twice is a link to the first.
        if let Some(target) = entry.link_name()? {
            let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
            let target = target.to_string_lossy();
            let member = members.get(&join(directory, &target)).or_else(|| members.get(target.as_ref()));
            let bytes: Vec<u8> = member.cloned().unwrap_or_default();
            members.insert(name, bytes);
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        members.insert(name, bytes);
    }
    let member = |name: &str| members.get(name).with_context(|| format!("{name} is not in the archive"));
    let manifest: Value = serde_json::from_slice(member("manifest.json")?)?;
    let config: Value = serde_json::from_slice(member(manifest[0]["Config"].as_str().context("no Config")?)?)?;
    let mut tree = Tree::default();
    for layer in manifest[0]["Layers"].as_array().context("no Layers")? {
        tree.apply(member(layer.as_str().context("a layer's name")?)?.as_slice())?;
    }
    Ok(Image::new(&config, tree))
}

fn join(directory: &str, target: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}
