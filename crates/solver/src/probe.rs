//! What a copy reads of its parent: what each component of its destination resolves to.

use image::{Entry, Kind, LayerPath, Metadata, Timestamp};

use crate::error::Result;
use crate::files::{Look, resolve};
use crate::key::Hasher;
use crate::owner::Owner;

/// The answer for one destination. Only this, not the parent, goes into the key of a copy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Probe {
    /// The destination with all symbolic links resolved beneath the root.
    pub(crate) target: LayerPath,
    /// From the root down to `target`, as far as something exists. All but the last are directories.
    pub(crate) found: Vec<Entry>,
    /// Who owns what is made, where that is asked for.
    pub(crate) owner: Option<Owner>,
}

impl Probe {
    /// Looks for `destination` in `files`.
    pub(crate) fn new(files: &(impl Look + ?Sized), destination: &LayerPath, owner: Option<Owner>) -> Result<Self> {
        let target = resolve(files, destination)?;
        let mut found = Vec::new();
        let mut at = LayerPath::root();
        let mut names = target.components();
        while let Some(entry) = files.look(&at)? {
            let is_directory = matches!(entry.kind, Kind::Directory { .. });
            found.push(entry);
            let Some(name) = is_directory.then(|| names.next()).flatten() else { break };
            at = at.join(name);
        }
        drop(names);
        Ok(Self { target, found, owner })
    }

    /// Returns what goes into the key: no times, and of what is no directory only that it is none, since it will be
    /// replaced.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hasher = Hasher::new("probe");
        hasher.bytes(self.target.as_bytes());
        match self.owner {
            None => hasher.byte(0),
            Some(owner) => {
                hasher.byte(1);
                hasher.number(owner.uid.into());
                hasher.number(owner.gid.into());
            }
        }
        hasher.number(self.found.len() as u64);
        for entry in &self.found {
            match entry.kind {
                Kind::Directory { .. } => hash_metadata(&mut hasher, &entry.metadata),
                _ => hasher.byte(0),
            }
        }
        hasher.finish()
    }

    /// Returns what stands at the destination.
    pub(crate) fn at_target(&self) -> Option<&Entry> {
        self.found.last().filter(|entry| entry.path == self.target)
    }

    /// Returns the times of the directories that exist, which the hash leaves out.
    pub(crate) fn times(&self) -> impl Iterator<Item = (&LayerPath, Timestamp)> {
        self.found.iter().map(|entry| (&entry.path, entry.metadata.mtime))
    }
}

fn hash_metadata(hasher: &mut Hasher, metadata: &Metadata) {
    hasher.byte(1);
    hasher.number(metadata.mode.into());
    hasher.number(metadata.uid.into());
    hasher.number(metadata.gid.into());
    hasher.number(metadata.xattrs.len() as u64);
    for (name, value) in &metadata.xattrs {
        hasher.bytes(name);
        hasher.bytes(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fake, path};

    fn hash(files: &Fake, destination: &str) -> [u8; 32] {
        Probe::new(files, &path(destination), None).unwrap().hash()
    }

    #[test]
    fn it_sees_the_components_of_the_destination_and_nothing_else() {
        let base = || Fake::new().directory("srv/app", 0o755).file("srv/other", "x");
        let expected = hash(&base(), "/srv/app/bin");
        assert_eq!(hash(&base().file("srv/other", "y"), "/srv/app/bin"), expected);
        assert_eq!(hash(&base().file("srv/app/lib", "new"), "/srv/app/bin"), expected);
        assert_eq!(hash(&base().touched("srv/app", 77), "/srv/app/bin"), expected);
        assert_ne!(hash(&base().directory("srv/app", 0o700), "/srv/app/bin"), expected, "mode");
        assert_ne!(hash(&base().owned("srv", 5, 0), "/srv/app/bin"), expected, "owner of a parent");
        assert_ne!(hash(&base().xattr("srv/app", "user.a", "b"), "/srv/app/bin"), expected, "xattr");
        assert_ne!(hash(&base().directory("srv/app/bin", 0o755), "/srv/app/bin"), expected, "it exists");
        assert_ne!(hash(&base().file("srv/app/bin", ""), "/srv/app/bin"), expected, "it is a file");
        assert_ne!(hash(&base(), "/srv/app/sbin"), expected, "another name");
    }

    #[test]
    fn what_is_replaced_is_not_read() {
        let with = |data: &str| Fake::new().file("a", data);
        assert_eq!(hash(&with("1"), "/a"), hash(&with("2"), "/a"));
    }

    #[test]
    fn links_are_followed_beneath_the_root() {
        let files = Fake::new().directory("data/app", 0o755).link("srv", "../../data").link("data/bin", "/nowhere");
        let probe = Probe::new(&files, &path("/srv/app/x"), None).unwrap();
        assert_eq!(probe.target, path("data/app/x"));
        assert_eq!(probe.found.len(), 3);
        assert_eq!(Probe::new(&files, &path("/srv/bin/y"), None).unwrap().target, path("nowhere/y"));
    }

    #[test]
    fn a_loop_is_an_error() {
        let files = Fake::new().link("a", "b").link("b", "a");
        assert!(Probe::new(&files, &path("a/c"), None).is_err());
    }

    #[test]
    fn the_owner_is_part_of_it() {
        let files = Fake::new();
        let of = |owner| Probe::new(&files, &path("a"), owner).unwrap().hash();
        assert_ne!(of(None), of(Some(Owner::default())));
        assert_ne!(of(Some(Owner { uid: 1, gid: 0 })), of(Some(Owner { uid: 0, gid: 1 })));
    }
}
