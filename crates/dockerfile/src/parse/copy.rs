//! `COPY` and `ADD`.

use crate::ast::{Copy, CopyFlags, CopySource, Heredoc};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::lines::Fragment;
use crate::word::Word;

use super::flags::Flags;
use super::form::{self, Item};
use super::heredoc;

/// Reads sources and destination. `heredocs` are those of the line, already with their bodies.
pub(super) fn read(
    instruction: &str,
    keyword: Fragment<'_>,
    rest: Fragment<'_>,
    flags: &Flags,
    heredocs: &[Heredoc],
    diagnostics: &mut Diagnostics,
) -> Option<Copy> {
    let mut items = form::list(rest, diagnostics)?;
    let last = items.pop();
    let (Some(last), false) = (last, items.is_empty()) else {
        let span = if rest.text().is_empty() { keyword.span() } else { rest.span() };
        let message = format!(
            "{instruction} requires at least two arguments, but only one was provided. Destination could not be determined"
        );
        let help = format!("write `{instruction} source… destination`");
        diagnostics.push(Diagnostic::error(span, message).help(help));
        return None;
    };
    if let Item::Written(word) = last
        && heredoc::announced(word).is_some()
    {
        let message = format!("{instruction} cannot accept a heredoc as a destination");
        diagnostics.push(Diagnostic::error(word.span(), message));
        return None;
    }
    let escape = rest.line.escape;
    let sources = items.into_iter().map(|item| source(item, heredocs, escape, diagnostics)).collect();
    Some(Copy { flags: copy_flags(flags), sources, destination: word(last, escape) })
}

fn source(item: Item<'_>, heredocs: &[Heredoc], escape: char, diagnostics: &mut Diagnostics) -> CopySource {
    if let Item::Written(word) = item
        && let Some(announced) = heredoc::announced(word)
    {
        // Of several with one name the last one's body counts.
        if let Some(heredoc) = heredocs.iter().rev().find(|heredoc| heredoc.name == announced.name) {
            return CopySource::Heredoc(Heredoc { span: word.span(), ..heredoc.clone() });
        }
        let error = Diagnostic::error(word.span(), format!("the heredoc {} has no body", word.text()));
        diagnostics.push(error.help("a quote elsewhere in this line is not closed"));
    }
    CopySource::Path(word(item, escape))
}

fn word(item: Item<'_>, escape: char) -> Word {
    match item {
        Item::Written(fragment) => fragment.word(),
        Item::Decoded(text) => Word::parse(text.value, text.span, escape),
    }
}

fn copy_flags(flags: &Flags) -> CopyFlags {
    CopyFlags {
        from: flags.text("from"),
        chown: flags.word("chown"),
        chmod: flags.word("chmod"),
        checksum: flags.word("checksum"),
        link: flags.boolean("link"),
        parents: flags.boolean("parents"),
        keep_git_dir: flags.boolean("keep-git-dir"),
        unpack: flags.boolean("unpack"),
        exclude: flags.texts("exclude"),
    }
}
