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
    let (length, letters) = (lower(wrong).count(), letters(wrong));
    let (mut rows, mut asked, mut candidate) = (Rows::default(), Vec::new(), Vec::new());
    let near = known.into_iter().filter(|name| may_be_near(length, letters, name)).filter_map(|name| {
        if asked.is_empty() {
            asked.extend(lower(wrong));
        }
        candidate.clear();
        candidate.extend(lower(name));
        let distance = rows.distances(&asked, &candidate)?;
        (distance.0 <= MAX_DISTANCE).then_some((distance, name))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

fn lower(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// False if a name is too long or short, or has too many other letters, as most have.
fn may_be_near(length: usize, letters: u64, name: &str) -> bool {
    if name.len() > MAX_LENGTH || (name.len().abs_diff(length) > MAX_DISTANCE && name.is_ascii()) {
        return false;
    }
    let others = self::letters(name);
    // An edit takes at most one letter away, and brings at most one.
    [letters & !others, others & !letters].iter().all(|lone| lone.count_ones() as usize <= MAX_DISTANCE)
}

/// Returns which characters there are, as bits that several share: far quicker to compare than names.
fn letters(name: &str) -> u64 {
    if name.is_ascii() {
        return name.bytes().fold(0, |letters, byte| letters | 1 << (byte.to_ascii_lowercase() % 64));
    }
    lower(name).fold(0, |letters, character| letters | 1 << (u32::from(character) % 64))
}

/// Rows of the matrix of distances, which are used again for the next name.
#[derive(Default)]
struct Rows {
    /// With a swap of neighbors as one edit, which needs the row before the last one too.
    swapping: [Vec<usize>; 3],
    plain: [Vec<usize>; 2],
}

impl Rows {
    /// Returns the Levenshtein distance, and the distance if a swap of neighbors is one edit. A row of the matrix at a
    /// time, up to one that has nothing near in it.
    fn distances(&mut self, left: &[char], right: &[char]) -> Option<(usize, usize)> {
        let (left, right) = without_common_ends(left, right);
        if left.len().abs_diff(right.len()) > MAX_DISTANCE {
            return None;
        }
        for first in [&mut self.swapping[1], &mut self.plain[0]] {
            first.clear();
            first.extend(0..=right.len());
        }
        for index in 0..left.len() {
            self.row(left, right, index);
            if self.plain[0].iter().all(|distance| *distance > MAX_DISTANCE) {
                return None;
            }
        }
        Some((self.plain[0][right.len()], self.swapping[1][right.len()]))
    }

    /// Adds the row of a character of `left`; the first rows are the last ones then.
    fn row(&mut self, left: &[char], right: &[char], index: usize) {
        let Self { swapping: [before, above, row], plain: [plain_above, plain_row] } = self;
        row.clear();
        plain_row.clear();
        row.push(index + 1);
        plain_row.push(index + 1);
        for (column, to) in right.iter().enumerate() {
            let change = usize::from(left[index] != *to);
            let edit = |above: &[usize], left: usize| (above[column] + change).min(above[column + 1] + 1).min(left + 1);
            plain_row.push(edit(plain_above, plain_row[column]));
            let mut least = edit(above, row[column]);
            if index > 0 && column > 0 && left[index] == right[column - 1] && left[index - 1] == *to {
                least = least.min(before[column - 1] + 1);
            }
            row.push(least);
        }
        self.swapping.rotate_left(1);
        self.plain.swap(0, 1);
    }
}

/// What two names begin and end with alike takes no edit.
fn without_common_ends<'a>(left: &'a [char], right: &'a [char]) -> (&'a [char], &'a [char]) {
    let same = |(a, b): &(&char, &char)| a == b;
    let start = left.iter().zip(right).take_while(same).count();
    let (left, right) = (&left[start..], &right[start..]);
    let end = left.iter().rev().zip(right.iter().rev()).take_while(same).count();
    (&left[..left.len() - end], &right[..right.len() - end])
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

    /// Says it as the definition does, branch by branch.
    fn defined(left: &[char], right: &[char], swaps: bool) -> usize {
        let ([.., a], [.., b]) = (left, right) else { return left.len().max(right.len()) };
        let (short_left, short_right) = (&left[..left.len() - 1], &right[..right.len() - 1]);
        let change = defined(short_left, short_right, swaps) + usize::from(a != b);
        let least = change.min(defined(short_left, right, swaps) + 1).min(defined(left, short_right, swaps) + 1);
        match (short_left, short_right) {
            ([front @ .., c], [other @ .., d]) if swaps && a == d && b == c => {
                least.min(defined(front, other, swaps) + 1)
            }
            _ => least,
        }
    }

    #[test]
    fn distances_are_those_of_the_definition() {
        let words = (0..=5).flat_map(|length| (0..1 << length).map(move |bits| (length, bits)));
        let word = |(length, bits): (usize, usize)| {
            (0..length).map(|at| if bits >> at & 1 == 0 { 'a' } else { 'b' }).collect()
        };
        let words: Vec<Vec<char>> = words.map(word).collect();
        let mut rows = Rows::default();
        for (left, right) in words.iter().flat_map(|left| words.iter().map(move |right| (left, right))) {
            let expected = (defined(left, right, false), defined(left, right, true));
            let expected = Some(expected).filter(|(plain, _)| *plain <= MAX_DISTANCE);
            let found = rows.distances(left, right).filter(|(plain, _)| *plain <= MAX_DISTANCE);
            assert_eq!(found, expected, "{left:?} {right:?}");
        }
    }

    #[test]
    fn what_gets_longer_in_lower_case_is_compared_all_the_same() {
        assert_eq!(nearest("i\u{307}stan", ["x", "\u{130}stan"]), Some("\u{130}stan"));
        assert_eq!(nearest("\u{130}\u{130}\u{130}", ["\u{130}\u{130}\u{130}x"]), Some("\u{130}\u{130}\u{130}x"));
    }
}
