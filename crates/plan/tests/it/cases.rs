//! `testdata/plan/<case>/{Dockerfile,options,bases,expect}`: `UPDATE_EXPECT=1` rewrites the expectations.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{case, print};

fn actual(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("Dockerfile")).unwrap();
    let options = fs::read_to_string(folder.join("options")).unwrap_or_default();
    let mut images = case::default_images();
    if folder.join("bases").exists() {
        images.extend(case::read_images(&folder.join("bases")));
    }
    print::outcome(&case::lower(&text, &case::read_options(&options), &images))
}

fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(case::testdata()).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn every_case_gives_what_is_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    let folders = folders();
    assert!(folders.len() >= 80, "only {} cases were found", folders.len());
    for folder in folders {
        let actual = actual(&folder);
        let path = folder.join("expect");
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if actual == expected {
            continue;
        }
        if update {
            fs::write(&path, actual).unwrap();
        } else {
            wrong.push(format!("{}:\n--- expected\n{expected}\n--- actual\n{actual}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ (UPDATE_EXPECT=1 rewrites)\n{}", wrong.len(), wrong.join("\n"));
}
