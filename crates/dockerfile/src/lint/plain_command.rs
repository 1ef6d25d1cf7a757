//! Shell commands that need no shell: one program and its arguments, every word of which is what it looks like.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Splits a command as a shell does. An error says what of it needs the shell.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = split(text)?;
    if words.first().is_some_and(|first| first.text == "exec") {
        words.remove(0);
        if words.first().is_some_and(|program| program.text.starts_with('-')) {
            return Err("the shell reads the options of `exec`".to_owned());
        }
    }
    let Some(program) = words.first().filter(|program| !program.text.is_empty()) else {
        return Err("it names no program".to_owned());
    };
    if program.text.contains('=') {
        return Err(format!("the shell reads the assignment `{}`", program.text));
    }
    if is_of_shells(&program.text) {
        return Err(format!("`{}` may be the shell's own", program.text));
    }
    Ok(words.into_iter().map(|word| word.text).collect())
}

/// A word, quotes removed.
#[derive(Default)]
struct Word {
    text: String,
    /// Anything was written, if only empty quotes.
    begun: bool,
}

fn split(text: &str) -> Result<Vec<Word>, String> {
    let (mut words, mut word) = (Vec::new(), Word::default());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            ' ' | '\t' => {
                words.extend(word.begun.then_some(std::mem::take(&mut word)));
                continue;
            }
            '\'' | '"' => {
                let (inner, _) = rest.as_str().split_once(character).ok_or("a quote is not closed")?;
                if let Some(special) = inner.chars().find(|inner| character == '"' && matches!(inner, '$' | '`' | '\\'))
                {
                    return Err(reads(special));
                }
                word.text.push_str(inner);
                rest = rest.as_str()[inner.len() + 1..].chars();
            }
            plain if is_plain(plain) || (plain == '=' && word.begun) => word.text.push(plain),
            other => return Err(reads(other)),
        }
        word.begun = true;
    }
    words.extend(word.begun.then_some(word));
    Ok(words)
}

/// True for what no shell takes for anything but itself, wherever in a word it stands.
fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '/' | ':' | ',' | '+' | '@')
}

fn reads(character: char) -> String {
    if character.is_control() || character.is_whitespace() {
        "it has white space that shells differ on".to_owned()
    } else {
        format!("the shell reads `{character}`")
    }
}

/// True for the name of something that is no program to a shell: what POSIX, bash, dash, BusyBox and zsh do
/// themselves, and the words of their grammar. A path is never one.
fn is_of_shells(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| OF_SHELLS.split_ascii_whitespace().collect());
    NAMES.contains(name)
}

const OF_SHELLS: &str = "
    . : [ [[ ! { } always case coproc do done elif else end esac fi for foreach function if in nocorrect repeat select
    then time until while
    - alias autoload bg bind bindkey break builtin bye caller cap cd chdir clone command comparguments compcall compctl
    compdescribe compfiles compgen compgroups complete compopt compquote comptags comptry compvalues continue declare
    dirs disable disown echo echotc echoti emulate enable eval exec exit export false fc fg float functions getcap getln
    getopts hash help history integer jobs kill let limit local log logout mapfile newgrp noglob popd print printf
    private pushd pushln pwd r read readarray readonly rehash return sched set setcap setopt shift shopt source stat
    strftime suspend test times trap true ttyctl type typeset ulimit umask unalias unfunction unhash unlimit unset
    unsetopt vared wait whence where which zcompile zformat zftp zle zmodload zparseopts zprof zpty zregexparse zselect
    zsocket zstyle ztcp
";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(words(text).as_deref(), Ok(&expected.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()[..]));
    }

    #[track_caller]
    fn check_kept(text: &str, reason: &str) {
        assert_eq!(words(text), Err(reason.to_owned()), "{text}");
    }

    #[test]
    fn plain_words_are_split() {
        check("nginx -g 'daemon off;'", &["nginx", "-g", "daemon off;"]);
        check("a  b\tc", &["a", "b", "c"]);
        check("./run --x=1 --y=\"a 'b'\" '' é", &["./run", "--x=1", "--y=a 'b'", "", "é"]);
        check("a'$x'\"*\"", &["a$x*"]);
        check("exec a b", &["a", "b"]);
        check("/bin/echo x", &["/bin/echo", "x"]);
    }

    #[test]
    fn what_needs_the_shell_is_said() {
        for character in
            ['$', '`', '\\', '*', '?', '[', '~', '#', '&', '|', ';', '<', '>', '(', '{', '!', '^', '%', '=']
        {
            check_kept(&format!("a {character}"), &format!("the shell reads `{character}`"));
        }
        check_kept("a \"$b\"", "the shell reads `$`");
        check_kept("a 'b", "a quote is not closed");
        check_kept("A=b c", "the shell reads the assignment `A=b`");
        check_kept("exec A=b c", "the shell reads the assignment `A=b`");
        check_kept("exec -a b c", "the shell reads the options of `exec`");
        for name in ["echo", "cd", ":", "'test'", "exec exec", "if", "exec print"] {
            let own = name.trim_matches('\'').trim_start_matches("exec ");
            check_kept(&format!("{name} a"), &format!("`{own}` may be the shell's own"));
        }
        check_kept("", "it names no program");
        check_kept("'' a", "it names no program");
        check_kept("exec", "it names no program");
        check_kept("a\u{a0}b", "it has white space that shells differ on");
        check_kept("a \u{7}", "it has white space that shells differ on");
    }
}
