//! `WWW-Authenticate` (RFC 9110, 11.6.1): several challenges in one header, several headers in one answer.

use std::collections::BTreeMap;

/// One way in that a server offers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Challenge {
    /// Lower-case: `bearer`, `basic`.
    pub(crate) scheme: String,
    /// Names in lower case.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Challenge {
    /// Returns a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

/// Reads the values of all `WWW-Authenticate` headers of an answer; what cannot be read is left out.
pub(crate) fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for header in headers {
        Parser { rest: header }.run(&mut challenges);
    }
    challenges
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn run(mut self, challenges: &mut Vec<Challenge>) {
        let first = challenges.len();
        loop {
            self.skip(|c| c.is_ascii_whitespace() || c == ',');
            let word = self.take(is_token);
            if word.is_empty() {
                return;
            }
            if let Some(value) = self.value() {
                // A parameter before any scheme of this header belongs to nothing.
                if let Some(challenge) = challenges[first..].last_mut() {
                    challenge.parameters.insert(word.to_ascii_lowercase(), value);
                }
            } else {
                challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() });
                self.token68();
            }
        }
    }

    /// Reads `=value` if it stands here.
    fn value(&mut self) -> Option<String> {
        let after = self.rest.trim_start().strip_prefix('=')?.trim_start();
        self.rest = after;
        Some(if after.starts_with('"') { self.quoted() } else { self.take(is_token).to_owned() })
    }

    fn quoted(&mut self) -> String {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((index, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[index + 1..];
                    return text;
                }
                '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        self.rest = "";
        text
    }

    /// Skips the single opaque value some schemes have (`Negotiate YII=`).
    fn token68(&mut self) {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !(is_token(c) || matches!(c, '/' | '='))).unwrap_or(text.len());
        let (opaque, after) = text.split_at(end);
        let is_parameter =
            opaque.trim_end_matches('=').contains('=') || opaque.ends_with('=') && after.starts_with('"');
        let ends = after.trim_start().is_empty() || after.trim_start().starts_with(',');
        if !is_parameter && ends && opaque.contains(['=', '/', '+']) {
            self.rest = after;
        }
    }

    fn take(&mut self, wanted: fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, unwanted: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(unwanted);
    }
}

/// RFC 9110, 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[&str], expected: &[(&str, &[(&str, &str)])]) {
        let found = parse(headers.iter().copied());
        let found: Vec<(&str, Vec<(&str, &str)>)> = found
            .iter()
            .map(|c| (c.scheme.as_str(), c.parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(scheme, parameters)| (*scheme, parameters.to_vec())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn docker_hub() {
        check(
            &[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
            ],
            &[(
                "bearer",
                &[
                    ("realm", "https://auth.docker.io/token"),
                    ("scope", "repository:a/b:pull,push"),
                    ("service", "registry.docker.io"),
                ],
            )],
        );
    }

    #[test]
    fn several_in_one_header_and_several_headers() {
        check(
            &[r#"Basic realm="a, \"b\"", Bearer Realm = "c" , service=d"#, "BASIC realm=e"],
            &[
                ("basic", &[("realm", r#"a, "b""#)]),
                ("bearer", &[("realm", "c"), ("service", "d")]),
                ("basic", &[("realm", "e")]),
            ],
        );
    }

    #[test]
    fn opaque_values_are_skipped() {
        check(
            &["Negotiate YII/a+b==, Basic realm=x", "NTLM"],
            &[("negotiate", &[]), ("basic", &[("realm", "x")]), ("ntlm", &[])],
        );
    }

    #[test]
    fn damaged_headers_do_no_harm() {
        check(
            &["", ",,", "=", "a=b", "\"", "Bearer realm=\"unterminated"],
            &[("bearer", &[("realm", "unterminated")])],
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_written_is_read(
            schemes in proptest::collection::vec(("[a-z]{1,8}", "[a-z]{1,8}", "[ -~]{0,20}"), 1..4),
        ) {
            let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
            let written: Vec<_> = schemes.iter().map(|(s, name, value)| format!("{s} {name}=\"{}\"", quoted(value))).collect();
            let read = parse([written.join(", ").as_str()]);
            let read: Vec<_> = read.iter().map(|c| (c.scheme.clone(), c.parameters.clone())).collect();
            let expected: Vec<_> =
                schemes.iter().map(|(s, name, value)| (s.clone(), BTreeMap::from([(name.clone(), value.clone())]))).collect();
            proptest::prop_assert_eq!(read, expected);
        }

        #[test]
        fn nothing_panics(text in "[a-z=\", \\\\/+é]{0,40}") {
            parse([text.as_str()]);
        }
    }
}
