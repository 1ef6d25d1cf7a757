//! Which flags an instruction knows, and what they take (reference: section 1.1).

use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use crate::lines::Fragment;
use crate::source::{Span, Spanned};
use crate::word::Word;

use super::head::Flag;

/// What a flag takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Takes {
    /// Nothing, or `=true`, `=false`.
    Boolean,
    Text,
    /// Text, any number of times.
    Texts,
}

/// The flags of an instruction.
pub(super) type Known = &'static [(&'static str, Takes)];

pub(super) const NONE: Known = &[];
pub(super) const FROM: Known = &[("platform", Takes::Text)];
pub(super) const RUN: Known =
    &[("mount", Takes::Texts), ("network", Takes::Text), ("security", Takes::Text), ("device", Takes::Texts)];
pub(super) const COPY: Known = &[
    ("from", Takes::Text),
    ("chown", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Boolean),
    ("parents", Takes::Boolean),
    ("exclude", Takes::Texts),
];
pub(super) const ADD: Known = &[
    ("chown", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Boolean),
    ("keep-git-dir", Takes::Boolean),
    ("checksum", Takes::Text),
    ("unpack", Takes::Boolean),
    ("exclude", Takes::Texts),
];
pub(super) const HEALTHCHECK: Known = &[
    ("interval", Takes::Text),
    ("timeout", Takes::Text),
    ("start-period", Takes::Text),
    ("start-interval", Takes::Text),
    ("retries", Takes::Text),
];

/// The flags that were written and are as they should be.
#[derive(Debug)]
pub(super) struct Flags {
    given: Vec<(&'static str, Spanned<String>)>,
    escape: char,
}

impl Flags {
    /// Checks flags against those the instruction knows.
    pub(super) fn check(flags: Vec<Flag>, known: Known, line: Fragment<'_>, diagnostics: &mut Diagnostics) -> Self {
        let mut checked = Self { given: Vec::new(), escape: line.line.escape };
        for flag in flags {
            match checked.check_one(&flag, known) {
                Ok(given) => checked.given.push(given),
                Err(error) => diagnostics.push(*error),
            }
        }
        checked
    }

    fn check_one(&self, flag: &Flag, known: Known) -> Result<(&'static str, Spanned<String>), Box<Diagnostic>> {
        let wrong = |message: String| Err(Box::new(Diagnostic::error(flag.span, message)));
        let Some(&(name, takes)) = known.iter().find(|(name, _)| *name == flag.name) else {
            return Err(Box::new(unknown(flag, known)));
        };
        if takes != Takes::Texts && self.given.iter().any(|(given, _)| *given == name) {
            return wrong(format!("duplicate flag specified: --{name}"));
        }
        match (&flag.value, takes) {
            (None, Takes::Boolean) => Ok((name, Spanned { value: "true".to_owned(), span: flag.span })),
            (None, _) => wrong(format!("missing a value on flag: --{name}")),
            (Some(value), Takes::Boolean) if value.value.is_empty() => {
                wrong(format!("missing a value on flag: --{name}"))
            }
            (Some(value), Takes::Boolean) => match value.value.to_ascii_lowercase() {
                lower if lower == "true" || lower == "false" => Ok((name, Spanned { value: lower, span: value.span })),
                _ => wrong(format!("expecting boolean value for flag --{name}, not: {}", value.value)),
            },
            (Some(value), _) => Ok((name, value.clone())),
        }
    }

    /// Returns the value of a flag that is not expanded.
    pub(super) fn text(&self, name: &str) -> Option<Spanned<String>> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, value)| value.clone())
    }

    /// Returns the values of a flag that may be repeated.
    pub(super) fn texts(&self, name: &str) -> Vec<Spanned<String>> {
        self.given.iter().filter(|(given, _)| *given == name).map(|(_, value)| value.clone()).collect()
    }

    /// Returns the value of a flag that is expanded later.
    pub(super) fn word(&self, name: &str) -> Option<Word> {
        let Spanned { value, span } = self.text(name)?;
        Some(Word::parse(value, span, self.escape))
    }

    /// Returns the value of a flag that is true or false.
    pub(super) fn boolean(&self, name: &str) -> Option<Spanned<bool>> {
        let Spanned { value, span } = self.text(name)?;
        Some(Spanned { value: value == "true", span })
    }
}

fn unknown(flag: &Flag, known: Known) -> Diagnostic {
    let near = nearest(&flag.name, known.iter().map(|(name, _)| *name));
    let suggestion = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    let name: String = flag.name.chars().take(100).collect();
    let span = Span { end: flag.value.as_ref().map_or(flag.span.end, |value| value.span.start), ..flag.span };
    let error = Diagnostic::error(span, format!("unknown flag: --{name}{suggestion}"));
    match (near, known) {
        (Some(near), _) => error.help(format!("did you mean `--{near}`?")),
        (None, []) => error.help("this instruction takes no flags"),
        (None, _) => {
            let names: Vec<String> = known.iter().map(|(name, _)| format!("--{name}")).collect();
            error.help(format!("it takes {}", names.join(", ")))
        }
    }
}
