//! The cases of `testdata/`: every file is one; `UPDATE_EXPECT=1` writes what is expected anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use dockerfile::print::print;
use dockerfile::{Diagnostics, Dockerfile, Source, Sources, Span, Word};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

/// Returns the files of a folder that end in `.extension`, sorted.
fn files(name: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(name)).unwrap_or_else(|error| panic!("testdata/{name}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    assert!(!files.is_empty(), "testdata/{name} has no case");
    files
}

fn update() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1")
}

/// Compares with the file beside the case; returns what is wrong.
fn compare(case: &Path, extension: &str, actual: &str) -> Option<String> {
    let file = case.with_extension(extension);
    if update() {
        std::fs::write(&file, actual).unwrap();
        return None;
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    (expected != actual).then(|| format!("{}\n--- expected\n{expected}--- actual\n{actual}", file.display()))
}

#[track_caller]
fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} cases differ (UPDATE_EXPECT=1 accepts):\n{}", failures.len(), failures.join("\n"));
}

struct Read {
    sources: Sources,
    source: Source,
    file: Dockerfile,
    diagnostics: Diagnostics,
}

fn read(case: &Path) -> Read {
    let mut sources = Sources::default();
    let source = sources.add("Dockerfile", std::fs::read_to_string(case).unwrap());
    let mut diagnostics = Diagnostics::default();
    let file = dockerfile::parse(&source, &mut diagnostics);
    Read { sources, source, file, diagnostics }
}

fn render(diagnostics: Diagnostics, sources: &Sources) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics.sorted() {
        writeln!(text, "{}\n", diagnostic.render(sources, false)).unwrap();
    }
    text
}

#[test]
fn good_files_have_the_tree_beside_them() {
    let mut failures = Vec::new();
    for case in files("parse/ok", "dockerfile") {
        let read = read(&case);
        if !read.diagnostics.items().is_empty() {
            failures.push(format!("{}\n{}", case.display(), render(read.diagnostics, &read.sources)));
            continue;
        }
        failures.extend(compare(&case, "ast", &print(&read.file, &read.source)));
    }
    report(&failures);
}

#[test]
fn bad_files_have_the_errors_beside_them() {
    let mut failures = Vec::new();
    for case in files("parse/err", "dockerfile") {
        let read = read(&case);
        if !read.diagnostics.has_errors() {
            failures.push(format!("{}: no error", case.display()));
            continue;
        }
        failures.extend(compare(&case, "diag", &render(read.diagnostics, &read.sources)));
    }
    report(&failures);
}

#[test]
fn triggers_have_the_tree_or_the_errors_beside_them() {
    let mut failures = Vec::new();
    for case in files("parse/trigger", "dockerfile") {
        let mut sources = Sources::default();
        let source = sources.add("ONBUILD trigger 1 of base", std::fs::read_to_string(&case).unwrap());
        let mut diagnostics = Diagnostics::default();
        let instruction = dockerfile::parse_trigger(&source, &mut diagnostics);
        let tree = instruction.map(|instruction| dockerfile::print::print_instruction(&instruction, &source));
        let actual = render(diagnostics, &sources) + &tree.unwrap_or_default();
        failures.extend(compare(&case, "ast", &actual));
    }
    report(&failures);
}

/// Every folder of `lint/` is a rule; each of its files gives the findings beside it, and what `--fix` makes of it if
/// that is something else.
#[test]
fn lints_find_what_is_beside_them() {
    let mut failures = Vec::new();
    for rule in std::fs::read_dir(folder("lint")).unwrap() {
        let rule = rule.unwrap().file_name().into_string().unwrap();
        for case in files(&format!("lint/{rule}"), "dockerfile") {
            let mut read = read(&case);
            dockerfile::lint(&read.file, &mut read.diagnostics);
            failures.extend(compare(&case, "diag", &render(read.diagnostics, &read.sources)));
            let (fixed, count) = dockerfile::lint::fix(&read.source.text);
            if count > 0 {
                failures.extend(compare(&case, "fixed", &fixed));
            } else if case.with_extension("fixed").exists() {
                failures.push(format!("{}: nothing is mended", case.display()));
            }
        }
    }
    report(&failures);
}

/// A table of expansions: `let NAME=value`, `escape X`, `mode word|words|body` hold for what follows; a case is
/// `input => value`, in the mode `words` `input => [word] [word]`, or `input => ! error`. `␤` is a line end.
struct Table {
    variables: BTreeMap<String, String>,
    escape: char,
    mode: String,
}

impl Table {
    fn line(&mut self, line: &str) -> String {
        if let Some((name, value)) = line.strip_prefix("let ").and_then(|rest| rest.split_once('=')) {
            self.variables.insert(name.to_owned(), value.replace('␤', "\n"));
        } else if let Some(mode) = line.strip_prefix("mode ") {
            mode.clone_into(&mut self.mode);
        } else if let Some(escape) = line.strip_prefix("escape ") {
            self.escape = escape.chars().next().unwrap();
        } else if let Some((input, _)) = line.split_once("=> ").filter(|_| !line.starts_with('#')) {
            return format!("{input}=> {}", self.expand(input.trim_end()));
        }
        line.to_owned()
    }

    fn expand(&self, input: &str) -> String {
        let text = input.replace('␤', "\n");
        let span = Span::new(dockerfile::SourceId(0), 0, text.len());
        let word = match self.mode.as_str() {
            "body" => Word::here_document(text.as_str(), span),
            _ => Word::parse(text.as_str(), span, self.escape),
        };
        let value = if self.mode == "words" {
            let words = word.expand_words(&self.variables);
            words.map(|words| words.iter().map(|word| format!("[{}]", word.value)).collect::<Vec<_>>().join(" "))
        } else {
            word.expand(&self.variables).map(|expanded| expanded.value)
        };
        let prefix = "failed to process ";
        match value {
            Ok(value) => value.replace('\n', "␤"),
            Err(error) => {
                let reason = error.message.strip_prefix(prefix).expect("every error is wrapped");
                let (_, reason) = reason.rsplit_once("\": ").expect("the word is quoted");
                let at = &text[error.span.range()];
                if at == text { format!("! {reason}") } else { format!("! {reason} @ {at}") }
            }
        }
    }
}

#[test]
fn words_expand_to_what_the_tables_say() {
    let mut failures = Vec::new();
    for file in files("expand", "txt") {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut table = Table { variables: BTreeMap::new(), escape: '\\', mode: "word".to_owned() };
        let lines: Vec<String> = text.lines().map(|line| table.line(line)).collect();
        if update() {
            std::fs::write(&file, lines.join("\n") + "\n").unwrap();
            continue;
        }
        let name = file.file_name().unwrap().to_string_lossy();
        for (number, (expected, actual)) in text.lines().zip(&lines).enumerate() {
            if expected != actual {
                failures.push(format!("{name}:{}\n  expected {expected}\n  actual   {actual}", number + 1));
            }
        }
    }
    report(&failures);
}
