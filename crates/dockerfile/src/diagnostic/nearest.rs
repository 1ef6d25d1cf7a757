//! "Did you mean …?"

/// Most edits between what was written and what is offered.
const MAX_DISTANCE: usize = 2;

/// No name that anyone meant is longer.
const MAX_LENGTH: usize = 256;

/// Returns the name of `known` nearest to `wrong`, if one is within two edits (case-insensitive).
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > MAX_LENGTH {
        return None;
    }
    let wrong: Vec<char> = wrong.to_lowercase().chars().collect();
    let mut best = None;
    let mut least = MAX_DISTANCE + 1;
    for name in known {
        if name.len() > MAX_LENGTH {
            continue;
        }
        let candidate: Vec<char> = name.to_lowercase().chars().collect();
        if candidate.len().abs_diff(wrong.len()) < least {
            let distance = distance(&wrong, &candidate);
            if distance < least {
                (best, least) = (Some(name), distance);
            }
        }
    }
    best
}

/// Returns the Levenshtein distance, a row of the matrix at a time.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, to) in right.iter().enumerate() {
            let substitution = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = substitution.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wrong: &str, expected: Option<&str>) {
        assert_eq!(nearest(wrong, ["FROM", "RUN", "COPY", "ENTRYPOINT"]), expected);
    }

    #[test]
    fn two_edits_are_near() {
        check("FORM", Some("FROM"));
        check("copi", Some("COPY"));
        check("EntryPiont", Some("ENTRYPOINT"));
    }

    #[test]
    fn three_edits_are_far() {
        check("FOO", Some("FROM"));
        check("ENTRY", None);
        check("", None);
        check(&"x".repeat(100_000), None);
    }

    #[test]
    fn the_nearest_wins_and_the_first_among_equals() {
        assert_eq!(nearest("ab", ["abcd", "abc", "abd"]), Some("abc"));
        assert_eq!(nearest("BUILD", ["build"]), Some("build"));
    }
}
