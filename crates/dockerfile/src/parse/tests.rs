use crate::ast::*;
use crate::source::{Source, Sources};
use crate::word::{ExpandError, Variables};
use crate::{Diagnostics, parse};

struct Nothing;

impl Variables for Nothing {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

fn read(text: &str) -> (Source, Dockerfile, Diagnostics) {
    let source = Sources::default().add("Dockerfile", text);
    let mut diagnostics = Diagnostics::default();
    let file = parse(&source, &mut diagnostics);
    (source, file, diagnostics)
}

fn error_of(word: &crate::Word) -> ExpandError {
    word.expand(&Nothing).unwrap_err()
}

#[test]
fn a_word_over_several_lines_points_to_its_fault_in_the_source() {
    let (source, file, diagnostics) = read("FROM a\nENV A=\"one \\\n  # no\n  two ${X:?gone}\\\n three\"\n");
    assert!(diagnostics.items().is_empty());
    let Kind::Env(pairs) = &file.stages[0].instructions[0].kind else { panic!("no ENV") };
    let error = error_of(&pairs.pairs[0].1);
    assert_eq!(source.slice(error.span), "${X:?gone}");
    assert_eq!(error.message, "failed to process \"\\\"one   two ${X:?gone} three\\\"\": X: gone");
}

#[test]
fn a_word_from_json_points_to_the_whole_string() {
    let (source, file, _) = read("FROM a\nCOPY [\"\\u0024{X:?}\", \"/\"]\n");
    let Kind::Copy(copy) = &file.stages[0].instructions[0].kind else { panic!("no COPY") };
    let CopySource::Path(word) = &copy.sources[0] else { panic!("no path") };
    assert_eq!(source.slice(error_of(word).span), "\"\\u0024{X:?}\"");
}

#[test]
fn words_know_the_escape_character_of_their_file() {
    let (_, file, _) = read("# escape=`\nFROM a\nWORKDIR C:\\`$x\nCOPY --chown=`$u a b\n");
    let values: Vec<String> = file.stages[0]
        .instructions
        .iter()
        .map(|instruction| match &instruction.kind {
            Kind::Workdir(word) => word.expand(&Nothing).unwrap().value,
            Kind::Copy(copy) => copy.flags.chown.as_ref().unwrap().expand(&Nothing).unwrap().value,
            other => panic!("{other:?}"),
        })
        .collect();
    // The flag word lost its escape character before it is expanded.
    assert_eq!(values, ["C:\\$x", ""]);
    assert_eq!(file.directives.escape_character(), '`');
}

#[test]
fn a_file_with_mistakes_still_has_what_could_be_read() {
    let (_, file, diagnostics) = read("FROM\nRUN a\nCOPY b\nFROM c AS 1\nRUN d\n");
    assert_eq!(diagnostics.errors(), 3);
    let counts: Vec<usize> = file.stages.iter().map(|stage| stage.instructions.len()).collect();
    assert_eq!(counts, [1, 1]);
}

#[test]
fn displayed_text_is_one_line() {
    let (_, file, _) = read("FROM a\nRUN --mount=a \\\n   b && \\\n\tc \\\n# x\n  d  \nRUN e\\\nf\n");
    let texts: Vec<&str> = file.stages[0].instructions.iter().map(|instruction| &*instruction.text).collect();
    assert_eq!(texts, ["--mount=a b && c d", "ef"]);
}

#[test]
fn a_heredoc_named_again_and_again_is_not_copied_without_end() {
    let text = |times: usize| {
        let (names, ends) = ("<<A ".repeat(times), "A\n".repeat(times - 1));
        format!("FROM a\nCOPY {names} /\n{ends}{}\nA\nRUN x\n", "b".repeat(20_000))
    };
    let (_, file, diagnostics) = read(&text(100));
    assert!(diagnostics.items().is_empty());
    let Kind::Copy(copy) = &file.stages[0].instructions[0].kind else { panic!("no COPY") };
    assert_eq!(copy.sources.len(), 100);
    let (source, file, diagnostics) = read(&text(1_000));
    let [error] = diagnostics.items() else { panic!("{diagnostics:?}") };
    assert_eq!(error.message, "the heredocs take more than 4 MiB in all");
    assert_eq!(source.slice(error.span), "<<A");
    assert_eq!(file.stages[0].instructions.len(), 1, "what follows is read");
}
