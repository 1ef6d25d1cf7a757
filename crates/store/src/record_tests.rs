use proptest::prelude::*;

use super::*;
use crate::testing::{damage, key, make_layer, new_store};

fn record(layer: &LayerId, inputs: &[(&str, &str)]) -> Record {
    let input = |(name, value): &(&str, &str)| RecordInput { name: (*name).to_owned(), value: (*value).to_owned() };
    Record {
        layer: layer.clone(),
        content: ContentId([9; 32]),
        created: -5,
        inputs: inputs.iter().map(input).collect(),
    }
}

#[test]
fn a_record_is_what_was_put_as_long_as_its_layer_is_here() {
    let (root, store) = new_store();
    let layer = make_layer(&store, "a", b"a");
    let written = record(layer.id(), &[("argv", "make"), ("env PATH", ""), ("file ä", "\u{1F600}")]);
    assert_eq!(store.record(&key(1)).unwrap(), None);
    store.put_record(&key(1), &written).unwrap();
    assert!(root.path().join("records/01").join("01".repeat(32)).is_file());
    assert_eq!(store.record(&key(1)).unwrap(), Some(written.clone()));
    assert_eq!(store.hit(&key(1)).unwrap(), Some(Record { inputs: Vec::new(), ..written.clone() }));
    let newer = Record { created: 7, ..written };
    store.put_record(&key(1), &newer).unwrap();
    assert_eq!(store.record(&key(1)).unwrap(), Some(newer));
    assert!(store.remove_layer(layer.id()).unwrap());
    assert_eq!(store.record(&key(1)).unwrap(), None);
    assert_eq!(store.hit(&key(1)).unwrap(), None);
}

#[test]
fn a_damaged_record_is_no_record() {
    let (root, store) = new_store();
    let layer = make_layer(&store, "a", b"a");
    let file = root.path().join("records/01").join("01".repeat(32));
    store.put_record(&key(1), &record(layer.id(), &[("argv", "make")])).unwrap();
    let good = std::fs::read(&file).unwrap();
    for length in [0, 1, 20, good.len() / 2, good.len() - 1] {
        std::fs::write(&file, &good[..length]).unwrap();
        assert_eq!(store.record(&key(1)).unwrap(), None, "{length}");
    }
    std::fs::write(&file, &good).unwrap();
    damage(&file);
    assert_eq!(store.record(&key(1)).unwrap(), None);
    // A whole one, under the name of another key.
    std::fs::create_dir_all(root.path().join("records/02")).unwrap();
    std::fs::write(root.path().join("records/02").join("02".repeat(32)), &good).unwrap();
    assert_eq!(store.record(&key(2)).unwrap(), None);
    assert_eq!(store.hit(&key(2)).unwrap(), None);
}

#[test]
fn what_a_later_version_adds_behind_is_passed_over() {
    let (root, store) = new_store();
    let layer = make_layer(&store, "a", b"a");
    let written = record(layer.id(), &[("argv", "make")]);
    store.put_record(&key(1), &written).unwrap();
    let file = root.path().join("records/01").join("01".repeat(32));
    let bytes = [std::fs::read(&file).unwrap(), b"a read set".to_vec()].concat();
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(store.record(&key(1)).unwrap(), Some(written));
}

#[test]
fn a_fact_is_what_was_put() {
    let (root, store) = new_store();
    assert_eq!(store.fact(&key(1)).unwrap(), None);
    store.put_fact(&key(1), b"").unwrap();
    assert_eq!(store.fact(&key(1)).unwrap().unwrap(), b"");
    let large = vec![3; 100_000];
    store.put_fact(&key(1), &large).unwrap();
    assert_eq!(store.fact(&key(1)).unwrap().unwrap(), large);
    damage(&root.path().join("facts/01").join("01".repeat(32)));
    assert_eq!(store.fact(&key(1)).unwrap(), None);
    store.put_fact(&key(1), b"again").unwrap();
    assert_eq!(store.fact(&key(1)).unwrap().unwrap(), b"again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_survive_the_disk(
        content: [u8; 32], created: i64, long: bool, texts in proptest::collection::vec((".{0,20}", ".{0,20}"), 0..8),
    ) {
        let layer = LayerId::parse(&"0123456789abcdef".repeat(if long { 4 } else { 2 })).unwrap();
        let inputs = texts.into_iter().map(|(name, value)| RecordInput { name, value }).collect();
        let record = Record { layer, content: ContentId(content), created, inputs };
        let bytes = encode("key", &record);
        prop_assert_eq!(decode("key", &bytes), Some(record.clone()));
        let head = &bytes[..bytes.len().min(HEAD as usize)];
        prop_assert_eq!(decode_head("key", head).map(|(head, _)| head), Some(Record { inputs: Vec::new(), ..record }));
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(decode("key", &bytes), None);
        // Past the checksum, which keeps accidents out.
        let inputs = seal::seal(Kind::RecordInputs, "key", &bytes);
        let id = "ab".repeat(16);
        let head = [&[32][..], id.as_bytes(), &[0; 40]].concat();
        let _ = decode("key", &[seal::seal(Kind::Record, "key", &head), inputs].concat());
        prop_assert!(decode_head("key", &seal::seal(Kind::Record, "key", &bytes)).is_none_or(|_| bytes.len() >= 73));
    }
}
