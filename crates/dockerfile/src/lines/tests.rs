use super::*;
use crate::source::Sources;

fn logical(text: &str) -> Vec<(String, Vec<(usize, usize)>)> {
    let source = Sources::default().add("Dockerfile", text);
    let mut lines = Lines::new(&source);
    let mut diagnostics = Diagnostics::default();
    let mut all = Vec::new();
    while let Some(line) = lines.logical(&mut diagnostics) {
        all.push((line.text.to_string(), line.segments));
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
    let (joined, segments) = logical(text).remove(0);
    assert_eq!(joined, "RUN é b");
    for &(at, source) in &segments {
        assert_eq!(text.as_bytes()[source], joined.as_bytes()[at]);
    }
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
