//! Durations as Go writes them: `1m30s`, `1.5h`, `300ms`.

use crate::word::quote;

/// Nanoseconds of the units, longest name first where one is the start of another.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Returns the nanoseconds of a duration.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let number = rest.len()
            - rest.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.').len();
        let (number, after) = rest.split_at(number);
        let unit = after.len()
            - after.trim_start_matches(|character: char| !character.is_ascii_digit() && character != '.').len();
        let (unit, after) = after.split_at(unit);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text)));
        }
        let Some(&(_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {} in duration {}", quote(unit), quote(text)));
        };
        let nanoseconds = scaled(whole, fraction, scale).ok_or_else(invalid)?;
        total = total.checked_add(nanoseconds).ok_or_else(invalid)?;
        rest = after;
    }
    let total = i64::try_from(total).map_err(|_| invalid())?;
    Ok(if text.starts_with('-') { -total } else { total })
}

/// Returns `whole.fraction` times `scale`, what is less than a nanosecond cut off.
fn scaled(whole: &str, fraction: &str, scale: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut part: u128 = 0;
    let mut unit = u128::from(scale) * 1_000_000_000_000;
    for digit in fraction.bytes().take(24) {
        unit /= 10;
        part += u128::from(digit - b'0') * unit;
    }
    whole.checked_mul(scale)?.checked_add(u64::try_from(part / 1_000_000_000_000).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<i64, &str>) {
        assert_eq!(parse(text), expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn units_add_up() {
        check("1m30s", Ok(90_000_000_000));
        check("1h1m1s1ms1us1ns", Ok(3_661_001_001_001));
        check("1.5h", Ok(5_400_000_000_000));
        check(".5s", Ok(500_000_000));
        check("1.s", Ok(1_000_000_000));
        check("2µs", Ok(2_000));
        check("0.1ns", Ok(0));
        check("-1.5s", Ok(-1_500_000_000));
        check("+3ms", Ok(3_000_000));
        check("0", Ok(0));
        check("-0", Ok(0));
    }

    #[test]
    fn mistakes_are_told_apart() {
        check("", Err("time: invalid duration \"\""));
        check("-", Err("time: invalid duration \"-\""));
        check("x", Err("time: invalid duration \"x\""));
        check(".s", Err("time: invalid duration \".s\""));
        check("1.2.3s", Err("time: invalid duration \"1.2.3s\""));
        check("30", Err("time: missing unit in duration \"30\""));
        check("3d", Err("time: unknown unit \"d\" in duration \"3d\""));
        check("1s 2s", Err("time: unknown unit \"s \" in duration \"1s 2s\""));
        check("9999999999h", Err("time: invalid duration \"9999999999h\""));
        check("99999999999999999999s", Err("time: invalid duration \"99999999999999999999s\""));
    }
}
