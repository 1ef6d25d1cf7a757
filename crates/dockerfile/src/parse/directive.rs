//! Parser directives: `# syntax=`, `# escape=`, `# check=` (reference: section 1, 3).

use pest::Parser;

use crate::ast::Directives;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::grammar::line::{Grammar, Rule};
use crate::lines::{Lines, Physical};
use crate::source::{Source, Span, Spanned};

struct Directive {
    key: Spanned<String>,
    value: Spanned<String>,
}

/// Takes the directives at the start of a file and sets the escape character.
pub(super) fn read(lines: &mut Lines<'_>, source: &Source, diagnostics: &mut Diagnostics) -> Directives {
    let mut directives = Directives::default();
    let shebang = lines.peek().filter(|&line| lines.text(line).starts_with("#!"));
    if let Some(line) = shebang {
        lines.take(line);
    }
    while let Some(line) = lines.peek() {
        let Some(directive) = directive(lines, line, source) else { break };
        lines.take(line);
        match directive.key.value.as_str() {
            "syntax" => set(&mut directives.syntax, directive, diagnostics),
            "check" => set(&mut directives.check, directive, diagnostics),
            // Behind `#!` the escape directive has always been a mere comment.
            _ if shebang.is_some() => {}
            _ => escape(&mut directives, directive, diagnostics),
        }
    }
    lines.escape = directives.escape_character();
    directives
}

fn directive(lines: &Lines<'_>, line: Physical, source: &Source) -> Option<Directive> {
    let text = lines.text(line).trim_start();
    let base = line.end - text.len();
    if !text.starts_with('#') {
        return None;
    }
    let mut parts = Grammar::parse(Rule::directive, text).ok()?.next()?.into_inner();
    let mut next = || {
        let span = parts.next()?.as_span();
        let place = Span::new(source.id, base + span.start(), base + span.end());
        Some(Spanned { value: span.as_str().to_owned(), span: place })
    };
    let (mut key, value) = (next()?, next()?);
    key.value.make_ascii_lowercase();
    matches!(key.value.as_str(), "syntax" | "escape" | "check").then_some(Directive { key, value })
}

fn set(slot: &mut Option<Spanned<String>>, directive: Directive, diagnostics: &mut Diagnostics) {
    if slot.is_some() {
        repeated(&directive, diagnostics);
    } else {
        *slot = Some(directive.value);
    }
}

fn escape(directives: &mut Directives, directive: Directive, diagnostics: &mut Diagnostics) {
    let Spanned { value, span } = &directive.value;
    if directives.escape.is_some() {
        repeated(&directive, diagnostics);
    } else if let Some(value) = ['\\', '`'].into_iter().find(|character| value.chars().eq([*character])) {
        directives.escape = Some(Spanned { value, span: *span });
    } else {
        let message = format!("invalid escape token '{value}' does not match ` or \\");
        diagnostics.push(Diagnostic::error(*span, message));
    }
}

fn repeated(directive: &Directive, diagnostics: &mut Diagnostics) {
    let Spanned { value: key, span } = &directive.key;
    diagnostics.push(Diagnostic::error(*span, format!("only one {key} parser directive can be used")));
}
