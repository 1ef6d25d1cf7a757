//! A layer packed, applied and read again is the same layer.

use std::os::fd::AsFd;

use image::layer::{
    ApplyOptions, Compression, Expansion, Ids, PackOptions, apply, decompress, pack, pack_with, scan_tree,
};
use image::{Entry, Index, LayerPath, Metadata};
use proptest::prelude::*;

use crate::support::{Root, Tree, any_tree, options};

fn packed(tree: &Tree, compression: Compression) -> Vec<u8> {
    let mut out = Vec::new();
    let options = PackOptions { compression, ..PackOptions::default() };
    pack_with(&tree.index(), |path| tree.open(path), &mut out, &options).unwrap();
    out
}

/// Returns `index` without the root, and without owners if this user cannot set them.
fn comparable(index: &Index, ids: Ids) -> Index {
    let owned = |entry: &Entry| match ids {
        Ids::Keep => entry.clone(),
        Ids::Ignore => Entry { metadata: Metadata { uid: 0, gid: 0, ..entry.metadata.clone() }, ..entry.clone() },
    };
    index.entries().iter().filter(|entry| !entry.path.is_root()).map(owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packed_and_applied(tree in any_tree()) {
        let root = Root::new();
        let tar = packed(&tree, Compression::None);
        let index = root.apply(&tar).unwrap();
        prop_assert_eq!(&index, &tree.index());
        let ApplyOptions { overlay, ids, .. } = options();
        let found = scan_tree(root.fd().as_fd(), overlay, ids).unwrap();
        prop_assert_eq!(comparable(&found, ids), comparable(&index, ids));
        let mut again = Vec::new();
        let options = PackOptions { compression: Compression::None, ..PackOptions::default() };
        pack(&index, root.fd().as_fd(), &mut again, &options).unwrap();
        prop_assert!(again == tar, "packing what was applied gave other bytes");
    }

    #[test]
    fn compressed_and_applied(tree in any_tree(), zstd in any::<bool>()) {
        let blob = packed(&tree, if zstd { Compression::ZSTD } else { Compression::GZIP });
        let root = Root::new();
        let tar = decompress(&blob[..], Expansion::default()).unwrap();
        prop_assert_eq!(apply(tar, root.fd().as_fd(), &[], &options()).unwrap(), tree.index());
    }

    /// A tar that ends or changes anywhere is an error or another layer, never a panic.
    #[test]
    fn damaged_tars_are_no_panic(tree in any_tree(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut tar = packed(&tree, Compression::None);
        let at = at.index(tar.len());
        tar[at] = byte;
        if cut {
            tar.truncate(at);
        }
        let root = Root::new();
        let _ = root.apply(&tar);
        root.check_outside();
    }
}

#[test]
fn an_empty_layer_is_two_empty_blocks() {
    let tar = packed(&Tree::default(), Compression::None);
    assert_eq!(tar, [0; 1024]);
    assert_eq!(Root::new().apply(&tar).unwrap(), Index::default());
    assert_eq!(Root::new().apply(b"").unwrap(), Index::default());
    assert!(LayerPath::root().is_root());
}
