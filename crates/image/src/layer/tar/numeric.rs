//! Numbers in tar headers.

use ::tar::Header;

/// Reads a number in octal, or binary as GNU tar writes what does not fit (the high bit of the first byte says so).
pub(super) fn numeric(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let start = if first & 0x40 != 0 { -1_i64 << 6 | i64::from(first & 0x3f) } else { i64::from(first & 0x3f) };
        return rest.iter().try_fold(start, |number, &b| Some(number.checked_mul(256)? | i64::from(b)));
    }
    let text = field.trim_ascii_start();
    let text = &text[..text.iter().position(|b| matches!(b, 0 | b' ')).unwrap_or(text.len())];
    text.iter().try_fold(0_i64, |number, &b| match b {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(i64::from(b - b'0')),
        _ => None,
    })
}

/// True if the sum over the header is what it says. Some old writers summed signed bytes.
pub(super) fn checksum_matches(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let blanks = 8 * i64::from(b' ');
    let all = || bytes[..148].iter().chain(&bytes[156..]);
    let unsigned: i64 = blanks + all().map(|&b| i64::from(b)).sum::<i64>();
    let signed: i64 = blanks + all().map(|&b| i64::from(b as i8)).sum::<i64>();
    numeric(&header.as_old().cksum).is_some_and(|sum| sum == unsigned || sum == signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_writers_have_written_them() {
        let check = |field: &[u8], expected| assert_eq!(numeric(field), expected, "{}", field.escape_ascii());
        check(b"0000644\0", Some(0o644));
        check(b"   644 \0", Some(0o644));
        check(b"77777777777\0", Some(0o777_7777_7777));
        check(b"777777777777", Some(0o7777_7777_7777));
        check(b"\0\0\0\0", Some(0));
        check(b"        ", Some(0));
        check(b"12x\0", None);
        check(b"89\0", None);
        check(b"-1\0", None);
        check(b"", None);
        check(b"\x80\0\0\0\x01\0\0\0", Some(1 << 24));
        check(b"\xff\xff\xff\xff", Some(-1));
        check(b"\xff\xff\xff\xfe\0", Some(-512));
        check(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX));
        check(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", None);
    }
}
