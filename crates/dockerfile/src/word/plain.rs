//! What nearly every word has, read without the grammar, which takes many times as long: `$NAME`, `${NAME}` and `${NAME:-` with
//! names of ASCII letters. The grammar reads the same of them.

/// Operators that are read here.
const OPERATORS: [&str; 6] = [":-", ":+", ":?", "-", "+", "?"];

/// Returns the name of the variable that a text begins with, and how long it is as written.
pub(super) fn variable(text: &str) -> Option<(&str, usize)> {
    let text = text.strip_prefix('$')?;
    match text.strip_prefix('{') {
        None => name(text).map(|name| (name, 1 + name.len())),
        Some(inner) => {
            let name = name(inner)?;
            inner[name.len()..].starts_with('}').then_some((name, 3 + name.len()))
        }
    }
}

/// Returns the name and the operator of the substitution that a text begins with, and how long both are as written.
pub(super) fn opening(text: &str) -> Option<(&str, &str, usize)> {
    let inner = text.strip_prefix("${")?;
    let name = name(inner)?;
    let operator = OPERATORS.into_iter().find(|operator| inner[name.len()..].starts_with(operator))?;
    Some((name, operator, 2 + name.len() + operator.len()))
}

/// Returns the name that a text begins with. Letters that are no ASCII would belong to it, so there must be none behind it.
fn name(text: &str) -> Option<&str> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = text.bytes().take_while(is_part).count();
    let name = &text[..length];
    let ends = text.as_bytes().get(length).is_none_or(u8::is_ascii);
    (ends && name.starts_with(|first: char| !first.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use pest::Parser;
    use proptest::prelude::*;

    use super::*;
    use crate::grammar::{word::Grammar, word::Rule};

    /// Returns the name, the operator and the length of what the grammar reads at the start of `text`.
    fn read(rule: Rule, text: &str) -> Option<(String, String, usize)> {
        let pair = Grammar::parse(rule, text).ok()?.next()?;
        let length = pair.as_span().end();
        let parts: Vec<_> = pair.into_inner().map(|part| part.as_str().to_owned()).collect();
        Some((parts.first()?.clone(), parts.get(1).cloned().unwrap_or_default(), length))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_grammar_reads_the_same(text in "[$][{]?[aZ_0é]{0,3}(:?[-+?#:])?[}]?[a}\\-]{0,2}") {
            if let Some((name, length)) = variable(&text) {
                let rule = if text.starts_with("${") { Rule::braced } else { Rule::variable };
                prop_assert_eq!(read(rule, &text), Some((name.to_owned(), String::new(), length)));
            }
            if let Some((name, operator, length)) = opening(&text) {
                prop_assert_eq!(read(Rule::opening, &text), Some((name.to_owned(), operator.to_owned(), length)));
            }
        }
    }

    #[test]
    fn the_usual_forms_are_read() {
        assert_eq!(variable("$A_1-"), Some(("A_1", 4)));
        assert_eq!(variable("${A_1}x"), Some(("A_1", 6)));
        assert_eq!(opening("${A_1:-x}"), Some(("A_1", ":-", 7)));
        for other in ["$1", "$é", "$aé", "${a", "${a:-", "a"] {
            assert_eq!(variable(other), None, "{other}");
        }
        for other in ["${a}", "${a#", "${:-", "${a:#", "$a:-"] {
            assert_eq!(opening(other), None, "{other}");
        }
    }
}
