//! `COPY` and `ADD` (reference: sections 6 and 7), as far as they are decided before anything is read.

use dockerfile::ast::{self, Instruction};
use dockerfile::ignore::Ignore;
use dockerfile::{Span, Spanned, Word};

use super::scope::Scope;
use super::source::{self, Fetched};
use crate::names::Source;
use crate::op::{self, Chmod, Copy, CopySource, Op};
use crate::remote::{Remote, redact};
use crate::{ContextName, Input, path};

/// Which of the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    Add,
    Copy,
}

/// What is written after expansion, for the history, and what is done.
#[derive(Default)]
struct Draft {
    sources: Vec<CopySource>,
    /// Paths as expanded, then heredocs: `a b <<c`.
    shown: Vec<String>,
    inputs: Vec<Input>,
    /// The position in `inputs` of what paths are read from.
    local: Option<usize>,
}

pub(super) fn lower(scope: &mut Scope<'_, '_>, instruction: &Instruction, copy: &ast::Copy, verb: Verb) -> Option<()> {
    let exclude = exclude(scope, &copy.flags)?;
    let draft = sources(scope, copy, verb)?;
    let destination = scope.expand(&copy.destination)?;
    let chown = optional(scope, copy.flags.chown.as_ref())?;
    let chmod = optional(scope, copy.flags.chmod.as_ref())?;
    let mode = match (&chmod, &copy.flags.chmod) {
        (Some(text), Some(word)) => Some(parse_mode(scope, text, word.span)?),
        _ => None,
    };
    let parents = is_set(copy.flags.parents.as_ref());
    let mut flags = Vec::new();
    flags.extend(parents.then(|| "--parents".to_owned()));
    flags.extend(chown.as_ref().map(|chown| format!("--chown={chown}")));
    flags.extend(chmod.as_ref().map(|chmod| format!("--chmod={chmod}")));
    let created_by = created_by(verb, flags, &draft.shown, &destination);
    let op = Op::Copy(Copy {
        sources: draft.sources,
        destination: path::destination(scope.state.directory(), &destination),
        chown,
        chmod: mode,
        unpack: verb == Verb::Add && copy.flags.unpack.as_ref().is_none_or(|unpack| unpack.value),
        exclude,
        parents,
        link: is_set(copy.flags.link.as_ref()),
    });
    scope.layer(instruction, op, draft.inputs, created_by)
}

fn is_set(flag: Option<&Spanned<bool>>) -> bool {
    flag.is_some_and(|flag| flag.value)
}

/// Returns the patterns of `--exclude`, each of which must be one. Variables in them do not count.
fn exclude(scope: &mut Scope<'_, '_>, flags: &ast::CopyFlags) -> Option<Vec<String>> {
    let mut right = Some(());
    for pattern in &flags.exclude {
        if let Err(error) = Ignore::check(&pattern.value) {
            scope.report(error.at(pattern.span));
            right = None;
        }
    }
    right.map(|()| flags.exclude.iter().map(|pattern| pattern.value.clone()).collect())
}

/// Returns a source of `--parents` as `BASE/./PATTERN`, both clean: the path below the base is kept.
fn with_parents(text: &str) -> String {
    let (base, pattern) = text.split_once("/./").unwrap_or(("", text));
    format!("{}/.{}", path::clean(base).trim_end_matches('/'), path::clean(pattern))
}

/// Expands the value of a flag; an empty one is none.
fn optional(scope: &mut Scope<'_, '_>, word: Option<&Word>) -> Option<Option<String>> {
    match word {
        None => Some(None),
        Some(word) => Some(Some(scope.expand(word)?).filter(|value| !value.is_empty())),
    }
}

fn parse_mode(scope: &mut Scope<'_, '_>, text: &str, span: Span) -> Option<Chmod> {
    Chmod::parse(text).map_err(|error| scope.error(span, error.to_string())).ok()
}

/// Paths come first and heredocs after them, wherever they stand: what is copied last wins, as with BuildKit.
fn sources(scope: &mut Scope<'_, '_>, copy: &ast::Copy, verb: Verb) -> Option<Draft> {
    let mut draft = Draft::default();
    let checksum = optional(scope, copy.flags.checksum.as_ref())?.zip(copy.flags.checksum.as_ref());
    if let Some((_, word)) = checksum.as_ref().filter(|_| copy.sources.len() > 1) {
        scope.error(word.span, "checksum can't be specified for multiple sources");
        return None;
    }
    for source in &copy.sources {
        if let ast::CopySource::Path(word) = source {
            let text = scope.expand(word)?;
            match Remote::of(&text) {
                None => local(scope, copy, &mut draft, &text, word.span)?,
                Some(remote) => {
                    let checksum = checksum.as_ref().map(|(text, word)| (text.as_str(), word.span));
                    let fetched = fetch(scope, copy, verb, remote, (&text, word.span), checksum)?;
                    let as_is = remote == Remote::Git || !is_set(copy.flags.unpack.as_ref());
                    draft.inputs.push(Input::Vertex(fetched.vertex));
                    draft.sources.push(fetched.source(draft.inputs.len() - 1, word.span, as_is));
                }
            }
            draft.shown.push(redact(&text).into_owned());
        }
    }
    if let Some((_, word)) = checksum.filter(|_| draft.local.is_some() || draft.sources.is_empty()) {
        scope.error(word.span, "checksum requires HTTP(S) or Git sources");
        return None;
    }
    for source in &copy.sources {
        if let ast::CopySource::Heredoc(heredoc) = source {
            let text = if heredoc.expand { scope.expand(&heredoc.body)? } else { heredoc.body.text.clone() };
            draft.sources.push(CopySource::Inline { name: heredoc.name.clone(), bytes: text.into_bytes() });
            draft.shown.push(format!("<<{}", heredoc.name));
        }
    }
    Some(draft)
}

/// Adds a path of the build context, or of what `--from` names.
fn local(scope: &mut Scope<'_, '_>, copy: &ast::Copy, draft: &mut Draft, text: &str, span: Span) -> Option<()> {
    let input = match draft.local {
        Some(input) => input,
        None => {
            draft.inputs.push(from(scope, copy)?);
            *draft.local.insert(draft.inputs.len() - 1)
        }
    };
    let pattern = match is_set(copy.flags.parents.as_ref()) {
        true => with_parents(text),
        false => path::clean(text),
    };
    let clamped = text.split("/./").any(path::leaves_root);
    draft.sources.push(CopySource::Path { input, pattern, span, as_is: false, clamped });
    Some(())
}

/// Returns what paths are read from.
fn from(scope: &mut Scope<'_, '_>, copy: &ast::Copy) -> Option<Input> {
    let Some(from) = copy.flags.from.as_ref().filter(|from| !from.value.is_empty()) else {
        return Some(Input::Context(ContextName::Main));
    };
    let source: Source = match scope.stages.graph.copy_source(&from.value, from.span) {
        Ok(source) => source,
        Err(diagnostic) => {
            scope.report(diagnostic);
            return None;
        }
    };
    scope.stages.input(&source, scope.index, from.span)
}

/// Makes the vertex that fetches a source.
fn fetch(
    scope: &mut Scope<'_, '_>,
    copy: &ast::Copy,
    verb: Verb,
    remote: Remote,
    (text, span): (&str, Span),
    checksum: Option<(&str, Span)>,
) -> Option<Fetched> {
    match (verb, remote) {
        (Verb::Copy, Remote::Git) => scope.error(span, "source can't be a git ref for COPY"),
        (Verb::Copy, Remote::Http) => scope.error(span, "source can't be a URL for COPY"),
        (Verb::Add, _) => {
            let keep = copy.flags.keep_git_dir.as_ref().map(|keep| (keep.value, keep.span));
            match op::Source::read((text, span), checksum, keep)? {
                Ok(source) => return source::fetch(scope, source, (text, span)),
                Err(diagnostic) => scope.report(diagnostic),
            }
        }
    }
    None
}

fn created_by(verb: Verb, flags: Vec<String>, sources: &[String], destination: &str) -> String {
    let mut words = vec![if verb == Verb::Add { "ADD" } else { "COPY" }.to_owned()];
    words.extend(flags);
    words.extend(sources.iter().cloned());
    words.extend([destination.to_owned(), "# buildkit".to_owned()]);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pivot_splits_a_source() {
        for (text, expected) in [
            ("a/b", "/./a/b"),
            ("./a/../b", "/./b"),
            ("/a/./b/c", "/a/./b/c"),
            ("a/../../b/./c/./d/*", "/b/./c/d/*"),
            ("a/./", "/a/./"),
            ("/./a", "/./a"),
        ] {
            assert_eq!(with_parents(text), expected, "{text}");
        }
    }
}
