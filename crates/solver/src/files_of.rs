//! What the sources of a copy took, file by file: kept beside the records, which are read in every build, for those who
//! want to know why something ran.

use image::{Entry, Kind};
use store::{RecordInput, RecordKey, Store};

use crate::error::Result;
use crate::key::Hasher;
use crate::select::Selection;

/// How the names of such inputs begin; the source pattern follows. The value is the hash of the selection.
pub(crate) const FILES: &str = "files ";

/// Of larger selections only the hash is kept.
const MOST_FILES: usize = 20_000;

/// One file of a selection: its path in its tree, and all that counts of it in a few words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SelectedFile {
    pub path: Vec<u8>,
    pub what: String,
}

/// Returns the files behind an input of a record that is named `files PATTERN`, in order; `None` if it is no such input, or
/// there were too many to keep.
pub fn files_of(store: &Store, input: &RecordInput) -> Result<Option<Vec<SelectedFile>>, store::Error> {
    let hash = input.name.starts_with(FILES).then(|| image::ContentId::from_hex(&input.value)).flatten();
    let Some(hash) = hash else { return Ok(None) };
    Ok(store.fact(&fact(&hash.0))?.and_then(|bytes| decode(&bytes)))
}

/// Keeps what a selection took, under its hash.
pub(crate) fn keep(store: &Store, selection: &Selection) -> Result<()> {
    let count: usize = selection.taken.iter().map(|taken| taken.below.len() + 1).sum();
    if count > MOST_FILES {
        return Ok(());
    }
    let mut bytes = Vec::new();
    for taken in &selection.taken {
        let root = (!taken.is_directory()).then_some(&taken.root);
        for entry in root.into_iter().chain(&taken.below) {
            bytes.extend_from_slice(entry.path.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(what(entry).as_bytes());
            bytes.push(0);
        }
    }
    Ok(store.put_fact(&fact(&selection.copied()), &bytes)?)
}

fn fact(selection: &[u8; 32]) -> RecordKey {
    let mut hasher = Hasher::new("files fact");
    hasher.bytes(selection);
    hasher.record()
}

/// Paths and descriptions in turn, each ended by a NUL, which neither can hold.
fn decode(bytes: &[u8]) -> Option<Vec<SelectedFile>> {
    let mut parts = bytes.split(|&b| b == 0);
    let mut files = Vec::new();
    loop {
        let path = parts.next()?;
        let Some(what) = parts.next() else { return path.is_empty().then_some(files) };
        files.push(SelectedFile { path: path.to_vec(), what: String::from_utf8(what.to_vec()).ok()? });
    }
}

fn what(entry: &Entry) -> String {
    let metadata = &entry.metadata;
    let kind = match &entry.kind {
        Kind::Directory { .. } => "directory".to_owned(),
        Kind::File { content, .. } => content.hex()[..32].to_owned(),
        Kind::Symlink { target } => format!("link to {}", String::from_utf8_lossy(target)),
        Kind::Hardlink { target } => format!("hard link to {target}"),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => format!("device {major}:{minor}"),
        Kind::Fifo => "fifo".to_owned(),
        Kind::Whiteout => "nothing".to_owned(),
    };
    let mut what = format!("{:o} {}:{} {kind}", metadata.mode, metadata.uid, metadata.gid);
    if !metadata.xattrs.is_empty() {
        let mut hasher = Hasher::new("xattrs");
        for (name, data) in &metadata.xattrs {
            hasher.bytes(name);
            hasher.bytes(data);
        }
        what.push_str(" attributes ");
        what.push_str(&image::ContentId(hasher.finish()).hex()[..16]);
    }
    what
}

#[cfg(test)]
mod tests {
    use dockerfile::Span;

    use super::*;
    use crate::select::select;
    use crate::testing::Fake;

    #[test]
    fn what_was_kept_is_found_by_the_hash() {
        let store = testkit::store();
        let files = Fake::new().file("d/a", "1").link("d/l", "a").xattr("d/a", "user.x", "y");
        let selection = select(&files, "d", Span::default()).unwrap();
        keep(&store, &selection).unwrap();
        let value = image::ContentId(selection.copied()).hex();
        let found =
            files_of(&store, &RecordInput { name: "files d".to_owned(), value: value.clone() }).unwrap().unwrap();
        assert_eq!(found.iter().map(|file| &*file.path).collect::<Vec<_>>(), [b"d/a", b"d/l"]);
        assert!(found[0].what.starts_with("644 0:0 ") && found[0].what.contains(" attributes "), "{}", found[0].what);
        assert_eq!(found[1].what, "777 0:0 link to a");
        assert_eq!(files_of(&store, &RecordInput { name: "env A".to_owned(), value }).unwrap(), None);
    }

    #[test]
    fn an_empty_selection_has_no_files() {
        assert_eq!(decode(b""), Some(Vec::new()));
        assert_eq!(decode(b"a\0b"), None);
        assert_eq!(decode(b"a\0"), None);
    }
}
