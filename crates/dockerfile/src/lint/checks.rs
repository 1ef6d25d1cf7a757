//! `# check=skip=A,B;error=true;experimental=C`.

use pest::Parser;

use crate::ast::Directives;
use crate::diagnostic::Diagnostic;
use crate::grammar::line::{Grammar, Rule};
use crate::source::Spanned;
use crate::word::quote;

/// Rules that say something only when asked for.
const EXPERIMENTAL: &[&str] = &["InvalidDefinitionDescription"];

/// Which rules speak.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Checks {
    skip: Names,
    experimental: Names,
    /// Findings are errors in the end: `lint violation found for rules: A, B`.
    pub error: bool,
}

/// Names of rules, or all of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Names {
    all: bool,
    names: Vec<String>,
}

impl Names {
    fn contains(&self, name: &str) -> bool {
        self.all || self.names.iter().any(|known| known == name)
    }

    fn set(&mut self, value: &str) {
        if value.trim() == "all" {
            self.all = true;
        } else {
            self.names = value.split(',').map(|name| name.trim().to_owned()).collect();
        }
    }
}

impl Checks {
    /// Reads the directive of a file.
    pub fn of(directives: &Directives) -> Result<Self, Box<Diagnostic>> {
        let Some(Spanned { value, span }) = &directives.check else { return Ok(Self::default()) };
        Self::parse(value).map_err(|message| Box::new(Diagnostic::error(*span, message)))
    }

    /// Reads the value of the directive.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut checks = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(checks);
        }
        for option in text.splitn(3, ';') {
            let Some((key, value)) = option.split_once('=') else {
                return Err(format!("invalid check option {}", quote(option)));
            };
            match key.trim() {
                "skip" => checks.skip.set(value),
                "experimental" => checks.experimental.set(value),
                "error" => match value.trim() {
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => checks.error = true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => checks.error = false,
                    _ => return Err(format!("failed to parse check option {}", quote(option))),
                },
                other => return Err(format!("invalid check option {}", quote(other))),
            }
        }
        Ok(checks)
    }

    /// True if findings of a rule are wanted at an instruction with these comments above it.
    pub fn shows(&self, rule: &str, comments: &[Spanned<String>]) -> bool {
        let local = comments.iter().find_map(|comment| local(&comment.value)).unwrap_or_default();
        if EXPERIMENTAL.contains(&rule) {
            self.experimental.contains(rule) || local.experimental.contains(rule)
        } else {
            !self.skip.contains(rule) && !local.skip.contains(rule)
        }
    }
}

/// Reads a comment that may be `check=…`; one that is malformed says nothing, and neither do those below it.
fn local(comment: &str) -> Option<Checks> {
    let text = format!("#{comment}");
    let mut parts = Grammar::parse(Rule::directive, &text).ok()?.next()?.into_inner();
    let (key, value) = (parts.next()?.as_str(), parts.next()?.as_str());
    let value = value.split(' ').next().unwrap_or(value);
    key.eq_ignore_ascii_case("check").then(|| Checks::parse(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;

    fn comments(text: &str) -> Vec<Spanned<String>> {
        vec![Spanned { value: text.to_owned(), span: Span::default() }]
    }

    #[test]
    fn rules_are_skipped_by_name_or_all_together() {
        let checks = Checks::parse("skip=A, B;error=true").unwrap();
        assert!(checks.error && !checks.shows("A", &[]) && !checks.shows("B", &[]) && checks.shows("C", &[]));
        let all = Checks::parse("error=0 ; skip = all").unwrap();
        assert!(!all.error && !all.shows("A", &[]));
    }

    #[test]
    fn comments_skip_for_one_instruction() {
        let checks = Checks::default();
        assert!(!checks.shows("A", &comments("check=skip=A,B")));
        assert!(!checks.shows("A", &comments("CHECK = skip=all because")));
        assert!(checks.shows("A", &comments("check=skip=B")));
        assert!(checks.shows("A", &comments("check=what")) && checks.shows("A", &comments("skip=A")));
        let two = [comments("check=what"), comments("check=skip=A")].concat();
        assert!(checks.shows("A", &two));
        assert!(
            !checks.shows("A", &two[1..]) && !checks.shows("A", &[comments("why"), comments("check=skip=A")].concat())
        );
    }

    #[test]
    fn experimental_rules_must_be_asked_for() {
        let rule = EXPERIMENTAL[0];
        assert!(!Checks::default().shows(rule, &[]));
        assert!(Checks::parse("experimental=all").unwrap().shows(rule, &[]));
        assert!(Checks::default().shows(rule, &comments("check=experimental=InvalidDefinitionDescription")));
    }

    #[test]
    fn mistakes_name_the_option() {
        assert_eq!(Checks::parse("skp=A").unwrap_err(), "invalid check option \"skp\"");
        assert_eq!(Checks::parse("skip=A;all").unwrap_err(), "invalid check option \"all\"");
        assert_eq!(Checks::parse("error=maybe").unwrap_err(), "failed to parse check option \"error=maybe\"");
    }
}
