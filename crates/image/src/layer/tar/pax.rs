//! Records of PAX extended headers (pax(1), Extended Header): `"%d %s=%s\n", <length>, <keyword>, <value>`.

use super::super::Timestamp;

/// Splits the next record off `rest`; `None` if it is not one.
pub(super) fn next_record<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let space = rest.iter().take(20).position(|&b| b == b' ')?;
    let len = usize::try_from(decimal(&rest[..space])?).ok()?;
    let record = rest.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&b| b == b'=').filter(|&at| at > 0)?;
    *rest = &rest[len..];
    Some((&record[..equals], &record[equals + 1..]))
}

/// Appends a record, whose length counts its own digits.
pub(super) fn push_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + digits(rest);
    if rest + digits(len) != len {
        len = rest + digits(len);
    }
    out.extend_from_slice(format!("{len} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Reads digits alone: no sign, no blanks.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &b| match b {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

/// Reads seconds with an optional sign and fraction; digits beyond nanoseconds are dropped.
pub(super) fn time(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let dot = text.iter().position(|&b| b == b'.');
    let (whole, fraction) = dot.map_or((text, &b""[..]), |dot| (&text[..dot], &text[dot + 1..]));
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let fraction = &fraction[..fraction.len().min(9)];
    let scale = 10_u64.pow(9 - fraction.len() as u32);
    let nanoseconds = if fraction.is_empty() { 0 } else { u32::try_from(decimal(fraction)? * scale).ok()? };
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp { seconds, nanoseconds },
        (true, 0) => Timestamp { seconds: -seconds, nanoseconds },
        (true, _) => Timestamp { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

const XATTR: &[u8] = b"SCHILY.xattr.";

/// Returns the attribute that `key` names, if it does. GNU tar writes `=` and `%` of a name as `%3D` and `%25`.
pub(super) fn xattr_name(key: &[u8]) -> Option<Vec<u8>> {
    let mut rest = key.strip_prefix(XATTR)?;
    let mut name = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match rest {
            [b'%', b'3', b'D', after @ ..] => (b'=', after),
            [b'%', b'2', b'5', after @ ..] => (b'%', after),
            _ => (byte, after),
        };
        name.push(byte);
        rest = after;
    }
    Some(name)
}

/// Returns the key for the attribute `name`.
pub(super) fn xattr_key(name: &[u8]) -> Vec<u8> {
    let mut key = XATTR.to_vec();
    for &byte in name {
        match byte {
            b'=' => key.extend_from_slice(b"%3D"),
            b'%' => key.extend_from_slice(b"%25"),
            _ => key.push(byte),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_counts_its_own_length() {
        let mut out = Vec::new();
        push_record(&mut out, b"path", b"x");
        assert_eq!(out, b"9 path=x\n");
        out.clear();
        push_record(&mut out, b"path", &[b'x'; 89]);
        assert_eq!((out.len(), &out[..4]), (98, &b"98 p"[..]));
        out.clear();
        push_record(&mut out, b"path", &[b'x'; 91]);
        assert_eq!((out.len(), &out[..5]), (101, &b"101 p"[..]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn records_come_back(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..1100), 1..4)) {
            let mut out = Vec::new();
            for value in &values {
                push_record(&mut out, b"SCHILY.xattr.user.x", value);
            }
            let mut rest = &out[..];
            for value in &values {
                prop_assert_eq!(next_record(&mut rest), Some((&b"SCHILY.xattr.user.x"[..], &value[..])));
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn attribute_names_come_back(name in "[a=%253D.]{1,12}") {
            prop_assert_eq!(xattr_name(&xattr_key(name.as_bytes())), Some(name.into_bytes()));
        }
    }

    #[test]
    fn records_that_are_none() {
        for bad in [
            "",
            "x",
            "8 path=x\n",
            "11 path=x\n",
            "10 path=xy",
            "6 =x\n\n",
            "7 abcd\n",
            "-1 a=b\n",
            "99999999999999999999 a=b\n",
        ] {
            assert_eq!(next_record(&mut bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn times() {
        let check = |text: &str, seconds, nanoseconds| {
            assert_eq!(time(text.as_bytes()), Some(Timestamp { seconds, nanoseconds }), "{text}");
        };
        check("0", 0, 0);
        check("1350244992.023960108", 1_350_244_992, 23_960_108);
        check("1.5", 1, 500_000_000);
        check("1.", 1, 0);
        check("1.0000000019", 1, 1);
        check("-1", -1, 0);
        check("-1.25", -2, 750_000_000);
        for bad in ["", ".5", "-", "1.x", "1e9", "99999999999999999999"] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }
}
