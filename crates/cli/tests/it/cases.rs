//! The cases of `testdata/build`, each built by the real binary; `UPDATE_EXPECT=1` writes what is expected anew.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use xtask::case::{self, Case, Image};
use xtask::tree::Tree;

use crate::environment::{TestEnv, busybox_tar, ran};

#[test]
fn every_case_builds_as_expected() {
    let cases = case::all().expect("testdata/build");
    assert!(!cases.is_empty());
    let base = Tree::read(fs::File::open(busybox_tar()).expect("a tar")).expect("a tree");
    // One store for all, as the cases of a machine share it.
    let env = TestEnv::with_busybox();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(difference) = check(&env, case, &base) {
                        wrong.lock().expect("no panic").push(difference);
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().expect("no panic");
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {} cases differ\n\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

/// Builds one case; returns what is not as expected.
fn check(env: &TestEnv, case: &Case, base: &Tree) -> Option<String> {
    let place = env.path(&format!("case-{}", case.name));
    case.prepare(&place).expect("a copy of the case");
    let flags = case.flags();
    let (tar, layout) = (place.join("out.tar"), place.join("layout"));
    let outputs = [format!("type=tar,dest={}", tar.display()), format!("type=oci,tar=false,dest={}", layout.display())];
    let mut arguments = vec!["build", "--progress=quiet", "-f", "Dockerfile", "-o", &outputs[0], "-o", &outputs[1]];
    arguments.extend(flags.iter().map(String::as_str));
    arguments.push("context");
    let mut command = env.command(arguments);
    let ran = ran(command.current_dir(&place).output().expect("kiln starts"));
    let (name, actual, other) = if ran.code == 0 {
        let image = Image::new(&config(&layout), Tree::read(fs::File::open(&tar).expect("a tar")).expect("a tree"));
        ("expect", image.expectation(base).expect("text"), "expect.err")
    } else {
        // The place differs from run to run; what a diagnostic says does not.
        ("expect.err", ran.stderr.replace(&place.display().to_string(), "CASE"), "expect")
    };
    compare(case, name, &actual, other)
}

fn compare(case: &Case, name: &str, actual: &str, other: &str) -> Option<String> {
    let file = case.folder.join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        fs::write(&file, actual).expect("a file");
        // A case that now fails, or no longer does, has no other expectation.
        let _ = fs::remove_file(case.folder.join(other));
        return None;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    (expected != actual).then(|| format!("{}/{name}\n--- expected\n{expected}--- actual\n{actual}", case.name))
}

/// Reads the configuration from an OCI layout.
fn config(layout: &Path) -> Value {
    let json = |path: &Path| -> Value {
        serde_json::from_slice(&fs::read(path).expect("a file of the layout")).expect("JSON")
    };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest").replace(':', "/");
        json(&layout.join("blobs").join(digest))
    };
    let index = json(&layout.join("index.json"));
    blob(&blob(&index["manifests"][0])["config"])
}
