//! `COPY` and `ADD` of local files (reference: sections 6 and 7), as far as they are decided before anything is read.

use dockerfile::ast::{self, Instruction};
use dockerfile::ignore::Ignore;
use dockerfile::{Span, Spanned, Word};

use super::scope::Scope;
use crate::names::Source;
use crate::op::{Chmod, Copy, CopySource, Op};
use crate::{ContextName, Input, path};

/// Which of the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    Add,
    Copy,
}

/// What is written after expansion, for the history, and what is done.
struct Draft {
    sources: Vec<CopySource>,
    /// Paths as expanded, then heredocs: `a b <<c`.
    shown: Vec<String>,
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
    let inputs = inputs(scope, copy, &draft.sources)?;
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
    scope.layer(instruction, op, inputs, created_by)
}

fn is_set(flag: Option<&Spanned<bool>>) -> bool {
    flag.is_some_and(|flag| flag.value)
}

/// Returns the patterns of `--exclude`, each of which must be one. Variables in them do not count.
fn exclude(scope: &mut Scope<'_, '_>, flags: &ast::CopyFlags) -> Option<Vec<String>> {
    let mut right = Some(());
    for pattern in &flags.exclude {
        if let Err(error) = Ignore::from_patterns([pattern.value.as_str()]) {
            scope.error(pattern.span, error.message);
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
    let mut draft = Draft { sources: Vec::new(), shown: Vec::new() };
    for source in &copy.sources {
        if let ast::CopySource::Path(word) = source {
            let text = scope.expand(word)?;
            check_source(scope, copy, verb, &text, word.span)?;
            let pattern = match is_set(copy.flags.parents.as_ref()) {
                true => with_parents(&text),
                false => path::clean(&text),
            };
            draft.sources.push(CopySource::Path { input: 0, pattern, span: word.span });
            draft.shown.push(text);
        }
    }
    if let Some(checksum) = &copy.flags.checksum {
        refuse_checksum(scope, copy, checksum);
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

/// A checksum says something about one remote source, and there are none yet.
fn refuse_checksum(scope: &mut Scope<'_, '_>, copy: &ast::Copy, checksum: &Word) {
    if copy.sources.len() > 1 {
        scope.error(checksum.span, "checksum can't be specified for multiple sources");
    } else {
        scope.error(checksum.span, "checksum requires HTTP(S) or Git sources");
    }
}

fn check_source(scope: &mut Scope<'_, '_>, copy: &ast::Copy, verb: Verb, text: &str, span: Span) -> Option<()> {
    let (article, kind) = match remote(text) {
        None => return Some(()),
        Some(Remote::Git) => ("a", "git ref"),
        Some(Remote::Http) => ("a", "URL"),
    };
    match verb {
        Verb::Copy => scope.error(span, format!("source can't be {article} {kind} for COPY")),
        Verb::Add if copy.flags.checksum.is_some() && copy.sources.len() > 1 => {
            scope.error(span, "checksum can't be specified for multiple sources");
        }
        Verb::Add => scope.unsupported(span, &format!("ADD of {article} {kind}")),
    }
    None
}

/// What is fetched from elsewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Remote {
    Git,
    Http,
}

/// Tells where a source is (reference: section 7); `None` for a local path.
fn remote(text: &str) -> Option<Remote> {
    if text.starts_with("git://") || text.starts_with("ssh://") || is_scp_like(text) {
        return Some(Remote::Git);
    }
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    Some(if path.ends_with(".git") { Remote::Git } else { Remote::Http })
}

/// `git@host:path`: a user, a host and a path, with no slash before the colon.
fn is_scp_like(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let Some((host, path)) = rest.split_once(':') else { return false };
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    plain(user) && plain(host) && !path.is_empty()
}

/// Returns what paths are read from; nothing if there are only heredocs.
fn inputs(scope: &mut Scope<'_, '_>, copy: &ast::Copy, sources: &[CopySource]) -> Option<Vec<Input>> {
    if !sources.iter().any(|source| matches!(source, CopySource::Path { .. })) {
        return Some(Vec::new());
    }
    let Some(from) = copy.flags.from.as_ref().filter(|from| !from.value.is_empty()) else {
        return Some(vec![Input::Context(ContextName::Main)]);
    };
    let source: Source = match scope.stages.graph.copy_source(&from.value, from.span) {
        Ok(source) => source,
        Err(diagnostic) => {
            scope.report(diagnostic);
            return None;
        }
    };
    Some(vec![scope.stages.input(&source, scope.index, from.span)?])
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

    #[test]
    fn where_a_source_is() {
        let git = ["git://h/r", "ssh://git@h/r", "git@github.com:o/r", "https://h/o/r.git", "http://h/r.git#main:sub"];
        for text in git {
            assert_eq!(remote(text), Some(Remote::Git), "{text}");
        }
        for text in ["http://h/f", "https://h/a.git/f", "https://h/f?x=.git"] {
            assert_eq!(remote(text), Some(Remote::Http), "{text}");
        }
        for text in ["a", "./git@h:r", "a@b", "a/b@c:d", "r.git", "httpx://h", "C:x", "ftp://h/f", "@h:p"] {
            assert_eq!(remote(text), None, "{text}");
        }
    }
}
