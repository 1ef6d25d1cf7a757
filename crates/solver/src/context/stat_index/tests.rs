use std::sync::{Arc, OnceLock};

use proptest::prelude::*;

use super::*;
use crate::context::node::Listing;
use crate::testing::path;

const LATER: Timestamp = Timestamp { seconds: 1 << 40, nanoseconds: 0 };

fn node(name: &str, size: u64) -> Node {
    let fact = OnceLock::new();
    let xattrs = vec![(b"user.x".as_slice().into(), b"y".as_slice().into())];
    fact.set(Fact { size, content: [7; 32], target: Box::default(), xattrs }).unwrap();
    Node {
        name: name.as_bytes().into(),
        kind: NodeKind::File,
        mode: 0o644,
        size,
        mtime: Timestamp { seconds: 5, nanoseconds: 6 },
        ctime: Timestamp { seconds: 7, nanoseconds: 8 },
        inode: 9,
        device: (1, 2),
        special: (0, 0),
        links: 1,
        of_root: true,
        ignored: false,
        hits: None,
        fact,
        was_known: false,
    }
}

fn listed(nodes: Vec<Node>) -> Seen {
    let mut seen = Seen::default();
    let nodes = nodes.into_iter().map(Arc::new).collect();
    seen.listed.insert(path("d"), Arc::new(Listing::new(nodes, false, false)));
    seen
}

fn index() -> Vec<u8> {
    encode(&StatIndex::default(), &listed(vec![node("a", 1), node("b", 2), node("c", 3)]), LATER).unwrap()
}

#[test]
fn what_was_written_is_found_by_the_same_stat() {
    let known = StatIndex::decode(index()).unwrap();
    let mut directory = known.directory(&path("d"));
    assert_eq!(directory.find(&node("a", 1)).unwrap(), *node("a", 1).fact.get().unwrap());
    assert!(directory.find(&node("aa", 1)).is_none());
    assert!(directory.find(&node("c", 3)).is_some());
    assert!(directory.find(&node("d", 3)).is_none());
    assert!(known.directory(&path("e")).find(&node("a", 1)).is_none());
}

#[test]
fn every_part_of_the_stat_counts_but_the_device() {
    let known = StatIndex::decode(index()).unwrap();
    let changes: [fn(&mut Node); 6] = [
        |node| node.size += 1,
        |node| node.mode = 0o600,
        |node| node.mtime.nanoseconds += 1,
        |node| node.ctime.nanoseconds += 1,
        |node| node.inode += 1,
        |node| node.kind = NodeKind::Fifo,
    ];
    for change in changes {
        let mut changed = node("b", 2);
        change(&mut changed);
        assert!(known.find(&path("d"), &changed).is_none(), "{changed:?}");
    }
    let mut moved = node("b", 2);
    moved.device = (3, 4);
    assert!(known.find(&path("d"), &moved).is_some());
}

#[test]
fn the_same_gives_nothing_to_write_and_less_does() {
    let known = StatIndex::decode(index()).unwrap();
    let known_node = |name, size| {
        let mut node = node(name, size);
        node.was_known = true;
        node
    };
    let same = listed(vec![known_node("a", 1), known_node("b", 2), known_node("c", 3)]);
    assert_eq!(encode(&known, &same, LATER), None);
    let mut directory = known.directory(&path("d"));
    assert!(directory.find(&node("a", 1)).is_some() && directory.leaves_some());
    let mut less = listed(vec![known_node("a", 1)]);
    less.listed.insert(path("d"), Arc::new(Listing::new(vec![Arc::new(known_node("a", 1))], false, true)));
    let less = encode(&known, &less, LATER).unwrap();
    let less = StatIndex::decode(less).unwrap();
    assert!(less.find(&path("d"), &node("a", 1)).is_some() && less.find(&path("d"), &node("b", 2)).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damage_is_noticed(at: prop::sample::Index, bit in 0..8u32, cut: prop::sample::Index) {
        let whole = index();
        let mut flipped = whole.clone();
        flipped[at.index(whole.len())] ^= 1 << bit;
        prop_assert!(StatIndex::decode(flipped).is_none());
        prop_assert!(StatIndex::decode(whole[..cut.index(whole.len())].to_vec()).is_none());
    }

    #[test]
    fn no_bytes_are_too_strange(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut whole = MAGIC.to_vec();
        whole.append(&mut bytes);
        let checksum = *blake3::hash(&whole).as_bytes();
        whole.extend_from_slice(&checksum);
        if let Some(index) = StatIndex::decode(whole) {
            for path in index.directories.keys() {
                let _ = index.find(path, &node("a", 1));
                let _ = index.directory(path).leaves_some();
            }
        }
    }
}
