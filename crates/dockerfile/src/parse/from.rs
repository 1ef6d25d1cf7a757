//! `FROM`.

use crate::ast::{From, Stage};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::lines::Fragment;
use crate::source::Span;
use crate::word::{Word, quote};

use super::flags::Flags;
use super::form;

/// Reads a stage's first line. After a mistake the stage is returned all the same, so that what follows has one.
pub(super) fn read(
    keyword: Fragment<'_>,
    rest: Fragment<'_>,
    flags: &Flags,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Stage {
    let words = form::words(rest);
    let named = words.len() == 3 && words[1].text().eq_ignore_ascii_case("as");
    if words.len() != 1 && !named {
        diagnostics.push(arity(keyword, rest, &words));
    }
    let name = words.get(2).filter(|_| named).map(|word| word.spanned());
    if let Some(name) = name.as_ref().filter(|name| !is_stage_name(&name.value.to_lowercase())) {
        let shown: String = name.value.chars().take(200).collect();
        let message = format!(
            "invalid name for build stage: {}, name can't start with a number or contain symbols",
            quote(&shown)
        );
        diagnostics.push(Diagnostic::error(name.span, message));
    }
    let from = From {
        platform: flags.word("platform"),
        image: words.first().map_or_else(|| Word::literal("", keyword.span()), |word| word.word()),
        name,
        as_keyword: words.get(1).filter(|_| named).map(|word| word.spanned()),
    };
    Stage { from, span, keyword: keyword.spanned(), comments: Vec::new(), instructions: Vec::new() }
}

fn arity(keyword: Fragment<'_>, rest: Fragment<'_>, words: &[Fragment<'_>]) -> Diagnostic {
    let span = if words.is_empty() { keyword.span() } else { rest.span() };
    let error = Diagnostic::error(span, "FROM requires either one or three arguments");
    error.help("write `FROM image` or `FROM image AS name`")
}

/// True for `^[a-z][a-z0-9-_.]*$`.
fn is_stage_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}
