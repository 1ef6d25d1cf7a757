//! The ignore matcher against a slow, literal reading of the rules (reference: section 10).

use dockerfile::ignore::{Ignore, ParentHits};
use regex::Regex;

/// Checks a path, which is the first line, against the patterns on the lines below.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((path, patterns)) = text.split_once('\n') else { return };
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | "." | "..")).collect();
    let path = names.join("/");
    let Some(slow) = Slow::parse(patterns) else { return };
    let ignore = match (Ignore::parse(patterns.as_bytes()), slow) {
        (Ok(ignore), Ok(slow)) => {
            check_walk(&ignore, &slow, &path);
            ignore
        }
        (Err(error), Err(line)) => return assert_eq!(error.line, line, "{patterns:?}"),
        (Ok(_), Err(line)) => panic!("line {line} is taken: {patterns:?}"),
        (Err(error), Ok(_)) => panic!("{error}: {patterns:?}"),
    };
    check_pruned(&ignore, &path);
}

/// Returns the directories above a path, the outermost first, and the path itself.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| at).chain([path.len()]).map(|end| &path[..end]).filter(|p| !p.is_empty())
}

fn check_walk(ignore: &Ignore, slow: &Slow, path: &str) {
    let (mut hits, mut slow_hits) = (ignore.root(), vec![false; slow.patterns.len()]);
    for prefix in prefixes(path) {
        let (ignored, next) = ignore.matches(prefix, &hits);
        let (expected, slow_next) = slow.walk(prefix, &slow_hits);
        assert_eq!(ignored, expected, "{prefix:?} by {slow:?}");
        (hits, slow_hits) = (next, slow_next);
        assert_eq!(ignore.is_ignored(prefix), slow.alone(prefix), "{prefix:?} alone by {slow:?}");
    }
}

/// What is said to be hopeless never comes back.
fn check_pruned(ignore: &Ignore, path: &str) {
    let (mut hits, mut pruned): (ParentHits, bool) = (ignore.root(), false);
    for prefix in prefixes(path) {
        let (ignored, next) = ignore.matches(prefix, &hits);
        assert!(!pruned || ignored, "{prefix:?} comes back");
        pruned |= ignored && !ignore.may_include_below(prefix);
        hits = next;
    }
}

/// The rules as they are written down.
#[derive(Debug)]
struct Slow {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    negated: bool,
    /// Of one of the special kinds, or else the expression of all the others.
    text: String,
    regex: Option<Regex>,
}

impl Slow {
    /// Reads a file. An error is the line at fault; nothing if the two languages of regular expressions differ on it.
    fn parse(text: &str) -> Option<Result<Self, usize>> {
        let mut patterns = Vec::new();
        for (index, line) in text.strip_prefix('\u{FEFF}').unwrap_or(text).split('\n').enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let (negated, pattern) = match line.trim().strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line.trim()),
            };
            let text = clean(pattern);
            if pattern.is_empty() || !is_valid(&text) {
                return Some(Err(index + 1));
            }
            if text.contains("[:") {
                return None;
            }
            let regex = if is_special(&text) { None } else { Some(Regex::new(&rust_syntax(&go_regex(&text)))) };
            let Ok(regex) = regex.transpose() else { return Some(Err(index + 1)) };
            patterns.push(Pattern { negated, text, regex });
        }
        Some(Ok(Self { patterns }))
    }

    /// The walk evaluation.
    fn walk(&self, path: &str, parent: &[bool]) -> (bool, Vec<bool>) {
        let (mut state, mut hits) = (false, vec![false; self.patterns.len()]);
        for (index, pattern) in self.patterns.iter().enumerate() {
            let mut hit = parent[index];
            if !hit {
                if pattern.negated != state {
                    continue;
                }
                hit = pattern.is_match(path);
            }
            hits[index] = hit;
            if hit {
                state = !pattern.negated;
            }
        }
        (state, hits)
    }

    /// The same with nothing known of the parents.
    fn alone(&self, path: &str) -> bool {
        let mut state = false;
        for pattern in &self.patterns {
            if pattern.negated == state && prefixes(path).any(|prefix| pattern.is_match(prefix)) {
                state = !pattern.negated;
            }
        }
        state
    }
}

impl Pattern {
    fn is_match(&self, path: &str) -> bool {
        if let Some(regex) = &self.regex {
            return regex.is_match(path);
        }
        match (self.text.strip_prefix("**"), self.text.strip_suffix("**")) {
            (Some(suffix), _) => path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path),
            (None, Some(prefix)) => path.starts_with(prefix),
            (None, None) => path == self.text,
        }
    }
}

/// True if a pattern has no special character but `**` at one of its ends.
fn is_special(pattern: &str) -> bool {
    let inner = pattern.strip_prefix("**").or(pattern.strip_suffix("**")).unwrap_or(pattern);
    !inner.contains(['*', '?', '[', ']', '\\'])
}

/// The lexical clean, and the leading slash.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part != ".." {
            parts.push(part);
        } else if parts.last().is_some_and(|last| *last != "..") {
            parts.pop();
        } else if !rooted {
            parts.push(part);
        }
    }
    match parts.is_empty() {
        true if rooted => "/".to_owned(),
        true => ".".to_owned(),
        false => parts.join("/"),
    }
}

/// True if Go's `filepath.Match` takes it.
fn is_valid(pattern: &str) -> bool {
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        let ok = match character {
            '\\' => rest.next().is_some(),
            '[' => is_valid_class(&mut rest),
            _ => true,
        };
        if !ok {
            return false;
        }
    }
    true
}

fn is_valid_class(rest: &mut std::str::Chars<'_>) -> bool {
    let member = |rest: &mut std::str::Chars<'_>| {
        let taken = match rest.next() {
            None | Some('-' | ']') => false,
            Some('\\') => rest.next().is_some(),
            Some(_) => true,
        };
        taken && !rest.as_str().is_empty()
    };
    if rest.as_str().starts_with('^') {
        rest.next();
    }
    for count in 0.. {
        if count > 0 && rest.as_str().starts_with(']') {
            rest.next();
            return true;
        }
        if !member(rest) {
            return false;
        }
        if rest.as_str().starts_with('-') {
            rest.next();
            if !member(rest) {
                return false;
            }
        }
    }
    false
}

/// The anchored expression, loop for loop as the rules have it.
fn go_regex(pattern: &str) -> String {
    let mut regex = String::from("^");
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                regex.push_str(if rest.peek().is_none() { ".*" } else { "(.*/)?" });
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => regex.extend(['\\', character]),
            '\\' => match rest.next() {
                Some(next) => regex.extend(['\\', next]),
                None => regex.push_str("\\\\"),
            },
            other => regex.push(other),
        }
    }
    regex + "$"
}

/// The same expression in the syntax of `regex`, which has operators inside of classes, and fewer escapes.
fn rust_syntax(go: &str) -> String {
    let mut regex = String::new();
    let mut rest = go.chars().peekable();
    let mut in_class = false;
    while let Some(character) = rest.next() {
        match character {
            '\\' => regex.extend(rest.next().map(|next| regex::escape(next.encode_utf8(&mut [0; 4])))),
            '[' if !in_class => {
                in_class = true;
                regex.push('[');
                regex.extend(rest.next_if_eq(&'^'));
            }
            ']' if in_class => {
                in_class = false;
                regex.push(']');
            }
            ']' => regex.push_str("\\]"),
            '-' if in_class => regex.push('-'),
            // Escaped, these two are the ends of words.
            other if in_class && other.is_ascii_punctuation() && !matches!(other, '<' | '>') => {
                regex.extend(['\\', other]);
            }
            other => regex.push(other),
        }
    }
    regex
}
