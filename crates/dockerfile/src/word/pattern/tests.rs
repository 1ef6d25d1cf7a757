use proptest::prelude::*;
use regex::Regex;

use super::*;

/// The pattern as a regular expression.
fn expression(pattern: &str, longest: bool) -> String {
    let star = if longest { ".*" } else { ".*?" };
    let unit = |character: char| match character {
        '*' => star.to_owned(),
        '?' => ".".to_owned(),
        other => regex::escape(&other.to_string()),
    };
    pattern.chars().map(unit).collect()
}

fn reverse(text: &str) -> String {
    text.chars().rev().collect()
}

fn expected_prefix(text: &str, pattern: &str, longest: bool) -> String {
    let regex = Regex::new(&format!("^{}", expression(pattern, longest))).unwrap();
    regex.replace(text, "").into_owned()
}

fn done(result: Result<String, Failure>) -> String {
    result.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn matches_are_those_of_a_regular_expression(text in "[ab\né]{0,12}", pattern in "[ab\né*?]{0,8}", with in "[x$0]{0,3}") {
        let mut budget = Budget::default();
        for longest in [false, true] {
            let prefix = done(trim_prefix(&text, &pattern, longest, &mut budget));
            prop_assert_eq!(prefix, expected_prefix(&text, &pattern, longest));
            let suffix = done(trim_suffix(&text, &pattern, longest, &mut budget));
            prop_assert_eq!(reverse(&suffix), expected_prefix(&reverse(&text), &reverse(&pattern), longest));
        }
        let regex = Regex::new(&expression(&pattern, true)).unwrap();
        let first = done(replace(&text, &pattern, &with, false, &mut budget, usize::MAX));
        prop_assert_eq!(first, regex.replace(&text, regex::NoExpand(&with)));
        let all = done(replace(&text, &pattern, &with, true, &mut budget, usize::MAX));
        // A name may have no zero in front here, and `regex` takes one.
        prop_assume!(!with.contains("$00"));
        prop_assert_eq!(all, regex.replace_all(&text, &with));
    }
}

/// Returns what a call takes of the budget.
fn cost(text: &str, pattern: &str) -> usize {
    let mut budget = Budget::default();
    let full = budget.left();
    done(replace(text, pattern, "x", true, &mut budget, usize::MAX));
    full - budget.left()
}

#[test]
fn no_pattern_costs_more_than_text_times_pattern() {
    let text = "a".repeat(4_000);
    let lines = "a\n".repeat(2_000);
    for text in [&text, &lines] {
        for pattern in ["*b", "*a*a*a*b", "a*b", "aaaaaaab", "????????b", "*\n*\n*\n*b", "", "*", "a", "a*\n*a"] {
            let bound = (4 + MATCH) * (text.len() + 1) * (pattern.len() + 1);
            assert!(cost(text, pattern) <= bound, "{pattern:?}: {}", cost(text, pattern));
        }
        assert!(cost(text, &"*".repeat(2_000)) <= 4 * (text.len() + 1) * 2_000);
    }
}
