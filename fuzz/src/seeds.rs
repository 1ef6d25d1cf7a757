//! Where to begin: the cases of `testdata/`.

use std::path::{Path, PathBuf};

/// Returns what a target checks.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    Some(match name {
        "parse" => crate::parse::check,
        "expand" => crate::expand::check,
        "ignore" => crate::ignore::check,
        _ => return None,
    })
}

/// Returns the inputs that the cases give for a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "parse" => ["parse/ok", "parse/err", "parse/trigger"].into_iter().flat_map(dockerfiles).collect(),
        "expand" => files("expand", "txt").iter().flat_map(|file| expansions(&read(file))).collect(),
        _ => ignores(),
    }
}

/// Returns what is worth inserting, one token a line, in libFuzzer's form.
pub fn dictionary(target: &str) -> &'static str {
    match target {
        "parse" => include_str!("../dictionaries/parse.txt"),
        "expand" => include_str!("../dictionaries/expand.txt"),
        _ => include_str!("../dictionaries/ignore.txt"),
    }
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")
}

fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(testdata().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

fn dockerfiles(folder: &str) -> Vec<Vec<u8>> {
    files(folder, "dockerfile").iter().map(|file| read(file)).filter(|text| text.len() <= 4096).collect()
}

/// Takes the inputs of a table, each as a word and as the body of a heredoc.
fn expansions(table: &[u8]) -> Vec<Vec<u8>> {
    let table = String::from_utf8_lossy(table);
    let inputs = table.lines().filter_map(|line| line.split_once(" => ")).map(|(input, _)| input.replace('␤', "\n"));
    inputs.flat_map(|input| ["\0", "\u{2}"].map(|kind| format!("{kind}{input}").into_bytes())).collect()
}

/// Takes every `.dockerignore` of the build cases, with some paths.
fn ignores() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        "a/b/c\n*\n!a",
        "dir/keep/x\ndir\n!dir/keep",
        "d/e/a.o\n**/*.o",
        "ax/y/b\na**b",
        "b[c\nb\\[c",
        "cx\n[a-c]x",
        "a/b\n!a\na/b",
        "a/xb\n**b",
        "x/a/b\n*/**\n!x/?",
        "abc\na?c\n!ab[^c]",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    let Ok(cases) = std::fs::read_dir(testdata().join("build")) else { return seeds };
    let mut cases: Vec<PathBuf> = cases.filter_map(|case| Some(case.ok()?.path())).collect();
    cases.sort();
    for case in cases {
        for name in ["context/.dockerignore", "Dockerfile.dockerignore"] {
            let Ok(text) = std::fs::read(case.join(name)) else { continue };
            seeds.push([b"dir/sub/file.md\n", &text[..]].concat());
        }
    }
    seeds
}
