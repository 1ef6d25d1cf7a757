//! The parser: no panic, spans tile the source, what is written and read again is the same tree.

use dockerfile::{Diagnostics, Dockerfile, Source, Sources, Span};

/// Checks any text.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (sources, source, mut file, diagnostics) = read(&text);
    for diagnostic in diagnostics.items() {
        assert!(source.text.get(diagnostic.span.range()).is_some(), "{diagnostic:?}");
        diagnostic.render(&sources, false);
    }
    dockerfile::print::print(&file, &source);
    check_order(&file, &source);
    if !diagnostics.has_errors() {
        check_gaps(&file, &source);
        check_written(&mut file, &text);
    }
    let mut findings = Diagnostics::default();
    dockerfile::lint(&file, &mut findings);
    let trigger = Sources::default().add("trigger", &*text);
    dockerfile::parse_trigger(&trigger, &mut Diagnostics::default());
}

fn read(text: &str) -> (Sources, Source, Dockerfile, Diagnostics) {
    let mut sources = Sources::default();
    let source = sources.add("Dockerfile", text);
    let mut diagnostics = Diagnostics::default();
    let file = dockerfile::parse(&source, &mut diagnostics);
    (sources, source, file, diagnostics)
}

/// Returns the spans of all instructions, in order.
fn spans(file: &Dockerfile) -> Vec<Span> {
    let mut spans: Vec<Span> = file.globals.iter().map(|instruction| instruction.span).collect();
    for stage in &file.stages {
        spans.push(stage.span);
        spans.extend(stage.instructions.iter().map(|instruction| instruction.span));
    }
    spans
}

/// Instructions follow each other, and each begins with its keyword.
fn check_order(file: &Dockerfile, source: &Source) {
    let mut position = 0;
    for span in spans(file) {
        assert!(position <= span.start && span.start < span.end, "{span:?}");
        let text = source.text.get(span.range()).expect("a span cuts no character");
        assert!(text.starts_with(|first: char| !first.is_whitespace()), "{text:?}");
        position = span.end;
    }
}

/// Between the instructions of a file without mistakes is only what means nothing.
fn check_gaps(file: &Dockerfile, source: &Source) {
    let end = source.text.len();
    let mut position = 0;
    for range in spans(file).iter().map(|span| span.range()).chain(std::iter::once(end..end)) {
        for line in source.text[position..range.start].lines().map(str::trim) {
            let line = line.trim_start_matches('\u{FEFF}').trim();
            assert!(line.is_empty() || line.starts_with('#') || matches!(line, "\\" | "`"), "{line:?} is lost");
        }
        position = range.end;
    }
}

/// Writing the tree as a file and reading that gives the tree.
fn check_written(file: &mut Dockerfile, text: &str) {
    let Some(written) = crate::write(file) else { return };
    let (sources, _, mut again, diagnostics) = read(&written);
    let shown: Vec<String> = diagnostics.items().iter().map(|one| one.render(&sources, false)).collect();
    assert!(shown.is_empty(), "{text:?} as\n{written}\nis\n{}", shown.join("\n"));
    crate::erase(file);
    crate::erase(&mut again);
    assert_eq!(*file, again, "{text:?} as\n{written}");
}
