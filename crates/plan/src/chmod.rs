//! Modes as `--chmod` takes them (reference: section 6, 6): octal, or symbolic as in `chmod(1)` of the BSDs, which is
//! what BuildKit follows, with an empty umask.

use crate::op::Chmod;

const ALL: u32 = 0o7777;
const SET_IDS: u32 = 0o6000;
const STICKY: u32 = 0o1000;
const EXECUTE: u32 = 0o111;

/// Text that is no mode.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("invalid chmod parameter: '{0}'. it should be octal string and between 0 and 07777")]
pub struct InvalidChmod(pub String);

impl Chmod {
    /// Reads the value of `--chmod`.
    pub fn parse(text: &str) -> Result<Self, InvalidChmod> {
        let invalid = || InvalidChmod(text.to_owned());
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let is_octal = text.bytes().all(|b| matches!(b, b'0'..=b'7'));
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= ALL);
            return mode.map(Self::Octal).ok_or_else(invalid);
        }
        clauses(text).map(|_| Self::Symbolic(text.to_owned())).ok_or_else(invalid)
    }

    /// Returns the mode of an entry that had `mode`: permissions with set-id and sticky bits, nothing of the file type.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let before = mode & ALL;
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(text) => {
                let executable = is_directory || before & EXECUTE != 0;
                let actions = clauses(text).unwrap_or_default();
                actions.iter().fold(before, |mode, action| action.apply(mode, executable))
            }
        }
    }
}

/// One operator with its permissions, for some classes: `g+rX` of `ug-w,g+rX`.
#[derive(Clone, Debug, Default)]
struct Action {
    /// Bits of the classes named; all if none was.
    who: u32,
    /// No class or more than "others" was named: set-id and sticky bits have a meaning.
    special: bool,
    operator: char,
    /// `rwxst`, for all classes.
    bits: u32,
    /// `X`
    conditional_execute: bool,
    /// `u`, `g` and `o`: how far to shift that class's bits down.
    copies: Vec<u32>,
}

impl Action {
    fn apply(&self, mode: u32, executable: bool) -> u32 {
        let mut bits = self.bits;
        if self.conditional_execute && executable {
            bits |= EXECUTE;
        }
        for shift in &self.copies {
            bits |= ((mode >> shift) & 0o7) * EXECUTE;
        }
        let affected = if self.special { bits & (self.who | STICKY) } else { bits & self.who };
        match self.operator {
            '+' => mode | affected,
            '-' => mode & !affected,
            _ => (mode & !self.who) | affected,
        }
    }
}

/// Reads `[ugoa]*([-+=]([rwxXst]*|[ugo]*))+`, separated by commas; `None` if `text` is something else.
fn clauses(text: &str) -> Option<Vec<Action>> {
    let mut actions = Vec::new();
    for clause in text.split(',') {
        let start = clause.find(['+', '-', '='])?;
        let (classes, mut rest) = clause.split_at(start);
        let who = classes.chars().try_fold(0, |who, class| Some(who | class_bits(class)?))?;
        while let Some(operator) = rest.chars().next() {
            let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |end| end + 1);
            actions.push(action(who, operator, &rest[1..end])?);
            rest = &rest[end..];
        }
    }
    Some(actions)
}

fn action(who: u32, operator: char, permissions: &str) -> Option<Action> {
    let special = who & !0o007 != 0 || who == 0;
    let who = if who == 0 { SET_IDS | 0o777 } else { who };
    let mut action = Action { who, special, operator, ..Action::default() };
    for permission in permissions.chars() {
        match permission {
            'r' => action.bits |= 0o444,
            'w' => action.bits |= 0o222,
            'x' => action.bits |= EXECUTE,
            's' => action.bits |= SET_IDS,
            't' => action.bits |= STICKY,
            'X' => action.conditional_execute = true,
            'u' => action.copies.push(6),
            'g' => action.copies.push(3),
            'o' => action.copies.push(0),
            _ => return None,
        }
    }
    Some(action)
}

fn class_bits(class: char) -> Option<u32> {
    Some(match class {
        'u' => 0o4700,
        'g' => 0o2070,
        'o' => 0o007,
        'a' => SET_IDS | 0o777,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, before: u32, expected: u32) {
        let mode = Chmod::parse(text).unwrap().apply(before, false);
        assert_eq!(mode, expected, "{text} on {before:o}: {mode:o}, not {expected:o}");
    }

    #[test]
    fn octal_sets() {
        check("755", 0o4600, 0o755);
        check("0", 0o777, 0);
        check("07777", 0, 0o7777);
    }

    #[test]
    fn plus_minus_and_equals() {
        check("u+x", 0o644, 0o744);
        check("+x", 0o644, 0o755);
        check("a+x", 0o644, 0o755);
        check("go-rwx", 0o777, 0o700);
        check("u=rw,go=r", 0o4777, 0o644);
        check("=r", 0o6777, 0o444);
        check("a=", 0o777, 0);
        check("o=", 0o777, 0o770);
        check("u+x-w", 0o644, 0o544);
        check("u=rwx,g=rx,o=", 0, 0o750);
    }

    #[test]
    fn set_ids_and_sticky() {
        check("u+s", 0o755, 0o4755);
        check("g+s", 0o755, 0o2755);
        check("+s", 0o755, 0o6755);
        check("o+s", 0o755, 0o755);
        check("+t", 0o755, 0o1755);
        check("o+t", 0o755, 0o755);
        check("ug-s", 0o6755, 0o755);
        check("a-t", 0o1755, 0o755);
        check("g=rx", 0o2777, 0o757);
        check("a=rx", 0o1777, 0o1555);
    }

    #[test]
    fn copies_of_a_class() {
        check("g=u", 0o640, 0o660);
        check("o+g", 0o750, 0o755);
        check("u-o", 0o755, 0o255);
        check("go=u", 0o4700, 0o4777);
    }

    #[test]
    fn a_capital_x_looks_at_what_there_is() {
        check("a+X", 0o644, 0o644);
        check("a+X", 0o744, 0o755);
        check("a=rX", 0o744, 0o555);
        check("u-x,a+X", 0o744, 0o755);
        let chmod = Chmod::parse("go=rX").unwrap();
        assert_eq!(chmod.apply(0o600, true), 0o655);
        assert_eq!(chmod.apply(0o100_600, false), 0o644, "the file type is not part of the result");
    }

    #[test]
    fn what_is_no_mode() {
        for text in
            ["", "8", "10000", "0o755", "75 5", "u", "u+q", "x", "u+x,", ",u+x", "u+x g-w", "z=r", "99999999999999"]
        {
            assert_eq!(Chmod::parse(text), Err(InvalidChmod(text.to_owned())), "{text}");
        }
    }
}
