//! What a ref stands for.

use super::command::Commands;
use super::{Commit, GitError, Result};

pub(super) fn resolve(commands: &Commands<'_>, url: &str, reference: Option<&str>) -> Result<Commit> {
    let Some(reference) = reference else {
        let answer = commands.run("fetch", None, &["ls-remote", "--symref", "--", url, "HEAD"])?;
        return head(&answer).ok_or_else(|| no_ref(url, "HEAD"));
    };
    let peeled = format!("{reference}^{{}}");
    let answer = commands.run("fetch", None, &["ls-remote", "--", url, reference, &peeled])?;
    find(&answer, reference).ok_or_else(|| no_ref(url, reference))
}

fn no_ref(url: &str, reference: &str) -> GitError {
    let abbreviated = reference.len() >= 4 && reference.bytes().all(|b| b.is_ascii_hexdigit());
    GitError::NoRef { url: url.to_owned(), reference: reference.to_owned(), abbreviated }
}

/// Reads `ref: refs/heads/main<TAB>HEAD` and `<commit><TAB>HEAD`.
fn head(answer: &str) -> Option<Commit> {
    let lines = || answer.lines().filter_map(|line| line.split_once('\t')).filter(|(_, name)| *name == "HEAD");
    let name = lines().find_map(|(target, _)| target.strip_prefix("ref: "));
    let commit = lines().map(|(target, _)| target).find(|target| is_object(target))?;
    Some(Commit { commit: commit.to_owned(), tag: None, name: name.map(str::to_owned) })
}

/// A name is looked for below `refs/`, among branches, and among tags, in that order.
fn find(answer: &str, reference: &str) -> Option<Commit> {
    let of = |name: &str| {
        let lines = answer.lines().filter_map(|line| line.split_once('\t'));
        let object = lines.filter(|(object, _)| is_object(object)).find(|(_, at)| *at == name)?.0;
        Some(object.to_owned())
    };
    let under = |prefix: &str| format!("{prefix}{}", reference.strip_prefix(prefix).unwrap_or(reference));
    let tag = under("refs/tags/");
    let names = [under("refs/"), under("refs/heads/")].into_iter().filter(|name| *name != tag);
    for name in names {
        if let Some(commit) = of(&name) {
            return Some(Commit { commit, tag: None, name: Some(name) });
        }
    }
    let object = of(&tag)?;
    Some(match of(&format!("{tag}^{{}}")) {
        Some(commit) => Commit { commit, tag: Some(object), name: Some(tag) },
        None => Commit { commit: object, tag: None, name: Some(tag) },
    })
}

pub(super) fn is_object(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn answer(lines: &[(char, &str)]) -> String {
        lines.iter().map(|(digit, name)| format!("{}\t{name}\n", object(*digit))).collect()
    }

    #[test]
    fn branches_go_before_tags() {
        let both = answer(&[
            ('1', "refs/heads/v1"),
            ('2', "refs/tags/v1"),
            ('3', "refs/tags/v1^{}"),
            ('4', "refs/heads/x/v1"),
        ]);
        let found = |reference: &str| find(&both, reference).map(|commit| (commit.commit, commit.name.unwrap()));
        assert_eq!(found("v1"), Some((object('1'), "refs/heads/v1".to_owned())));
        assert_eq!(found("heads/v1"), Some((object('1'), "refs/heads/v1".to_owned())));
        assert_eq!(found("refs/heads/x/v1"), Some((object('4'), "refs/heads/x/v1".to_owned())));
        assert_eq!(found("tags/v1"), Some((object('2'), "refs/tags/v1".to_owned())));
        assert_eq!(found("v2"), None);
        let tag = find(&both, "refs/tags/v1").unwrap();
        assert_eq!((tag.commit, tag.tag), (object('3'), Some(object('2'))));
    }

    #[test]
    fn a_lightweight_tag_is_its_commit() {
        let commit = find(&answer(&[('2', "refs/tags/v1")]), "v1").unwrap();
        assert_eq!((commit.object(), commit.tag.as_ref()), (object('2').as_str(), None));
    }

    #[test]
    fn the_head_may_be_detached() {
        let text = format!("ref: refs/heads/main\tHEAD\n{}\tHEAD\n", object('1'));
        assert_eq!(head(&text).unwrap().name.as_deref(), Some("refs/heads/main"));
        assert_eq!(head(&answer(&[('1', "HEAD")])).unwrap().name, None);
        assert_eq!(head("x\tHEAD\n"), None);
    }
}
