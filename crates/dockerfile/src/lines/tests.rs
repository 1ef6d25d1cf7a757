use super::*;
use crate::source::Sources;

/// Returns the logical lines, each with the place of every byte.
fn logical(text: &str) -> Vec<(String, Vec<usize>)> {
    let source = Sources::default().add("Dockerfile", text);
    let mut lines = Lines::new(&source);
    let mut diagnostics = Diagnostics::default();
    let mut all = Vec::new();
    while let Some(line) = lines.logical(&mut diagnostics) {
        let places = line.text.char_indices().map(|(at, _)| line.all().from(at).span().start as usize).collect();
        all.push((line.text.to_string(), places));
    }
    all
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let lines: Vec<String> = logical(text).into_iter().map(|(text, _)| text).collect();
    assert_eq!(lines, expected);
}

#[test]
fn continuations_join_without_the_line_end() {
    check("RUN a \\\n  b\\\t \nc\nRUN d", &["RUN a   bc", "RUN d"]);
    check("RUN a \\\r\n b\r\n", &["RUN a  b"]);
}

#[test]
fn two_escapes_at_the_end_are_no_continuation() {
    check("RUN a \\\\\nRUN b", &["RUN a \\\\", "RUN b"]);
    check("RUN a \\\\\\\nRUN b", &["RUN a \\\\\\", "RUN b"]);
}

#[test]
fn comments_and_empty_lines_inside_a_continuation_vanish() {
    check("RUN a \\\n# x \\\n\n  # y\n b\nRUN c", &["RUN a  b", "RUN c"]);
}

#[test]
fn a_lone_escape_begins_a_line() {
    check("\\\nRUN a", &["RUN a"]);
    check("RUN a \\", &["RUN a "]);
}

#[test]
fn offsets_point_into_the_source() {
    let text = "\u{FEFF}# c\n  RUN é\\\n# no\n b";
    let (joined, places) = logical(text).remove(0);
    assert_eq!(joined, "RUN é b");
    let found: String = places.iter().map(|&at| text[at..].chars().next().unwrap()).collect();
    assert_eq!(found, joined);
    assert!(places.is_sorted());
}

#[test]
fn a_long_line_ends_the_reading() {
    let fits = format!("RUN {}", "a".repeat(MAX_LINE - 4));
    let text = format!("{fits}\nRUN {}\nRUN b\n", "a".repeat(MAX_LINE - 3));
    let source = Sources::default().add("Dockerfile", text);
    let mut lines = Lines::new(&source);
    let mut diagnostics = Diagnostics::default();
    assert_eq!(lines.logical(&mut diagnostics).map(|line| line.text.len()), Some(MAX_LINE));
    assert!(lines.logical(&mut diagnostics).is_none());
    assert_eq!(diagnostics.items().len(), 1);
    assert_eq!(diagnostics.items()[0].message, "dockerfile line greater than max allowed size of 65535");
}

#[test]
fn a_long_instruction_ends_the_reading() {
    let part = format!("{}\\\n", "x".repeat(1000));
    let source = Sources::default().add("Dockerfile", format!("RUN {}\nRUN b\n", part.repeat(2000)));
    let mut lines = Lines::new(&source);
    let mut diagnostics = Diagnostics::default();
    assert!(lines.logical(&mut diagnostics).is_some_and(|line| line.text.len() < MAX_JOINED + 2000));
    assert!(lines.logical(&mut diagnostics).is_none());
    assert_eq!(diagnostics.items()[0].message, "the instruction is longer than 1 MiB");
}
