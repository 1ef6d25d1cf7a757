//! "A similar path exists."

use image::LayerPath;

use crate::files::{Files, resolve};

/// Returns the path in the same directory that is written most like `wanted`, without a leading slash.
pub(crate) fn path(files: &(impl Files + ?Sized), wanted: &LayerPath) -> Option<String> {
    let mut at = LayerPath::root();
    let mut names = wanted.components();
    while let Some(name) = names.next() {
        let next = at.join(name);
        if resolve(files, &next).ok().and_then(|next| Files::look(files, &next).ok().flatten()).is_some() {
            at = next;
            continue;
        }
        let near = nearest(files, &at, name)?;
        let rest: Vec<&[u8]> = names.collect();
        let whole = LayerPath::clamped(&[near.as_bytes(), &rest.join(&b'/')].join(&b'/'))?;
        let exists = resolve(files, &whole).ok().and_then(|p| Files::look(files, &p).ok().flatten()).is_some();
        let found = if exists { whole } else { near };
        return Some(String::from_utf8_lossy(found.as_bytes()).into_owned());
    }
    None
}

fn nearest(files: &(impl Files + ?Sized), directory: &LayerPath, name: &[u8]) -> Option<LayerPath> {
    let directory = resolve(files, directory).ok()?;
    let limit = (name.len() / 3).max(1);
    let children = files.children(&directory).ok()?;
    let near = children.iter().map(|child| (distance(child.path.file_name(), name), child));
    let (_, child) =
        near.filter(|&(distance, _)| (1..=limit).contains(&distance)).min_by_key(|&(distance, _)| distance)?;
    Some(child.path.clone())
}

/// Edits between two names: a letter more, less, other, or two exchanged.
fn distance(a: &[u8], b: &[u8]) -> usize {
    if a.len().abs_diff(b.len()) > b.len().max(3) {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && y == a[i - 1] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[track_caller]
    fn check(wanted: &str, expected: Option<&str>) {
        let files = Fake::new().file("src/main.rs", "").file("package.json", "").directory("a", 0o755);
        assert_eq!(path(&files, &crate::testing::path(wanted)).as_deref(), expected);
    }

    #[test]
    fn neighbours() {
        check("src/mian.rs", Some("src/main.rs"));
        check("scr/main.rs", Some("src/main.rs"));
        check("pakage.json", Some("package.json"));
        check("scr/other.rs", Some("src"));
        check("nothing/alike", None);
        check("b", Some("a"));
    }
}
