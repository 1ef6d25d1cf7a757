//! Two outcomes, entry by entry.

use serde_json::Value;

use super::Outcome;
use xtask::case::Image;

/// Returns a line for each difference.
pub(crate) fn outcomes(ours: &Outcome, theirs: &Outcome) -> Vec<String> {
    match (ours, theirs) {
        // How a mistake is told is each builder's own; that it is one must be agreed upon.
        (Err(_), Err(_)) => Vec::new(),
        (Ok(_), Err(said)) => vec![format!("only the oracle fails: {}", last_line(said))],
        (Err(said), Ok(_)) => vec![format!("only kiln fails: {}", last_line(said))],
        (Ok(ours), Ok(theirs)) => images(ours, theirs),
    }
}

fn images(ours: &Image, theirs: &Image) -> Vec<String> {
    let (ours, theirs) = (&without_traces(ours), &without_traces(theirs));
    let mut lines = Vec::new();
    for key in keys(&ours.config, &theirs.config) {
        let (a, b) = (&ours.config[&key], &theirs.config[&key]);
        if !equal(&key, a, b) {
            lines.push(format!("config {key}: {a} | {b}"));
        }
    }
    // What the oracle lacks shows as added here, what kiln lacks as removed.
    lines.extend(ours.tree.added(&theirs.tree).into_iter().map(|line| format!("file {line}")));
    for (path, theirs) in &theirs.tree.0 {
        if let Some(ours) = ours.tree.0.get(path)
            && ours != theirs
            && lines.iter().any(|line| line.starts_with(&format!("file {path} ")))
        {
            lines.push(format!("     {path}: oracle has {theirs:?}"));
        }
    }
    lines
}

/// Returns a line for each item of the history that differs, but for that of the imported base.
pub(crate) fn history(ours: &Outcome, theirs: &Outcome) -> Vec<String> {
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return Vec::new() };
    let base = usize::from(ours.tree.0.contains_key("bin/busybox"));
    let items = |image: &Image| -> Vec<String> {
        let both = image.history.iter().zip(&image.comments).skip(base);
        both.map(|(line, comment)| format!("{line} ({comment})")).collect()
    };
    let (ours, theirs) = (items(ours), items(theirs));
    let item = |items: &[String], index: usize| items.get(index).map_or("nothing", String::as_str).to_owned();
    let pairs = (0..ours.len().max(theirs.len())).map(|index| (item(&ours, index), item(&theirs, index)));
    pairs.filter(|(ours, theirs)| ours != theirs).map(|(ours, theirs)| format!("history {ours} | {theirs}")).collect()
}

/// Takes away what buildah leaves in every image: its label, and the files it mounts things on.
fn without_traces(image: &Image) -> Image {
    let mut image = image.clone();
    if let Some(config) = image.config.as_object_mut() {
        let left = config.get_mut("Labels").and_then(Value::as_object_mut).map(|labels| {
            labels.remove("io.buildah.version");
            labels.len()
        });
        if left == Some(0) {
            config.remove("Labels");
        }
    }
    for path in ["etc/hostname", "etc/hosts", "etc/resolv.conf", "run"] {
        image.tree.0.remove(path);
    }
    image
}

fn keys(ours: &Value, theirs: &Value) -> Vec<String> {
    let names = |value: &Value| value.as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect::<Vec<_>>();
    let mut keys = [names(ours), names(theirs)].concat();
    // Fields of Docker's own config that say nothing of the image, or say how Windows is to read it.
    keys.retain(|key| !matches!(key.as_str(), "Image" | "Hostname" | "Domainname" | "ArgsEscaped"));
    keys.sort();
    keys.dedup();
    keys
}

/// The working directory `/` may be left out.
fn equal(key: &str, a: &Value, b: &Value) -> bool {
    let root = |value: &Value| value.is_null() || value == "/" || value == "";
    a == b || (key == "WorkingDir" && root(a) && root(b))
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().next_back().unwrap_or_default()
}
