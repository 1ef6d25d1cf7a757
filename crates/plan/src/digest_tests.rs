use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq)]
enum Field {
    Text(String),
    Bytes(Vec<u8>),
    Number(u64),
    List(Vec<Self>),
    Option(Option<Box<Self>>),
}

fn field() -> impl Strategy<Value = Field> {
    let leaf = prop_oneof![
        "[a-cntls-]{0,4}".prop_map(Field::Text),
        proptest::collection::vec(any::<u8>(), 0..4).prop_map(Field::Bytes),
        any::<u64>().prop_map(Field::Number),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Field::List),
            proptest::option::of(inner.prop_map(Box::new)).prop_map(Field::Option),
        ]
    })
}

fn encode(fields: &mut Fields, field: &Field) {
    match field {
        Field::Text(text) => fields.text(text),
        Field::Bytes(bytes) => fields.bytes(bytes),
        Field::Number(number) => fields.number(*number),
        Field::List(items) => fields.list(items, encode),
        Field::Option(value) => fields.option(value.as_deref(), encode),
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (front, back) = rest.split_at(count);
    *rest = back;
    front
}

fn take_number(rest: &mut &[u8]) -> u64 {
    u64::from_le_bytes(take(rest, 8).try_into().unwrap())
}

fn decode(rest: &mut &[u8]) -> Field {
    let kind = take(rest, 1)[0];
    match kind {
        b't' | b'b' => {
            let length = take_number(rest) as usize;
            let bytes = take(rest, length).to_vec();
            if kind == b't' { Field::Text(String::from_utf8(bytes).unwrap()) } else { Field::Bytes(bytes) }
        }
        b'n' => Field::Number(take_number(rest)),
        b'l' => Field::List((0..take_number(rest)).map(|_| decode(rest)).collect()),
        b's' => Field::Option(Some(Box::new(decode(rest)))),
        b'-' => Field::Option(None),
        other => panic!("unknown kind {other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// What can be read back in one way only cannot collide.
    #[test]
    fn framing_is_injective(input in proptest::collection::vec(field(), 0..5)) {
        let mut fields = Fields { encoded: Vec::new() };
        input.iter().for_each(|field| encode(&mut fields, field));
        let mut rest = fields.encoded.as_slice();
        let mut output = Vec::new();
        while !rest.is_empty() {
            output.push(decode(&mut rest));
        }
        prop_assert_eq!(input, output);
    }
}

fn workdir(path: &str, user: &str) -> Op {
    Op::Workdir(Workdir { path: path.to_owned(), user: user.to_owned() })
}

#[test]
fn a_boundary_between_fields_counts() {
    assert_eq!(OpDigest::of(&workdir("/ab", "c")), OpDigest::of(&workdir("/ab", "c")));
    assert_ne!(OpDigest::of(&workdir("/ab", "c")), OpDigest::of(&workdir("/a", "bc")));
}

#[test]
fn a_digest_prints_as_hexadecimal() {
    let digest = OpDigest([0xab; 32]);
    assert_eq!(digest.to_string(), "ab".repeat(32));
}
