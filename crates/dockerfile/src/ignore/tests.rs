use proptest::prelude::*;

use super::*;
use crate::source::Sources;

/// A slow, literal reading of the rules: section 10 of the reference, word for word.
mod slow {
    /// Matches the anchored regular expression of the reference by trying everything.
    pub(super) fn matches(pattern: &str, path: &str) -> bool {
        let special = |text: &str| text.contains(['*', '?', '[', ']', '\\']);
        if !special(pattern) {
            return path == pattern;
        }
        let pattern: Vec<char> = pattern.chars().collect();
        let path: Vec<char> = path.chars().collect();
        // `**Y` at the start and `X**` at the end are no regular expressions there, but mean the same but for line
        // ends, which no test has.
        if pattern.starts_with(&['*', '*']) && !special(&pattern[2..].iter().collect::<String>()) {
            let rest = &pattern[2..];
            return path.ends_with(rest) || (rest.first() == Some(&'/') && path == rest[1..]);
        }
        here(&pattern, &path)
    }

    fn here(pattern: &[char], path: &[char]) -> bool {
        let Some((&first, rest)) = pattern.split_first() else { return path.is_empty() };
        match first {
            '*' if rest.first() == Some(&'*') => {
                let rest = &rest[1..];
                let rest = rest.strip_prefix(&['/']).unwrap_or(rest);
                if rest.is_empty() {
                    return true;
                }
                here(rest, path) || (0..path.len()).any(|at| path[at] == '/' && here(rest, &path[at + 1..]))
            }
            '*' => {
                let run = path.iter().take_while(|&&character| character != '/').count();
                (0..=run).any(|taken| here(rest, &path[taken..]))
            }
            '?' => path.first().is_some_and(|&character| character != '/') && here(rest, &path[1..]),
            '\\' => path.first() == rest.first() && !path.is_empty() && here(&rest[1..], &path[1..]),
            '[' => {
                let end = 2 + rest[1..].iter().position(|&character| character == ']').unwrap();
                let (class, rest) = (&rest[..end - 1], &rest[end..]);
                let (negated, class) = match class.split_first() {
                    Some((&'^', class)) => (true, class),
                    _ => (false, class),
                };
                let Some(&character) = path.first() else { return false };
                let within = match class {
                    [low, '-', high] => (low..=high).contains(&&character),
                    _ => class.contains(&character),
                };
                within != negated && here(rest, &path[1..])
            }
            other => path.first() == Some(&other) && here(rest, &path[1..]),
        }
    }

    /// The walk evaluation.
    pub(super) fn walk(patterns: &[(String, bool)], path: &str, parent: &[bool]) -> (bool, Vec<bool>) {
        let mut state = false;
        let mut hits = vec![false; patterns.len()];
        for (index, (pattern, negated)) in patterns.iter().enumerate() {
            let mut hit = parent[index];
            if !hit {
                if *negated != state {
                    continue;
                }
                hit = matches(pattern, path);
            }
            hits[index] = hit;
            if hit {
                state = !negated;
            }
        }
        (state, hits)
    }
}

fn ignore(patterns: &[&str]) -> Ignore {
    Ignore::parse(patterns.join("\n").as_bytes()).unwrap()
}

/// Walks down to `path` and says whether it is ignored.
fn walked(ignore: &Ignore, path: &str) -> bool {
    let mut hits = ignore.root();
    let mut ignored = false;
    for prefix in ancestors(path).chain([path]) {
        (ignored, hits) = ignore.matches(prefix, &hits);
    }
    ignored
}

#[track_caller]
fn check(patterns: &[&str], ignored: &[&str], kept: &[&str]) {
    let ignore = ignore(patterns);
    for path in ignored {
        assert!(walked(&ignore, path), "{path} should be ignored by {patterns:?}");
    }
    for path in kept {
        assert!(!walked(&ignore, path), "{path} should be kept by {patterns:?}");
    }
}

#[test]
fn names_ignore_what_is_below_them() {
    check(&["dir"], &["dir", "dir/a", "dir/a/b"], &["dirs", "a/dir"]);
    check(&["dir/**"], &["dir/a", "dir/a/b"], &["dir"]);
    check(&["/dir/"], &["dir/a"], &["a/dir"]);
    check(&["a//b/./c/../d"], &["a/b/d"], &["a/b/c"]);
}

/// BuildKit hands these on as they are; only the reader of the file takes slashes off.
#[test]
fn words_keep_a_slash_in_front() {
    let ignores = |word: &str, path: &str| walked(&Ignore::from_patterns([word]).unwrap(), path);
    assert!(ignores("dir/", "dir/a") && ignores(" ./dir", "dir"));
    assert!(!ignores("/dir", "dir") && !ignores("/**", "dir"));
    let again = |negation: &str| walked(&Ignore::from_patterns(["*", negation]).unwrap(), "dir");
    assert!(!again("!dir") && again("!/dir") && again("! dir"));
    assert_eq!(Ignore::from_patterns(["!"]).unwrap_err().message, "illegal exclusion pattern: \"!\"");
}

#[test]
fn stars_stay_in_a_component_and_double_stars_do_not() {
    check(&["*.o"], &["a.o", "a.o/b"], &["d/a.o"]);
    check(&["**/*.o"], &["a.o", "d/a.o", "d/e/a.o"], &["a.c"]);
    check(&["*"], &["a", "a/b"], &[]);
    check(&["**"], &["a", "a/b"], &[]);
    check(&["*/*"], &["a/b", "a/b/c"], &["a"]);
    check(&["a/**/b"], &["a/b", "a/x/b", "a/x/y/b"], &["a/xb", "ab"]);
    check(&["**/b"], &["b", "a/b", "x/y/b"], &["xb"]);
    check(&["**b"], &["b", "a/xb", "xb"], &["bx"]);
    check(&["a**"], &["a", "ab", "a/b"], &["ba"]);
    check(&["a**b"], &["ab", "a/b", "ax/b", "ax/y/b"], &["axb", "ba"]);
    check(&["a*b**"], &["ab", "axb/c", "axbc"], &["a/b"]);
    check(&["*/**"], &["a/b", "a/b/c"], &["a"]);
    check(&["**/x/**"], &["x/a", "b/x/a"], &["x", "b/x"]);
    check(&["x/*"], &["x/a", "x/a/b"], &["x"]);
}

#[test]
fn characters_classes_and_escapes() {
    check(&["a?c"], &["abc", "aéc"], &["a/c", "ac", "abbc"]);
    check(&["[a-c]x"], &["ax", "cx"], &["dx"]);
    check(&["[^a]x"], &["bx"], &["ax"]);
    check(&["[!x]"], &["!", "x"], &["a"]);
    check(&["[<\\>]x"], &["<x", ">x"], &["x", "ax"]);
    check(&["\\*a", "b\\[c"], &["*a", "b[c"], &["xa", "bc"]);
    check(&["{a,b}", "(c)", "d+", "e|f", "g$", "^h", "i.j"], &["{a,b}", "(c)", "d+", "e|f", "g$", "^h", "i.j"], &["a"]);
    check(&["{a,b}*", "*.x"], &["{a,b}c", ".x"], &["ac", "ax"]);
    // What BuildKit makes of stars in classes and of `^` elsewhere.
    check(&["[*]"], &["/]".trim_start_matches('/'), "^]"], &["*", "a"]);
    check(&["a^b?"], &[], &["a^bc", "abc"]);
    check(&["日*"], &["日本"], &["本日"]);
}

#[test]
fn the_last_pattern_that_counts_wins() {
    check(&["dir", "!dir/keep"], &["dir", "dir/a"], &["dir/keep", "dir/keep/x"]);
    check(&["*", "!a"], &["b"], &["a", "a/x"]);
    check(&["!a", "a"], &["a"], &[]);
    check(&["a", "!a/b", "a/b/c"], &["a/x", "a/b/c"], &["a/b", "a/b/d"]);
    check(&["*.md", "!README*.md", "README-secret.md"], &["a.md", "README-secret.md"], &["README.md"]);
}

#[test]
fn a_pattern_that_was_skipped_at_the_parent_does_not_hit_below() {
    // `a` is not ignored when `!a` is looked at, so `!a` does not hit it, and `a/b` inherits nothing.
    let ignore = ignore(&["!a", "a/b"]);
    let (ignored, hits) = ignore.matches("a", &ignore.root());
    assert!(!ignored);
    assert_eq!(hits, ParentHits(vec![false, false]));
    assert_eq!(ignore.matches("a/b", &hits), (true, ParentHits(vec![false, true])));
}

#[test]
fn without_parents_every_directory_above_is_looked_at() {
    let ignore = ignore(&["dir", "!dir/keep", "x/*"]);
    for (path, expected) in [("dir/a", true), ("dir/keep/y", false), ("x", false), ("x/y/z", true), ("y", false)] {
        assert_eq!(ignore.is_ignored(path), expected, "{path}");
    }
}

#[test]
fn files_have_comments_blank_lines_and_a_byte_order_mark() {
    let text = b"\xEF\xBB\xBF# not this\n\n  a  \r\n #b\n! c \n/\n./d/\n";
    let ignore = Ignore::parse(text).unwrap();
    assert!(ignore.has_negation() && !ignore.is_empty());
    for (path, expected) in [("a", true), ("#b", true), ("b", false), ("d/x", true), ("# not this", false)] {
        assert_eq!(ignore.is_ignored(path), expected, "{path}");
    }
    assert!(Ignore::parse(b"# only\n\n").unwrap().is_empty());
}

#[test]
fn a_bad_pattern_names_its_line() {
    #[track_caller]
    fn check(text: &str, line: usize, message: &str) {
        let error = Ignore::parse(text.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.message.as_str()), (line, message));
    }
    check("a\n\n!\n", 3, "illegal exclusion pattern: \"!\"");
    check("[a\n", 1, "syntax error in pattern");
    check("a\\", 1, "syntax error in pattern");
    check("b\n[]a]", 2, "syntax error in pattern");
    check("[-a]", 1, "syntax error in pattern");
    check("[a-]", 1, "syntax error in pattern");
    check("[]", 1, "syntax error in pattern");
    check("[z-a]b", 1, "syntax error in pattern");
    check("x[^]", 1, "syntax error in pattern");
    let text = "\u{feff}a\n\t[ü \r\nb";
    let source = Sources::default().add(".dockerignore", text);
    let diagnostic = Ignore::parse(text.as_bytes()).unwrap_err().diagnostic(&source);
    assert_eq!(source.slice(diagnostic.span), "[ü");
    let error = Ignore::from_patterns(["a", "["]).unwrap_err();
    assert_eq!(error.to_string(), "line 2: syntax error in pattern");
}

#[test]
fn an_ignored_directory_is_walked_if_something_may_come_back() {
    let below = |patterns: &[&str], path: &str| ignore(patterns).may_include_below(path);
    assert!(below(&["dir", "!dir/keep"], "dir"));
    assert!(below(&["*", "!a/b/c"], "a/b"));
    assert!(!below(&["*", "!a/b/c"], "a/x"));
    assert!(!below(&["*", "!a/b"], "a/b"));
    assert!(!below(&["*", "!ab"], "a"));
    assert!(below(&["*", "!**/*.md"], "a/b"));
    assert!(below(&["*", "!a/*/c"], "a/b"));
    assert!(!below(&["*", "!a/*/c"], "b"));
    assert!(below(&["*", "!a?/c"], "ab"));
    assert!(below(&["*", "!src**"], "src"));
    assert!(!below(&["*"], "a"));
}

#[test]
fn hostile_patterns_are_harmless() {
    let stars = "*a".repeat(2_000);
    let questions = format!("{}?", "**/?*".repeat(500));
    let path = "a".repeat(5_000);
    for pattern in [stars.as_str(), questions.as_str()] {
        if let Ok(ignore) = Ignore::from_patterns([pattern]) {
            ignore.is_ignored(&path);
        }
    }
    let many = vec!["**/x?y*z"; 1_000];
    assert!(!ignore(&many).is_ignored("a/b/c"));
    let wildcard = Wildcard::new(&"*a".repeat(500)).unwrap();
    assert!(!wildcard.is_match(format!("{}b", "a".repeat(5_000)).as_bytes()));
    let huge = "?".repeat(1 << 20);
    assert_eq!(Ignore::from_patterns([huge.as_str()]).unwrap_err().message, "the pattern is too large");
}

#[test]
fn wildcards_are_those_of_go() {
    #[track_caller]
    fn check(pattern: &str, path: &str, expected: bool) {
        assert_eq!(Wildcard::new(pattern).unwrap().is_match(path.as_bytes()), expected, "{pattern} {path}");
    }
    check("abc", "abc", true);
    check("*", "abc", true);
    check("*", "a/b", false);
    check("*c", "abc", true);
    check("a*", "ab/c", false);
    check("a*/b", "a/b", true);
    check("a*/b", "a/c/b", false);
    check("a*b*c*d*e*/f", "axbxcxdxe/f", true);
    check("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false);
    check("a*b?c*x", "abxbbxdbxebxczzx", true);
    check("a*b?c*x", "abxbbxdbxebxczzy", false);
    check("ab[c]", "abc", true);
    check("ab[b-d]", "abc", true);
    check("ab[^c]", "abc", false);
    check("a[^a]b", "a☺b", true);
    check("a???b", "a☺b", false);
    check("a?b", "a☺b", true);
    check("[a-ζ]*", "α", true);
    check("*[a-ζ]", "A", false);
    check("a?b", "a/b", false);
    check("a[^x]b", "a/b", false);
    check("[\\]a]", "]", true);
    check("[\\-x]", "-", true);
    check("a\\*b", "a*b", true);
    check("a\\*b", "axb", false);
    check("**", "a/b", false);
    check("*x", "xxx", true);
    check("", "", true);
    check("*", "", true);
    assert!(Wildcard::new("a?b").unwrap().is_match(b"a\xFFb"));
    assert!(!Wildcard::new("a?b").unwrap().is_match("a\u{20AC}".as_bytes()));
    for bad in ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[", "[^", "[^bc", "a[", "[a-b-c]"] {
        assert!(Wildcard::new(bad).is_err(), "{bad}");
    }
    assert!(Wildcard::new("a\\*").unwrap().is_literal() && !Wildcard::new("a*").unwrap().is_literal());
}

fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => Just("a"), 3 => Just("b"), 4 => Just("/"), 3 => Just("*"), 3 => Just("**"), 2 => Just("?"),
        1 => Just("."), 1 => Just("[ab]"), 1 => Just("[^a]"), 1 => Just("[a-z]"), 1 => Just("\\*"), 1 => Just("é"),
    ];
    prop::collection::vec(part, 1..7).prop_map(|parts| parts.concat())
}

fn path() -> impl Strategy<Value = String> {
    let name = prop::collection::vec(prop_oneof![Just('a'), Just('b'), Just('.'), Just('*'), Just('é')], 1..4);
    // No file has one of these names, and globs do not treat them as names.
    let name = name.prop_filter("a real name", |name| !matches!(name[..], ['.'] | ['.', '.']));
    prop::collection::vec(name, 1..5).prop_map(|names| {
        let names: Vec<String> = names.into_iter().map(|name| name.into_iter().collect()).collect();
        names.join("/")
    })
}

/// Returns the patterns as they are written, those that can be.
fn lines(patterns: &[(String, bool)]) -> Vec<String> {
    let lines = patterns.iter().map(|(text, negated)| format!("{}{text}", if *negated { "!" } else { "" }));
    lines.filter(|line| pattern::read_word(line).is_ok()).collect()
}

proptest! {
    #[test]
    fn the_walk_is_the_literal_reading(
        patterns in prop::collection::vec((pattern(), any::<bool>()), 1..5),
        paths in prop::collection::vec(path(), 1..8),
    ) {
        let lines = lines(&patterns);
        let ignore = Ignore::from_patterns(lines.iter().map(String::as_str)).unwrap();
        let read: Vec<(String, bool)> = lines.iter().filter_map(|line| pattern::read_word(line).unwrap()).collect();
        for path in &paths {
            let mut hits = ignore.root();
            let mut slow_hits = vec![false; read.len()];
            for prefix in ancestors(path).chain([path.as_str()]) {
                let (ignored, next) = ignore.matches(prefix, &hits);
                let (expected, slow_next) = slow::walk(&read, prefix, &slow_hits);
                prop_assert_eq!(ignored, expected, "{} in {:?}", prefix, &lines);
                prop_assert_eq!(&next.0, &slow_next);
                (hits, slow_hits) = (next, slow_next);
            }
        }
    }

    /// What is said to be hopeless never comes back.
    #[test]
    fn pruned_directories_hold_nothing(
        patterns in prop::collection::vec((pattern(), any::<bool>()), 1..5),
        path in path(),
    ) {
        let lines = lines(&patterns);
        let ignore = Ignore::from_patterns(lines.iter().map(String::as_str)).unwrap();
        let mut hits = ignore.root();
        let mut pruned = false;
        for prefix in ancestors(&path).chain([path.as_str()]) {
            let (ignored, next) = ignore.matches(prefix, &hits);
            prop_assert!(!pruned || ignored, "{} comes back in {:?}", prefix, &lines);
            pruned |= ignored && !ignore.may_include_below(prefix);
            hits = next;
        }
    }

    #[test]
    fn arbitrary_patterns_do_not_panic(text in ".{0,40}", path in ".{0,40}") {
        if let Ok(ignore) = Ignore::parse(text.as_bytes()) {
            ignore.is_ignored(&path);
            ignore.may_include_below(&path);
            ignore.matches(&path, &ignore.root());
        }
        if let Ok(wildcard) = Wildcard::new(&text) {
            wildcard.is_match(path.as_bytes());
        }
    }
}
