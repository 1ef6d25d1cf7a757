//! Heredocs: which a line announces, and their bodies (reference: section 1.3).

use pest::Parser;

use crate::ast::Heredoc;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::grammar;
use crate::grammar::line::{Grammar, Rule};
use crate::lines::{Fragment, Lines};
use crate::source::{Span, Spanned};
use crate::word::Word;

use super::form;

/// `<<NAME`, before its body is read.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) name: String,
    file_descriptor: Option<u32>,
    chomp: bool,
    expand: bool,
    span: Span,
}

/// Returns what a text announces if it is a heredoc word.
pub(super) fn announced(fragment: Fragment<'_>) -> Option<Announced> {
    if !fragment.text().contains("<<") {
        return None;
    }
    let mut announced =
        Announced { name: String::new(), file_descriptor: None, chomp: false, expand: true, span: fragment.span() };
    let text = grammar::plain_spaces(fragment.text());
    for part in Grammar::parse(Rule::heredoc, &text).ok()?.next()?.into_inner() {
        match part.as_rule() {
            Rule::descriptor if !part.as_str().is_empty() => {
                announced.file_descriptor = Some(part.as_str().parse().unwrap_or(u32::MAX));
            }
            Rule::chomp => announced.chomp = true,
            Rule::heredoc_name => (announced.name, announced.expand) = unquote(part.as_str())?,
            _ => {}
        }
    }
    Some(announced)
}

/// Returns the name without quotes and escapes, and whether no quote was in it. Nothing if it is not one word.
fn unquote(text: &str) -> Option<(String, bool)> {
    let (mut name, mut plain) = (String::new(), true);
    let mut characters = text.trim().chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => {
                plain = false;
                let (inner, _) = characters.as_str().split_once('\'')?;
                name.push_str(inner);
                characters = characters.as_str()[inner.len() + 1..].chars();
            }
            '"' => {
                plain = false;
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' if characters.as_str().starts_with(['"', '$', '\\']) => name.extend(characters.next()),
                        other => name.push(other),
                    }
                }
            }
            '\\' => name.extend(characters.next()),
            space if space.is_whitespace() => return None,
            other => name.push(other),
        }
    }
    (!name.is_empty()).then_some((name, plain))
}

/// Returns the heredocs that a whole line announces, in order.
pub(super) fn of_line(line: Fragment<'_>) -> Vec<Announced> {
    let text = line.text();
    if !text.contains("<<") {
        return Vec::new();
    }
    // BuildKit finds none where the line has a substitution it cannot read, as `${array[@]}`.
    let broken = text.contains("${") && Word::parse(text, line.span(), '\\').syntax_error().is_some();
    let words = if broken { None } else { form::shell_words(line) };
    words.unwrap_or_default().into_iter().filter_map(announced).collect()
}

/// Reads the bodies that follow a line. Nothing if one does not end.
pub(super) fn read(
    announced: Vec<Announced>,
    lines: &mut Lines<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Heredoc>> {
    let mut heredocs = Vec::with_capacity(announced.len());
    for announced in announced {
        let errors = diagnostics.errors();
        let Some(raw) = lines.heredoc(&announced.name, announced.chomp, diagnostics) else {
            if diagnostics.errors() == errors {
                let error = Diagnostic::error(announced.span, "unterminated heredoc");
                diagnostics.push(error.help(format!("no line is `{}`", announced.name)));
            }
            return None;
        };
        heredocs.push(announced.with_body(&raw));
    }
    Some(heredocs)
}

impl Announced {
    fn with_body(self, raw: &Spanned<&str>) -> Heredoc {
        let body = if self.chomp { chomp(raw.value) } else { raw.value.to_owned() };
        Heredoc {
            name: self.name,
            file_descriptor: self.file_descriptor,
            chomp: self.chomp,
            expand: self.expand,
            raw: raw.value.to_owned(),
            body: Word::here_document(body, raw.span),
            span: self.span,
        }
    }
}

/// Removes the tabs at the start of every line.
fn chomp(raw: &str) -> String {
    raw.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
}
