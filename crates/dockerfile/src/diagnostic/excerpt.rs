//! The lines around a step that failed.

use crate::source::{Sources, Span};

/// Fewest lines that are shown around the marked ones, if the file has them.
const AROUND: usize = 5;

/// Most lines that are marked.
const MAX_MARKED: usize = 20;

/// Draws the lines of `span` with what is around them, without a final newline (reference: section 16).
///
/// ```text
/// Dockerfile:2
/// --------------------
///    1 |     FROM busybox
///    2 | >>> RUN false
///    3 |
/// --------------------
/// ```
pub fn excerpt(span: Span, sources: &Sources) -> String {
    const RULE: &str = "--------------------";
    let Some(source) = sources.get(span.source) else { return String::new() };
    let lines: Vec<&str> = source.text.split('\n').collect();
    let (first, _) = source.line_column(span.start as usize);
    let (last, _) = source.line_column((span.end as usize).saturating_sub(1).max(span.start as usize));
    let last = last.min(first + MAX_MARKED).min(lines.len());
    let (start, end) = surroundings(first, last, lines.len());
    let mut drawn = format!("{}:{first}\n{RULE}\n", super::text::clean(&source.name));
    for number in start..=end {
        let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
        let line = lines[number - 1].trim_end_matches('\r');
        let row = format!(" {number:3} | {mark} {}", clean(line));
        drawn.push_str(row.trim_end());
        drawn.push('\n');
    }
    drawn.push_str(RULE);
    drawn
}

/// Widens the range of lines upwards and downwards in turn.
fn surroundings(first: usize, last: usize, lines: usize) -> (usize, usize) {
    let (mut start, mut end, mut added) = (first, last, 0);
    while added < AROUND {
        if start > 1 {
            start -= 1;
            added += 1;
        }
        if end < lines {
            end += 1;
            added += 1;
        }
        added += 1;
    }
    (start, end)
}

/// As [`super::text::clean`], but tabs stay: nothing has to stand below this line.
fn clean(line: &str) -> String {
    line.split('\t').map(super::text::clean).collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, marked: &str, expected: &str) {
        let mut sources = Sources::default();
        let source = sources.add("Dockerfile", text);
        let start = text.find(marked).unwrap();
        let drawn = excerpt(Span::new(source.id, start, start + marked.len()), &sources);
        assert_eq!(drawn, expected);
    }

    #[test]
    fn the_failing_line_is_marked() {
        let expected = "\
Dockerfile:2
--------------------
   1 |     FROM busybox
   2 | >>> RUN false
   3 |
--------------------";
        check("FROM busybox\nRUN false\n", "RUN false", expected);
    }

    #[test]
    fn all_lines_of_a_span_are_marked_and_two_on_each_side_shown() {
        let expected = "\
Dockerfile:4
--------------------
   2 |     b
   3 |     c
   4 | >>> RUN x \\
   5 | >>> \ty
   6 |     d
   7 |     e
--------------------";
        check("a\nb\nc\nRUN x \\\n\ty\nd\ne\nf\n", "RUN x \\\n\ty", expected);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let drawn = {
            let mut sources = Sources::default();
            let source = sources.add("Dockerfile", "RUN \u{1b}[31m\r\n");
            excerpt(Span::new(source.id, 0, 3), &sources)
        };
        assert!(drawn.contains("RUN ␛[31m\n"), "{drawn}");
    }
}
