//! Whatever the input: no panic, and every place lies where it says.

use std::collections::BTreeMap;

use dockerfile::ast::{Instruction, Kind};
use dockerfile::{Diagnostics, Dockerfile, Source, Sources, Span, Word};
use proptest::prelude::*;

struct Read {
    sources: Sources,
    source: Source,
    file: Dockerfile,
    diagnostics: Diagnostics,
}

fn read(text: &str) -> Read {
    let mut sources = Sources::default();
    let source = sources.add("Dockerfile", text);
    let mut diagnostics = Diagnostics::default();
    let file = dockerfile::parse(&source, &mut diagnostics);
    dockerfile::lint(&file, &mut diagnostics);
    Read { sources, source, file, diagnostics }
}

fn instructions(file: &Dockerfile) -> impl Iterator<Item = &Instruction> {
    file.globals.iter().chain(file.stages.iter().flat_map(|stage| &stage.instructions))
}

/// The spans of all instructions, in order.
fn spans(file: &Dockerfile) -> Vec<Span> {
    let mut spans: Vec<Span> = file.globals.iter().map(|instruction| instruction.span).collect();
    for stage in &file.stages {
        spans.push(stage.span);
        spans.extend(stage.instructions.iter().map(|instruction| instruction.span));
    }
    spans
}

fn check_places(read: &Read) {
    for diagnostic in read.diagnostics.items() {
        assert!(read.source.text.get(diagnostic.span.range()).is_some(), "{diagnostic:?}");
        diagnostic.render(&read.sources, true);
        dockerfile::diagnostic::excerpt(diagnostic.span, &read.sources);
    }
    for instruction in instructions(&read.file) {
        let text = read.source.text.get(instruction.span.range()).expect("a span cuts no character");
        assert!(text.starts_with(|first: char| !first.is_whitespace()), "{text:?}");
    }
    for pair in spans(&read.file).windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:?}");
    }
    dockerfile::print::print(&read.file, &read.source);
}

/// Mending twice is mending once, and gives a file without errors.
fn check_fix(text: &str) {
    let (fixed, _) = dockerfile::lint::fix(text);
    assert_eq!(dockerfile::lint::fix(&fixed), (fixed.clone(), 0), "{text:?}");
    let (before, after) = (read(text), read(&fixed));
    assert_eq!(before.diagnostics.errors(), after.diagnostics.errors());
    assert_eq!(spans(&before.file).len(), spans(&after.file).len());
}

/// Between the instructions of a file without mistakes there are only comments, blank lines and continuations.
fn check_tiles(read: &Read) {
    let mut position = 0;
    let end = u32::try_from(read.source.text.len()).unwrap();
    for span in spans(&read.file).into_iter().chain([Span { start: end, end, ..Span::default() }]) {
        let gap = &read.source.text[position as usize..span.start as usize];
        for line in gap.lines().map(str::trim) {
            let line = line.trim_start_matches('\u{FEFF}');
            assert!(line.is_empty() || line.starts_with('#') || line == "\\" || line == "`", "{line:?} is lost");
        }
        position = span.end;
    }
}

fn expand_all(file: &Dockerfile) {
    let variables: BTreeMap<String, String> =
        [("A".to_owned(), "x y".to_owned()), ("E".to_owned(), String::new())].into();
    let expand = |word: &Word| {
        for expanded in [word.expand(&variables).map(|_| ()), word.expand_words(&variables).map(|_| ())] {
            if let Err(error) = expanded {
                assert!(word.span.start <= error.span.start && error.span.end <= word.span.end, "{word:?} {error:?}");
                assert!(error.message.starts_with("failed to process \""));
            }
        }
    };
    for instruction in instructions(file) {
        match &instruction.kind {
            Kind::Env(pairs) | Kind::Label(pairs) => pairs.pairs.iter().for_each(|(key, value)| {
                expand(key);
                expand(value);
            }),
            Kind::Expose(words) | Kind::Volume(words) => words.iter().for_each(expand),
            Kind::User(word) | Kind::Workdir(word) | Kind::Stopsignal(word) => expand(word),
            Kind::Copy(copy) | Kind::Add(copy) => expand(&copy.destination),
            _ => {}
        }
    }
}

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "FROM ",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "ARG ",
        "LABEL ",
        "CMD ",
        "ONBUILD ",
        "HEALTHCHECK ",
        "VOLUME ",
        "EXPOSE ",
        "SHELL ",
        "USER ",
        "WORKDIR ",
        "a",
        "b ",
        " ",
        "  ",
        "\t",
        "\n",
        "\n",
        "\n",
        "\r\n",
        "\\\n",
        "`\n",
        "\\",
        "`",
        "#",
        "# escape=`\n",
        "# c\n",
        "<<EOF",
        "<<-'E'",
        "EOF\n",
        "E\n",
        "\"",
        "'",
        "$",
        "${",
        "}",
        "$A",
        "${E:-",
        "${A/",
        "/",
        "[",
        "]",
        "[\"a\", ",
        "\"b\"]",
        ",",
        "--",
        "--from=",
        "--mount=type=cache ",
        "=",
        "AS ",
        "é",
        "日",
        "\u{a0}",
        "\0",
        "\u{FEFF}",
        "NONE",
        "--interval=1s ",
        "<<",
        "<",
        "{",
        "%",
        "*",
        ":",
        "?",
    ])
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        let read = read(&text);
        check_places(&read);
        check_fix(&read.source.text);
        expand_all(&read.file);
    }

    #[test]
    fn any_soup_of_tokens_is_read(tokens in prop::collection::vec(token(), 0..60)) {
        let read = read(&tokens.concat());
        check_places(&read);
        check_fix(&read.source.text);
        expand_all(&read.file);
        if !read.diagnostics.has_errors() {
            check_tiles(&read);
        }
    }

    #[test]
    fn spans_tile_a_file_without_mistakes(
        tokens in prop::collection::vec(token(), 0..30),
        lines in prop::collection::vec(prop::sample::select(vec![
            "RUN a \\\n b\n", "# c\n", "\n", "COPY <<E /x\nbody\nE\n", "ENV A=b \\\n\n C=d\n", "  RUN x\n", "USER u \n",
            "RUN [\"a\"]\n", "\\\nRUN y\n", "ONBUILD RUN <<E\nE\n", "LABEL a=b \\\n# c\n",
        ]), 0..12),
    ) {
        let quiet: String = tokens.concat().replace(['\n', '\r', '<', '\\', '`'], "");
        let text = format!("FROM a\n{}RUN x {quiet}\n", lines.concat());
        let read = read(&text);
        check_places(&read);
        check_fix(&read.source.text);
        if !read.diagnostics.has_errors() {
            check_tiles(&read);
            prop_assert_eq!(read.file.stages.len(), 1);
        }
    }

    /// A word within one line is found at its span as it is written.
    #[test]
    fn words_are_where_they_say(words in prop::collection::vec("[a-z$é/]{1,6}", 2..6)) {
        let read = read(&format!("FROM a\nCOPY {} \n", words.join("  ")));
        let Some(Kind::Copy(copy)) = read.file.stages[0].instructions.first().map(|one| &one.kind) else {
            return Err(TestCaseError::fail("no COPY"));
        };
        prop_assert_eq!(read.source.slice(copy.destination.span), &copy.destination.text);
        prop_assert_eq!(copy.sources.len(), words.len() - 1);
    }

    #[test]
    fn any_word_expands_or_says_why(parts in prop::collection::vec(token(), 0..40), escape in prop::sample::select(vec!['\\', '`'])) {
        let text = parts.concat();
        let variables: BTreeMap<String, String> = [("A".to_owned(), "x*y".to_owned())].into();
        let span = Span::new(dockerfile::SourceId(0), 7, 7 + text.len());
        for word in [Word::parse(text.as_str(), span, escape), Word::here_document(text.as_str(), span)] {
            for error in [word.expand(&variables).err(), word.expand_words(&variables).err()].into_iter().flatten() {
                let (start, end) = (error.span.start as usize - 7, error.span.end as usize - 7);
                prop_assert!(text.get(start..end).is_some(), "{:?} {:?}", text, error);
            }
        }
    }
}

#[test]
fn hostile_files_are_read_in_bounded_time() {
    let large = format!("FROM a\n{}", "RUN x\n".repeat(2_000_000));
    let read_large = read(&large);
    assert_eq!(read_large.diagnostics.items()[0].message, "the Dockerfile is larger than 4 MiB");

    let stages: String = (0..10_000).map(|number| format!("FROM a AS s{number}\nRUN x\n")).collect();
    let read_stages = read(&stages);
    assert!(!read_stages.diagnostics.has_errors());
    assert_eq!(read_stages.file.stages.len(), 10_000);

    for text in [
        "RUN <<X\n".repeat(100_000),
        "X\n".repeat(1_000_000),
        format!("FROM a\nCMD {}", "[".repeat(60_000)),
        format!("FROM a\nCMD {}\"a\"{}", "[".repeat(30_000), "]".repeat(30_000)),
        format!("FROM a\nENV A={}", "${A:-".repeat(12_000)),
        // Every level multiplies, and makes a pattern or a replacement for the next.
        format!("FROM a\nENV B={}x{}", "${A/${A///".repeat(60), "}/}".repeat(60)),
        format!("FROM a\nENV B={}x{}", "${A///${A///".repeat(60), "}}".repeat(60)),
        format!("FROM a\nENV B={}x{}", "${A#${A///".repeat(60), "}}".repeat(60)),
        format!("FROM a\nENV {}", "\"".repeat(60_001)),
        format!("FROM a\nENV A={}", "'\"".repeat(30_000)),
        format!("FROM a\nRUN {}<<E", "${a:-'".repeat(10_000)),
        format!("FROM a\nRUN {}", "<<A ".repeat(16_000)),
        format!("FROM a\nRUN a {}", "\\\n".repeat(1_000_000)),
        format!("FROM a\nRUN a {}\\\nb", "\\\n# c\n".repeat(500_000)),
        format!("FROM a\nCOPY {}", "a ".repeat(32_000)),
        format!("FROM a\nCOPY {}c", "a b\\\n".repeat(200_000)),
        format!("FROM a\nENV {}c", "a=\"$b\\\n\"".repeat(100_000)),
        format!("FROM a\nCOPY <<E /x\n{}\nE\n", "$a${b}\n".repeat(300_000)),
        format!("FROM a\nCOPY <<E /x\n${{a:-{}}}\nE\n", "$a\n\\\n".repeat(300_000)),
        format!("FROM a\nRUN {}x", "--mount=a ".repeat(6_000)),
        format!("FROM a\nRUN --mount={}", "\"'".repeat(30_000)),
        "\0".repeat(1 << 20),
        "\\".repeat(60_000),
        "ONBUILD ".repeat(8_000),
        "#".repeat(60_000),
    ] {
        let read = read(&text);
        assert!(read.diagnostics.items().len() <= 110);
        expand_all(&read.file);
    }
}
