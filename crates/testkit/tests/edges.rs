//! What a crate may use is decided once; this compares the manifests with the decision.

use std::collections::BTreeSet;
use std::path::Path;

/// Each crate with the crates of this workspace it may depend on.
const MAY_USE: &[(&str, &[&str])] = &[
    ("image", &[]),
    ("dockerfile", &[]),
    ("sandbox", &[]),
    ("plan", &["dockerfile", "image"]),
    ("store", &["image"]),
    ("registry", &["image", "store"]),
    ("solver", &["plan", "store", "registry", "sandbox", "image", "dockerfile"]),
    ("runtime", &["image", "store", "sandbox"]),
    ("cli", &["image", "dockerfile", "sandbox", "plan", "store", "registry", "solver", "runtime"]),
    ("testkit", &["image", "store"]),
    ("xtask", &[]),
];

#[test]
fn crates_use_what_they_may() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(&crates).unwrap() {
        let path = entry.unwrap().path();
        let Ok(manifest) = std::fs::read_to_string(path.join("Cargo.toml")) else { continue };
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let allowed = MAY_USE.iter().find(|(known, _)| *known == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("`{name}` is not in the table"));
        for used in dependencies(&manifest).filter(|used| known.contains(used)) {
            assert!(allowed.contains(&used), "`{name}` must not depend on `{used}`");
        }
        found.insert(name);
    }
    assert_eq!(found.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
}

/// Returns the names in `[dependencies]`; those for tests and builds are free.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let section = manifest.split("\n[").find_map(|section| section.strip_prefix("dependencies]")).unwrap_or("");
    section.lines().filter_map(|line| line.split(['.', '=', ' ']).next()).filter(|name| !name.is_empty())
}
