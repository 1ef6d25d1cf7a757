//! Mending what the rules find, where the text then means the same.
//!
//! The shell form of `CMD` and `ENTRYPOINT` becomes a list if every word of it is plain and the first is nothing that
//! shells do themselves: then a shell would only start the program, and stay in between. `MAINTAINER` becomes the label
//! that took its place.

use super::lint;
use crate::diagnostic::{Diagnostics, Fix};
use crate::source::Sources;

/// One mended place can show another (`from … AS` first follows `from`, and then `FROM`).
const MAX_ROUNDS: usize = 8;

/// Returns the text with every finding mended that has a safe fix, and how many there were. A file with errors, or one
/// that would have some then, stays as it is.
pub fn fix(text: &str) -> (String, usize) {
    let (mut fixed, mut count) = (text.to_owned(), 0);
    for _ in 0..MAX_ROUNDS {
        let Some(fixes) = fixes(&fixed) else { return (text.to_owned(), 0) };
        if fixes.is_empty() {
            return (fixed, count);
        }
        count += fixes.len();
        fixed = apply(&fixed, &fixes);
    }
    // Whatever goes round in circles is not safe.
    (text.to_owned(), 0)
}

/// Returns the fixes of a text in its order, none touching another; `None` if the text has errors.
fn fixes(text: &str) -> Option<Vec<Fix>> {
    let mut sources = Sources::default();
    let source = sources.add("Dockerfile", text);
    let mut diagnostics = Diagnostics::default();
    let dockerfile = crate::parse(&source, &mut diagnostics);
    if !diagnostics.has_errors() {
        lint(&dockerfile, &mut diagnostics);
    }
    if diagnostics.has_errors() {
        return None;
    }
    let mut fixes: Vec<Fix> =
        diagnostics.into_items().into_iter().filter_map(|found| found.fix.map(|fix| *fix)).collect();
    // What goes over several lines may have comments within.
    fixes.retain(|fix| {
        let old = source.slice(fix.span);
        !old.is_empty() && !old.contains(['\n', '\r']) && old != fix.replacement
    });
    fixes.sort_by_key(|fix| fix.span.start);
    let mut end = 0;
    fixes.retain(|fix| {
        let apart = fix.span.start >= end;
        end = if apart { fix.span.end } else { end };
        apart
    });
    Some(fixes)
}

fn apply(text: &str, fixes: &[Fix]) -> String {
    let mut fixed = String::with_capacity(text.len());
    let mut position = 0;
    for fix in fixes {
        let range = fix.span.range();
        fixed.push_str(&text[position..range.start]);
        fixed.push_str(&fix.replacement);
        position = range.end;
    }
    fixed.push_str(&text[position..]);
    fixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(fix(text).0, expected);
        assert_eq!(fix(expected), (expected.to_owned(), 0), "a second time changes nothing");
    }

    #[test]
    fn casing_follows_the_majority() {
        check("from a AS B\nRUN x\nCopy a b\n", "FROM a AS b\nRUN x\nCOPY a b\n");
        check("from a AS b\nrun x\n", "from a as b\nrun x\n");
        check("FROM a\r\nEXPOSE 80/TCP 1/udp\r\n", "FROM a\r\nEXPOSE 80/tcp 1/udp\r\n");
    }

    #[test]
    fn pairs_get_their_sign() {
        check("FROM a\nENV A b\nENV B  b c $A\nlabel l x\n", "FROM a\nENV A=b\nENV B=\"b c $A\"\nLABEL l=x\n");
        check("FROM a\nMAINTAINER A <a@b>\n", "FROM a\nLABEL org.opencontainers.image.authors=\"A <a@b>\"\n");
    }

    #[test]
    fn commands_of_plain_words_need_no_shell() {
        check("FROM a\nCMD nginx -g 'daemon off;'\n", "FROM a\nCMD [\"nginx\", \"-g\", \"daemon off;\"]\n");
        check("FROM a\nentrypoint exec x 'a\"\\'\n", "FROM a\nENTRYPOINT [\"x\", \"a\\\"\\\\\"]\n");
        check("# escape=`\nFROM a\nCMD x 'C:\\a'\n", "# escape=`\nFROM a\nCMD [\"x\", \"C:\\\\a\"]\n");
        check("FROM a AS b\nCMD x\nFROM b\nENTRYPOINT y\n", "FROM a AS b\nCMD [\"x\"]\nFROM b\nENTRYPOINT [\"y\"]\n");
    }

    #[test]
    fn what_might_mean_something_else_stays() {
        for text in [
            "FROM a\nENV A \"b\"\n",
            "FROM a\nENV A b\\ c\n",
            "FROM a\nENV A b\\\n  c\n",
            "FROM a\nENV $A b\n",
            "FROM a\nMAINTAINER $A\n",
            "FROM a\nCMD echo y\n",
            "FROM a\nCMD x $y\n",
            "FROM a\nCMD x \\\n  y\n",
            "FROM a\nENTRYPOINT x y\nCMD z\n",
            "FROM a AS b\nENTRYPOINT x y\nFROM b\nCMD [\"z\"]\n",
            "FROM a AS b\nENTRYPOINT [\"x\"]\nFROM b\nCMD z\n",
            "FROM a\nSHELL [\"/bin/x\"]\nCMD z\n",
            "from a\nCPOY x y\n",
            "# check=skip=all\nFROM a\nENV A b\n",
        ] {
            check(text, text);
        }
    }
}
