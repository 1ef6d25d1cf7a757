//! `COPY` and `ADD`.

use std::collections::HashMap;

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
    let mut bodies = Bodies::new(heredocs);
    let sources =
        items.into_iter().map(|item| source(item, &mut bodies, escape, diagnostics)).collect::<Option<_>>()?;
    Some(Copy { flags: copy_flags(flags), sources, destination: word(last, escape) })
}

/// The heredocs of a line by name; of several with one name the last one's body counts.
struct Bodies<'a> {
    by_name: HashMap<&'a str, &'a Heredoc>,
    /// Bytes that may still be taken: a body named a thousand times is there as often.
    left: usize,
}

impl<'a> Bodies<'a> {
    fn new(heredocs: &'a [Heredoc]) -> Self {
        let by_name = heredocs.iter().map(|heredoc| (heredoc.name.as_str(), heredoc)).collect();
        Self { by_name, left: crate::MAX_SOURCE }
    }
}

/// Returns one source. Nothing if the heredocs take too much, which has been reported.
fn source(item: Item<'_>, bodies: &mut Bodies<'_>, escape: char, diagnostics: &mut Diagnostics) -> Option<CopySource> {
    if let Item::Written(word) = item
        && let Some(announced) = heredoc::announced(word)
    {
        if let Some(heredoc) = bodies.by_name.get(announced.name.as_str()) {
            let Some(left) = bodies.left.checked_sub(heredoc.raw.len()) else {
                let message = format!("the heredocs take more than {} MiB in all", crate::MAX_SOURCE >> 20);
                diagnostics.push(Diagnostic::error(word.span(), message).help("each of these needs a name of its own"));
                return None;
            };
            bodies.left = left;
            return Some(CopySource::Heredoc(Heredoc { span: word.span(), ..(*heredoc).clone() }));
        }
        let error = Diagnostic::error(word.span(), format!("the heredoc {} has no body", word.text()));
        diagnostics.push(error.help("a quote elsewhere in this line is not closed"));
    }
    Some(CopySource::Path(word(item, escape)))
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
