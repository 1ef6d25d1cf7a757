//! The word expander: no panic, mistakes lie within the word, and what is quoted or escaped stands for itself.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use dockerfile::word::MAX_EXPANSION;
use dockerfile::{SourceId, Span, Word};

/// Where the word stands in its file: anywhere but at the start.
const BEFORE: usize = 7;

static VARIABLES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let pairs =
        [("A", "x y"), ("E", ""), ("P", "/usr/lib.tar.gz"), ("Q", "a*b?\\c'\"$A"), ("U", "é日\n "), ("_1", "  z  ")];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
});

/// Checks any text. The bits of the first byte choose the escape character and whether it is the body of a heredoc.
pub fn check(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data);
    let escape = if kind & 1 == 0 { '\\' } else { '`' };
    let span = Span::new(SourceId(0), BEFORE, BEFORE + text.len());
    let is_body = kind & 2 != 0;
    let word = if is_body { Word::here_document(&*text, span) } else { Word::parse(&*text, span, escape) };
    check_expansions(&word);
    if !is_body {
        check_quoted(&text, escape);
    }
}

fn check_expansions(word: &Word) {
    let whole = word.expand(&*VARIABLES);
    let words = word.expand_words(&*VARIABLES);
    for error in [whole.as_ref().err(), words.as_ref().err(), word.syntax_error().as_ref()].into_iter().flatten() {
        let (start, end) = (error.span.start as usize, error.span.end as usize);
        assert!(BEFORE <= start && start <= end, "{error:?}");
        assert!(word.text.get(start - BEFORE..end - BEFORE).is_some(), "{error:?} cuts {:?}", word.text);
        assert!(error.message.starts_with("failed to process \""), "{error:?}");
    }
    assert_eq!(whole.is_ok(), words.is_ok(), "{:?}", word.text);
    let (Ok(whole), Ok(words)) = (whole, words) else { return };
    assert!(word.syntax_error().is_none());
    assert!(whole.value.len() <= MAX_EXPANSION);
    // Splitting loses white space alone, and changes nothing of what was asked for.
    let solid = |text: &str| text.chars().filter(|character| !character.is_whitespace()).collect::<String>();
    let joined: String = words.iter().map(|word| word.value.as_str()).collect();
    assert_eq!(solid(&whole.value), solid(&joined), "{:?}", word.text);
    for (name, unset) in &whole.used {
        assert_eq!(*unset, !VARIABLES.contains_key(name), "{name} in {:?}", word.text);
    }
    if word.is_literal() {
        assert_eq!(whole.value, word.text);
    }
    assert!(word.has_variables() || whole.used.is_empty(), "{:?}", word.text);
}

/// In single quotes, in double quotes with escapes, and with every character escaped, a text is itself.
fn check_quoted(text: &str, escape: char) {
    let escaped: String = text.chars().flat_map(|character| [escape, character]).collect();
    let special = |character: char| matches!(character, '"' | '$') || character == escape;
    let inner: String = text
        .chars()
        .flat_map(|character| special(character).then_some(escape).into_iter().chain([character]))
        .collect();
    let mut written = vec![escaped, format!("\"{inner}\"")];
    if !text.contains('\'') {
        written.push(format!("'{text}'"));
    }
    for written in written {
        let word = Word::parse(written.as_str(), Span::new(SourceId(0), 0, written.len()), escape);
        let words = word.expand_words(&*VARIABLES).expect("nothing in it is special");
        assert!(words.len() <= 1, "{written:?}");
        assert_eq!(word.expand(&*VARIABLES).map(|expanded| expanded.value).as_deref(), Ok(text), "{written:?}");
    }
}
