use std::collections::BTreeMap;

use super::*;
use crate::source::SourceId;

fn variables() -> BTreeMap<String, String> {
    [("A", "one"), ("EMPTY", ""), ("B", "a b"), ("P", "/usr/local/lib.tar.gz"), ("STAR", "*")]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn word(text: &str) -> Word {
    Word::parse(text, Span::new(SourceId(0), 100, 100 + text.len()), '\\')
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(word(text).expand(&variables()).map(|expanded| expanded.value), Ok(expected.to_owned()));
}

#[track_caller]
fn check_error(text: &str, reason: &str, at: &str) {
    let error = word(text).expand(&variables()).unwrap_err();
    assert_eq!(error.message, format!("failed to process {}: {reason}", quote(text)));
    assert_eq!(&text[error.span.start as usize - 100..error.span.end as usize - 100], at);
}

#[test]
fn errors_point_at_the_part_at_fault() {
    check_error("a'b", "unexpected end of statement while looking for matching single-quote", "'b");
    check_error("a${A:-\"x}", "syntax error: missing '}'", "${A:-\"x}");
    check_error("x${A:?}${NO:?gone}y", "NO: gone", "${NO:?gone}");
    check_error("x ${A@Q} y", "unsupported modifier (@) in substitution", "${A@");
    check_error("${P#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'", "${P#\\x}");
}

#[test]
fn the_word_of_a_substitution_is_always_read() {
    check_error("${A:-${NO:?bad}}", "NO: bad", "${NO:?bad}");
    let used = word("${A:-$NO}").expand(&variables()).unwrap().used;
    assert_eq!(used, [("NO".to_owned(), true), ("A".to_owned(), false)]);
}

#[test]
fn deep_nesting_ends_in_a_value_or_an_error() {
    let nest = |depth: usize| format!("{}x{}", "${NO:-".repeat(depth), "}".repeat(depth));
    check(&nest(50), "x");
    let quoted = |depth: usize| format!("{}x{}", "\"${NO:-".repeat(depth), "}\"".repeat(depth));
    check(&quoted(40), "x");
    check(&nest(100).replace('x', "\"x\""), "x");
    for text in [nest(1_000), nest(100_000), quoted(100_000), "${NO:-".repeat(100_000), "\"${A/".repeat(100_000)] {
        let error = word(&text).expand(&variables()).unwrap_err();
        assert!(error.message.ends_with("nested deeper than 100 levels"), "{}", error.message);
        assert!(error.message.len() < 1_000);
    }
}

#[test]
fn a_value_that_grows_too_large_is_an_error() {
    let mut variables = variables();
    variables.insert("BIG".to_owned(), "x".repeat(MAX_EXPANSION / 2));
    assert_eq!(word("$BIG$BIG").expand(&variables).map(|expanded| expanded.value.len()), Ok(MAX_EXPANSION));
    for text in ["$BIG$BIG$A", "${NO:-$BIG}${NO:-$BIG}", "${BIG//????????/$A$BIG}"] {
        let error = word(text).expand(&variables).unwrap_err();
        assert!(error.message.ends_with("the expansion is larger than 16 MiB"), "{}", error.message);
    }
}

#[test]
fn a_hostile_pattern_is_no_trap() {
    let mut variables = variables();
    variables.insert("BIG".to_owned(), "a".repeat(100_000));
    let pattern = format!("${{BIG//{}b/x}}", "a*".repeat(50));
    assert_eq!(word(&pattern).expand(&variables).map(|expanded| expanded.value.len()), Ok(100_000));
    variables.insert("LONG".to_owned(), "?".repeat(1 << 20));
    assert_eq!(word("${BIG#$LONG}").expand(&variables).map(|expanded| expanded.value.len()), Ok(100_000));
    let error = word("${BIG//${BIG}b/x}").expand(&variables).unwrap_err();
    assert_eq!(error.message, "failed to process \"${BIG//${BIG}b/x}\": the expansion takes too long");
    assert_eq!(error.span, Span::new(SourceId(0), 100, 117));
}

#[test]
fn words_share_a_budget() {
    let mut variables = variables();
    variables.insert("BIG".to_owned(), "a".repeat(1 << 20));
    let mut budget = Budget::default();
    let words = std::iter::repeat_with(|| word("${BIG##*b}").expand_within(&variables, &mut budget));
    let done = words.take_while(Result::is_ok).count();
    assert!((2..32).contains(&done), "{done}");
    assert!(budget.is_spent());
    assert!(word("$A").expand_within(&variables, &mut budget).is_err());
    assert!(word("A").expand_within(&variables, &mut budget).is_ok());
}

#[test]
fn a_variable_is_named_once() {
    let names = (0..20_000).map(|number| format!("$V{number}$V0")).collect::<String>();
    let used = word(&names).expand(&variables()).unwrap().used;
    assert_eq!(used.len(), 20_000);
    assert_eq!(used[1], ("V1".to_owned(), true));
}

#[test]
fn words_split_at_bare_white_space() {
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let words = word(text).expand_words(&variables()).unwrap();
        assert_eq!(words.into_iter().map(|word| word.value).collect::<Vec<_>>(), expected);
    }
    check("80 81", &["80", "81"]);
    check("x$B", &["xa", "b"]);
    check("x\"$B\"y", &["xa by"]);
    check("a\\ b 'c d'", &["a b", "c d"]);
    check("\"\" $EMPTY ''", &[]);
    check("8${NO:-0 1}", &["80", "1"]);
}

#[test]
fn each_split_word_knows_its_variables() {
    let words = word("$A $NO$B").expand_words(&variables()).unwrap();
    let used: Vec<_> = words.into_iter().map(|word| (word.value, word.used)).collect();
    assert_eq!(used[0], ("one".to_owned(), vec![("A".to_owned(), false)]));
    assert_eq!(used[1].0, "a");
}

#[test]
fn literals_and_bodies_know_fewer_special_characters() {
    let span = Span::default();
    let expand = |word: Word| word.expand(&variables()).unwrap().value;
    assert_eq!(expand(Word::literal("$A '\\", span)), "$A '\\");
    assert_eq!(expand(Word::here_document("it's \"$A\" \\$A \\\\ ${NO:-'x'}\n", span)), "it's \"one\" $A \\ 'x'\n");
    assert!(Word::literal("$A", span).is_literal());
    assert!(word("a'b'").syntax_error().is_none() && !word("a'b'").has_variables());
    assert!(word("\"$A\"").has_variables());
}

#[test]
fn quoting_is_go_s() {
    assert_eq!(quote("a\"\\\n\t\u{1b}'é\u{85}"), "\"a\\\"\\\\\\n\\t\\x1b'é\\u0085\"");
}
