use super::*;
use crate::source::Span;

fn render(text: &str, range: Range<usize>, edit: impl FnOnce(Diagnostic) -> Diagnostic) -> String {
    let mut sources = Sources::default();
    let source = sources.add("Dockerfile", text);
    let diagnostic = Diagnostic::error(Span::new(source.id, range.start, range.end), "it is wrong");
    edit(diagnostic).render(&sources, false)
}

#[track_caller]
fn check(text: &str, marked: &str, expected: &str) {
    let start = text.find(marked).unwrap();
    assert_eq!(render(text, start..start + marked.len(), |diagnostic| diagnostic.label("here")), expected);
}

#[test]
fn label_and_help_stand_where_they_belong() {
    let text = "\n\n\n\n\n\nCOPY src/mian.rs ./src/\n";
    let drawn = render(text, 11..22, |diagnostic| {
        diagnostic.label("needed by stage `build`").help("a similar path exists: `src/main.rs`")
    });
    let expected = "\
error: it is wrong
 --> Dockerfile:7:6
  |
7 | COPY src/mian.rs ./src/
  |      ^^^^^^^^^^^ needed by stage `build`
  = help: a similar path exists: `src/main.rs`";
    assert_eq!(drawn, expected);
}

#[test]
fn tabs_and_wide_characters_keep_the_marker_in_place() {
    let expected = "\
error: it is wrong
 --> Dockerfile:1:9
  |
1 |     RUN 日本 x
  |              ^ here";
    check("\tRUN 日本 x", "x", expected);
    let expected = "\
error: it is wrong
 --> Dockerfile:1:5
  |
1 | RUN 日本 x
  |     ^^^^ here";
    check("RUN 日本 x", "日本", expected);
}

#[test]
fn a_span_of_several_lines_has_a_bar() {
    let expected = "\
error: it is wrong
  --> Dockerfile:10:1
   |
10 | / RUN a \\
11 | |   b
   | |___^ here";
    let text = format!("{}RUN a \\\n  b\nRUN c\n", "\n".repeat(9));
    check(&text, "RUN a \\\n  b", expected);
}

#[test]
fn of_many_lines_the_middle_is_left_out() {
    let text: String = (1..=9).map(|number| format!("line {number}\n")).collect();
    let expected = "\
error: it is wrong
 --> Dockerfile:1:1
  |
1 | / line 1
2 | | line 2
3 | | line 3
4 | | line 4
...
9 | | line 9
  | |______^ here";
    check(&text, text.trim_end(), expected);
}

#[test]
fn a_long_line_is_cut_around_the_marker() {
    let text = format!("RUN {} wrong {}", "a".repeat(500), "b".repeat(500));
    let at = text.find("wrong").unwrap();
    let drawn = render(&text, at..at + 5, |diagnostic| diagnostic);
    let lines: Vec<&str> = drawn.lines().collect();
    assert!(lines[3].starts_with("1 | …aaa") && lines[3].ends_with("bbb…"), "{drawn}");
    let column = |line: &str, what: char| line.chars().position(|character| character == what);
    assert_eq!(column(lines[4], '^'), column(lines[3], 'w'), "{drawn}");
    assert!(lines[3].chars().count() <= 130);
}

#[test]
fn the_end_of_the_file_can_be_pointed_to() {
    check("FROM a", "", "error: it is wrong\n --> Dockerfile:1:1\n  |\n1 | FROM a\n  | ^ here");
    let drawn = render("FROM a\n", 7..7, |diagnostic| diagnostic);
    assert_eq!(drawn, "error: it is wrong\n --> Dockerfile:2:1\n  |\n2 |\n  | ^");
    render("", 0..0, |diagnostic| diagnostic);
    render("é", 1..999, |diagnostic| diagnostic);
}

#[test]
fn a_rule_is_named_and_colors_are_optional() {
    let mut sources = Sources::default();
    let source = sources.add("Dockerfile", "from a");
    let warning = Diagnostic::warning("StageNameCasing", Span::new(source.id, 0, 4), "odd");
    let plain = warning.render(&sources, false);
    assert!(plain.starts_with("warning[StageNameCasing]: odd\n"), "{plain}");
    let colored = warning.render(&sources, true);
    assert!(colored.contains("\u{1b}[1;33m"));
    let mut stripped = colored;
    for code in ["1;33", "1;34", "1", "0"] {
        stripped = stripped.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn control_characters_are_shown_as_pictures() {
    let drawn = render("RUN \u{1b}[31m\u{202E}", 0..3, |diagnostic| diagnostic.help("a\u{7}b"));
    assert!(drawn.contains("RUN ␛[31m\u{FFFD}") && drawn.contains("a␇b"), "{drawn}");
}
