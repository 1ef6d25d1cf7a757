//! Texts of the history, which BuildKit prints with Go's `fmt`: what reads a history compares them.

/// Returns `values` as Go prints a list with `%q`: `["a" "b"]`.
pub(crate) fn quoted_list<S: AsRef<str>>(values: &[S]) -> String {
    format!("[{}]", values.iter().map(|v| quoted(v.as_ref())).collect::<Vec<_>>().join(" "))
}

/// Returns `values` as Go prints a list with `%v`: `[a b]`.
pub(crate) fn plain_list<S: AsRef<str>>(values: &[S]) -> String {
    format!("[{}]", values.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" "))
}

/// Returns `text` as a Go string literal.
pub(crate) fn quoted(text: &str) -> String {
    let mut literal = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            '\u{7}' => literal.push_str("\\a"),
            '\u{8}' => literal.push_str("\\b"),
            '\u{c}' => literal.push_str("\\f"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            '\u{b}' => literal.push_str("\\v"),
            c if is_printable(c) => literal.push(c),
            c if c.is_ascii() => literal.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) > 0xffff => literal.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => literal.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    literal.push('"');
    literal
}

/// Unicode's printable characters, as the standard library knows them. A letter in front keeps combining marks, which Go
/// prints, from being taken for the start of a string.
fn is_printable(c: char) -> bool {
    let escaped: String = ['a', c].iter().collect::<String>().escape_debug().collect();
    matches!(c, '\'') || !escaped[1..].starts_with('\\')
}

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Returns nanoseconds as Go prints a duration: `1m30s`, `1.5s`, `300ms`, `0s`.
pub(crate) fn duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let text = match total {
        0 => "0s".to_owned(),
        1..MICROSECOND => format!("{total}ns"),
        MICROSECOND..MILLISECOND => format!("{}µs", decimal(total, MICROSECOND)),
        MILLISECOND..SECOND => format!("{}ms", decimal(total, MILLISECOND)),
        _ => hours_to_seconds(total),
    };
    format!("{sign}{text}")
}

fn hours_to_seconds(total: u64) -> String {
    let minutes = total / (60 * SECOND);
    let seconds = decimal(total % (60 * SECOND), SECOND);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Returns `value / unit` with as many decimals as it needs.
fn decimal(value: u64, unit: u64) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_quoted(text: &str, expected: &str) {
        assert_eq!(quoted(text), expected);
    }

    #[test]
    fn quoting_is_that_of_go() {
        check_quoted("", r#""""#);
        check_quoted("it's \"so\" \\", r#""it's \"so\" \\""#);
        check_quoted("a\nb\tc\u{1b}", r#""a\nb\tc\x1b""#);
        check_quoted("é日本e\u{301}", "\"é日本e\u{301}\"");
        check_quoted("\u{a0}\u{200b}\u{feff}", r#""\u00a0\u200b\ufeff""#);
        check_quoted("\0\u{7f}\u{e0001}", r#""\x00\x7f\U000e0001""#);
        assert_eq!(quoted_list(&["a", "b c"]), r#"["a" "b c"]"#);
        assert_eq!(plain_list(&["a", "b"]), "[a b]");
        assert_eq!(quoted_list::<&str>(&[]), "[]");
    }

    #[test]
    fn durations_are_those_of_go() {
        let check = |nanoseconds: i64, expected: &str| assert_eq!(duration(nanoseconds), expected);
        check(0, "0s");
        check(1, "1ns");
        check(1_100, "1.1µs");
        check(2_200_000, "2.2ms");
        check(3_300_000_000, "3.3s");
        check(90_000_000_000, "1m30s");
        check(3_600_000_000_000, "1h0m0s");
        check(3_661_001_000_000, "1h1m1.001s");
        check(10_000_000_000, "10s");
        check(-1_500_000_000, "-1.5s");
        check(i64::MIN, "-2562047h47m16.854775808s");
    }
}
