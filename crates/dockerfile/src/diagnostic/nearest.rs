//! "Did you mean …?"

/// Most edits between what was written and what is offered.
const MAX_DISTANCE: usize = 2;

/// No name that anyone meant is longer.
const MAX_LENGTH: usize = 256;

/// Returns the name of `known` nearest to `wrong`, if one is within two edits (case-insensitive). Among equals one that
/// only has two characters in the other order comes first, then the first.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > MAX_LENGTH {
        return None;
    }
    let wrong: Vec<char> = wrong.chars().flat_map(char::to_lowercase).collect();
    let letters = letters(wrong.iter().copied());
    let near = known.into_iter().filter(|name| name.len() <= MAX_LENGTH).filter_map(|name| {
        let others = self::letters(name.chars().flat_map(char::to_lowercase));
        // An edit takes at most one letter away, and brings at most one.
        if [letters & !others, others & !letters].iter().any(|lone| lone.count_ones() as usize > MAX_DISTANCE) {
            return None;
        }
        let candidate: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
        if candidate.len().abs_diff(wrong.len()) > MAX_DISTANCE {
            return None;
        }
        let distance = distances(&wrong, &candidate)?;
        (distance.0 <= MAX_DISTANCE).then_some((distance, name))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Returns which characters there are, as bits that several share: far quicker to compare than names.
fn letters(characters: impl Iterator<Item = char>) -> u64 {
    characters.fold(0, |letters, character| letters | 1 << (u32::from(character) % 64))
}

/// Returns the Levenshtein distance, and the distance if a swap of neighbors is one edit. A row of the matrix at a
/// time, up to one that has nothing near in it.
fn distances(left: &[char], right: &[char]) -> Option<(usize, usize)> {
    let mut rows = [vec![], (0..=right.len()).collect::<Vec<usize>>()];
    let mut plain = rows[1].clone();
    for (index, from) in left.iter().enumerate() {
        let mut row = Vec::with_capacity(right.len() + 1);
        let mut plain_row = Vec::with_capacity(right.len() + 1);
        row.push(index + 1);
        plain_row.push(index + 1);
        for (column, to) in right.iter().enumerate() {
            let change = usize::from(from != to);
            let edit = |above: &[usize], left: usize| (above[column] + change).min(above[column + 1] + 1).min(left + 1);
            plain_row.push(edit(&plain, plain_row[column]));
            let mut least = edit(&rows[1], row[column]);
            if index > 0 && column > 0 && *from == right[column - 1] && left[index - 1] == *to {
                least = least.min(rows[0][column - 1] + 1);
            }
            row.push(least);
        }
        rows = [std::mem::take(&mut rows[1]), row];
        plain = plain_row;
        if plain.iter().all(|distance| *distance > MAX_DISTANCE) {
            return None;
        }
    }
    Some((plain[right.len()], rows[1][right.len()]))
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
        assert_eq!(nearest("RNU", ["ENV", "RUN"]), Some("RUN"));
    }
}
