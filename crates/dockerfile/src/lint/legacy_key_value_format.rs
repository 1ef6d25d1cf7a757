//! `LegacyKeyValueFormat`: `ENV name value`.

use super::{Report, instructions};
use crate::ast::{Dockerfile, Kind};
use crate::diagnostic::Diagnostic;

const RULE: &str = "LegacyKeyValueFormat";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    for (_, instruction) in instructions(dockerfile) {
        let (Kind::Env(pairs) | Kind::Label(pairs)) = &instruction.kind else { continue };
        let Some((key, value)) = pairs.pairs.first().filter(|_| pairs.legacy) else { continue };
        let keyword = instruction.keyword.value.to_uppercase();
        let message =
            format!("\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format");
        let help = match value.text.contains(['"', '\'', '\\']) {
            true => format!("write `{keyword} {}=\"…\"`", key.text),
            false if value.text.contains(char::is_whitespace) => {
                format!("write `{keyword} {}=\"{}\"`", key.text, value.text)
            }
            false => format!("write `{keyword} {}={}`", key.text, value.text),
        };
        let span = key.span.to(value.span);
        let warning = Diagnostic::warning(RULE, span, message).help(help);
        report.warn(
            &instruction.comments,
            match fixed(&key.text, &value.text) {
                Some(text) => warning.fix(span, text),
                None => warning,
            },
        );
    }
}

/// Returns the pair in the new form, if nothing in it would mean something else there: quotes and escapes might.
fn fixed(key: &str, value: &str) -> Option<String> {
    let plain_key = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if !plain_key || value.is_empty() || value.contains(['"', '\'', '\\', '`', '\n', '\r']) {
        return None;
    }
    // Words of `NAME=value` end at white space of any kind.
    let spaced = value.contains(char::is_whitespace);
    Some(if spaced { format!("{key}=\"{value}\"") } else { format!("{key}={value}") })
}
