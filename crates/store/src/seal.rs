//! Small files that tell by themselves whether they are whole.
//!
//! A section is `kiln`, a kind, a version, two zero bytes, the length of the payload (u32, little endian), 16 bytes of
//! BLAKE3 over all of these, the name of the file and the payload; then the payload. A file that was torn by a power
//! loss, or stands under another's name, is not opened.

/// What a section holds. Numbers are on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Record = 1,
    RecordInputs = 2,
    Fact = 3,
    Context = 4,
    Draft = 5,
    Assembled = 6,
}

const MAGIC: &[u8; 4] = b"kiln";
const VERSION: u8 = 1;
const HEAD: usize = 12;
const CHECKSUM: usize = 16;

/// Returns the section.
pub(crate) fn seal(kind: Kind, name: &str, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEAD + CHECKSUM + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[kind as u8, VERSION, 0, 0]);
    bytes.extend_from_slice(&length.to_le_bytes());
    let checksum = checksum(&bytes, name, payload);
    bytes.extend_from_slice(&checksum);
    bytes.extend_from_slice(payload);
    bytes
}

/// Returns the payload of the section at the start of `bytes`, and what follows it.
pub(crate) fn open<'a>(kind: Kind, name: &str, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (stored, rest) = rest.split_at_checked(CHECKSUM)?;
    let expected = [MAGIC.as_slice(), &[kind as u8, VERSION, 0, 0]].concat();
    let length: [u8; 4] = head.strip_prefix(expected.as_slice())?.try_into().ok()?;
    let (payload, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(length)).ok()?)?;
    (checksum(head, name, payload) == stored).then_some((payload, rest))
}

fn checksum(head: &[u8], name: &str, payload: &[u8]) -> [u8; CHECKSUM] {
    let mut hash = blake3::Hasher::new();
    hash.update(head);
    hash.update(&(name.len() as u64).to_le_bytes());
    hash.update(name.as_bytes());
    hash.update(payload);
    let mut out = [0; CHECKSUM];
    out.copy_from_slice(&hash.finalize().as_bytes()[..CHECKSUM]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_follow_each_other() {
        let bytes = [seal(Kind::Record, "a", b"one"), seal(Kind::RecordInputs, "a", b"")].concat();
        let (payload, rest) = open(Kind::Record, "a", &bytes).unwrap();
        assert_eq!(payload, b"one");
        assert_eq!(open(Kind::RecordInputs, "a", rest), Some((&b""[..], &b""[..])));
    }

    #[test]
    fn nothing_but_the_whole_section_under_its_name_opens() {
        let bytes = seal(Kind::Fact, "a", b"payload");
        assert!(open(Kind::Fact, "b", &bytes).is_none());
        assert!(open(Kind::Record, "a", &bytes).is_none());
        for end in 0..bytes.len() {
            assert!(open(Kind::Fact, "a", &bytes[..end]).is_none(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(open(Kind::Fact, "a", &damaged).is_none(), "changed at {at}");
        }
    }
}
