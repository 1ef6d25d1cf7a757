//! Archives that `ADD` extracts (reference: section 7).
//!
//! Members go into the plan of the layer; only their data is written at once, to files that are moved into place later.
//! Every name is resolved beneath the destination, as if that were the root.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use image::layer::{Expansion, Member, MemberKind, TarError, TarReader, decompress};
use image::{Entry, Kind, LayerPath, Metadata};

use crate::cancel::Cancel;
use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, Look, is_directory, resolve};
use crate::layout::{Data, Layout, NewFile, PLAIN_MODE, Planned, What};
use crate::write::copy_and_hash;

/// A file that is to be extracted.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) file: File,
    /// For messages.
    pub(crate) name: String,
}

impl Archive {
    /// Adds all members to `layout`, below its destination. `spool` takes the data of files.
    pub(crate) fn extract(self, layout: &mut Layout, parent: &dyn Files, spool: &Path, stop: &Cancel) -> Result<()> {
        let data = decompress(self.file, Expansion::default()).map_err(|e| fail(&self.name, e.to_string()))?;
        let destination = layout.probe.target.clone();
        layout.make_directories_with(&destination, PLAIN_MODE)?;
        let linked = HashMap::new();
        let mut extraction = Extraction { layout, parent, destination, archive: &self.name, linked };
        let mut members = TarReader::new(data);
        let mut buffer = Vec::new();
        while let Some(member) = members.next_member().map_err(|e| extraction.fail(describe(&e)))? {
            if stop.is_canceled() {
                return Err(SolveErrorKind::Canceled);
            }
            let Some(path) = extraction.place_for(&member)? else { continue };
            let what = match member.kind {
                MemberKind::Hardlink => {
                    extraction.link(path, &member, spool, &mut buffer)?;
                    continue;
                }
                MemberKind::File => {
                    let number = extraction.layout.files.len();
                    let file = extraction.spool(number, spool, &mut members.data(), &mut buffer)?;
                    What::File(extraction.layout.new_file(file))
                }
                _ => extraction.what(&member, &path)?,
            };
            let metadata = match what {
                What::Directory { .. } => extraction.merged(&path, &member)?,
                _ => extraction.metadata(&member),
            };
            extraction.layout.planned.insert(path, Planned { what, metadata, replaces: true });
        }
        extraction.finish();
        Ok(())
    }
}

fn fail(archive: &str, reason: impl Into<String>) -> SolveErrorKind {
    SolveErrorKind::Archive { path: archive.to_owned(), reason: reason.into() }
}

fn describe(error: &TarError) -> String {
    error.to_string()
}

struct Extraction<'a> {
    layout: &'a mut Layout,
    parent: &'a dyn Files,
    destination: LayerPath,
    archive: &'a str,
    /// What the last hard link to each file says of it, by the number of the file.
    linked: HashMap<usize, Metadata>,
}

/// What is at the destination by now, with the destination as the root.
impl Look for Extraction<'_> {
    fn look(&self, path: &LayerPath) -> Result<Option<Entry>> {
        let found = self.layout.look_over(self.parent, &self.destination.join_path(path))?;
        Ok(found.map(|entry| Entry { path: path.clone(), ..entry }))
    }
}

impl Extraction<'_> {
    fn fail(&self, reason: impl Into<String>) -> SolveErrorKind {
        fail(self.archive, reason)
    }

    /// Cleans a name, as in a root of its own: what climbs ends at the destination.
    fn clean(&self, name: &[u8], what: &str) -> Result<LayerPath> {
        LayerPath::clamped(name).ok_or_else(|| self.fail(format!("a NUL in the {what} of a member")))
    }

    /// Returns where a member goes, with its parents made and what is in its way removed. `None` if it says nothing.
    fn place_for(&mut self, member: &Member) -> Result<Option<LayerPath>> {
        let name = self.clean(&member.path, "name")?;
        let Some(parent) = name.parent() else { return self.place_for_root(member) };
        let parent = resolve(self, &parent)?;
        self.make_parents(&parent)?;
        let path = self.destination.join_path(&parent.join(name.file_name()));
        if let Some(existing) = self.layout.look_over(self.parent, &path)?
            && !(is_directory(&existing) && member.kind == MemberKind::Directory)
        {
            self.layout.remove(&path);
        }
        Ok(Some(path))
    }

    /// Returns where a member goes whose name is the destination itself. As with docker, `.` says nothing of it, while `/`
    /// and what climbs (`..`) do. The root of an image is in no layer.
    fn place_for_root(&self, member: &Member) -> Result<Option<LayerPath>> {
        if is_dot(&member.path) {
            return Ok(None);
        }
        if member.kind != MemberKind::Directory {
            let name = String::from_utf8_lossy(&member.path);
            return Err(self.fail(format!("`{name}` is the destination, which is a directory")));
        }
        Ok(Some(self.destination.clone()).filter(|destination| !destination.is_root()))
    }

    /// Makes the directories that a member needs and the archive has not named: those that exist stay as they are.
    fn make_parents(&mut self, directory: &LayerPath) -> Result<()> {
        let mut at = LayerPath::root();
        for name in directory.components() {
            at = at.join(name);
            let full = self.destination.join_path(&at);
            if self.layout.planned.get(&full).is_some_and(Planned::is_directory) {
                continue;
            }
            let metadata = match self.look(&at)? {
                Some(entry) if is_directory(&entry) => entry.metadata,
                Some(_) => return Err(self.fail(format!("{full} is not a directory"))),
                // Of root, whatever `--chown` says.
                None => Metadata { mode: PLAIN_MODE, mtime: self.layout.attributes.now, ..Metadata::default() },
            };
            self.layout.put_directory(self.parent, full, metadata)?;
        }
        Ok(())
    }

    fn spool(
        &self,
        number: usize,
        spool: &Path,
        data: &mut impl std::io::Read,
        buffer: &mut Vec<u8>,
    ) -> Result<NewFile> {
        let path = spool.join(number.to_string());
        let mut file =
            File::create_new(&path).map_err(|source| SolveErrorKind::Write { action: "create", path, source })?;
        let (size, content) = copy_and_hash(data, Some(&mut file), buffer).map_err(|e| self.fail(e.to_string()))?;
        Ok(NewFile { data: Data::Spooled(number), size, content })
    }

    fn what(&self, member: &Member, path: &LayerPath) -> Result<What> {
        let (major, minor) = (member.major, member.minor);
        Ok(match member.kind {
            MemberKind::Directory => {
                let hides = self.layout.hides_directory(self.parent, path)?;
                let was = self.layout.planned.get(path).map(|planned| planned.what.clone());
                What::Directory { opaque: hides || was == Some(What::Directory { opaque: true }) }
            }
            MemberKind::Symlink => What::Symlink(member.link.clone().into()),
            MemberKind::CharDevice => What::CharDevice { major, minor },
            MemberKind::BlockDevice => What::BlockDevice { major, minor },
            MemberKind::Fifo => What::Fifo,
            MemberKind::Hardlink | MemberKind::File => return Err(SolveErrorKind::Plan("a file is put elsewhere")),
        })
    }

    /// Gives something another name. As with docker, owner, mode and time become what the archive says of the link; a
    /// symbolic link keeps its time.
    fn link(&mut self, path: LayerPath, member: &Member, spool: &Path, buffer: &mut Vec<u8>) -> Result<()> {
        let target = self.link_target(member, spool, buffer)?;
        let mut metadata = self.metadata(member);
        let Some(planned) = self.layout.planned.get_mut(&target) else { return Ok(()) };
        let known = match &planned.what {
            What::File(number) => self.linked.get(number).unwrap_or(&planned.metadata),
            _ => &planned.metadata,
        };
        keep_xattrs(&mut metadata, known);
        if let What::Symlink(_) = planned.what {
            (metadata.mode, metadata.mtime) = (known.mode, known.mtime);
        }
        planned.metadata = metadata.clone();
        let what = planned.what.clone();
        if let What::File(number) = what {
            self.linked.insert(number, metadata.clone());
        }
        self.layout.planned.insert(path, Planned { what, metadata, replaces: true });
        Ok(())
    }

    /// Returns what a hard link names: something of this layer by now.
    fn link_target(&mut self, member: &Member, spool: &Path, buffer: &mut Vec<u8>) -> Result<LayerPath> {
        let name = self.clean(&member.link, "link")?;
        let refuse = |reason: &str| Err(self.fail(format!("`{}`, {reason}", String::from_utf8_lossy(&member.link))));
        let Some(parent) = name.parent() else { return refuse("the target of a hard link, is the destination") };
        let parent = resolve(self, &parent)?;
        let target = self.destination.join_path(&parent.join(name.file_name()));
        match self.layout.look_over(self.parent, &target)? {
            None => return refuse("the target of a hard link, is neither in the archive nor at the destination"),
            Some(entry) if is_directory(&entry) => return refuse("the target of a hard link, is a directory"),
            Some(_) => {}
        }
        if !self.layout.planned.contains_key(&target) {
            self.make_parents(&parent)?;
            self.take_over(target.clone(), spool, buffer)?;
        }
        Ok(target)
    }

    /// Copies what the parent has at `path` into this layer, as overlayfs does before it gives something another name.
    fn take_over(&mut self, path: LayerPath, spool: &Path, buffer: &mut Vec<u8>) -> Result<()> {
        const GONE: SolveErrorKind = SolveErrorKind::Plan("the target of a hard link is gone");
        let entry = self.parent.entry(&path)?.ok_or(GONE)?;
        let what = match entry.kind {
            Kind::File { .. } => {
                let number = self.layout.files.len();
                let file = self.spool(number, spool, &mut self.parent.open(&path)?, buffer)?;
                What::File(self.layout.new_file(file))
            }
            Kind::Symlink { target } => What::Symlink(target),
            Kind::CharDevice { major, minor } => What::CharDevice { major, minor },
            Kind::BlockDevice { major, minor } => What::BlockDevice { major, minor },
            Kind::Fifo => What::Fifo,
            Kind::Directory { .. } | Kind::Hardlink { .. } | Kind::Whiteout => return Err(GONE),
        };
        self.layout.planned.insert(path, Planned { what, metadata: entry.metadata, replaces: true });
        Ok(())
    }

    /// Returns what a directory becomes: one that is there already keeps the extended attributes that the member has not.
    fn merged(&self, path: &LayerPath, member: &Member) -> Result<Metadata> {
        let mut metadata = self.metadata(member);
        if let Some(existing) = self.layout.look_over(self.parent, path)?.filter(is_directory) {
            keep_xattrs(&mut metadata, &existing.metadata);
        }
        Ok(metadata)
    }

    fn metadata(&self, member: &Member) -> Metadata {
        let own = |(name, _): &&(Box<[u8]>, Box<[u8]>)| {
            !name.starts_with(b"trusted.overlay.")
                && !name.starts_with(b"user.overlay.")
                && **name != *b"security.selinux"
        };
        let xattrs = member.xattrs.iter().filter(own).cloned().collect();
        let mode = if member.kind == MemberKind::Symlink { 0o777 } else { member.mode & 0o7777 };
        let (uid, gid, mtime) = (member.uid, member.gid, member.mtime);
        self.layout.owned(&Metadata { mode, uid, gid, mtime, xattrs })
    }

    /// One inode has one owner, mode and time, whatever it is called.
    fn finish(self) {
        for planned in self.layout.planned.values_mut() {
            if let What::File(number) = &planned.what
                && let Some(metadata) = self.linked.get(number)
            {
                planned.metadata = metadata.clone();
            }
        }
    }
}

/// True for `.` and other names of nothing: relative ones that never climb.
fn is_dot(name: &[u8]) -> bool {
    let mut depth = 0_usize;
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth == 0 => return false,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    !name.starts_with(b"/")
}

/// Adds the extended attributes of `known` that `metadata` does not have.
fn keep_xattrs(metadata: &mut Metadata, known: &Metadata) {
    let is_new = |(name, _): &&(Box<[u8]>, Box<[u8]>)| !metadata.xattrs.iter().any(|(other, _)| other == name);
    let kept: Vec<_> = known.xattrs.iter().filter(is_new).cloned().collect();
    metadata.xattrs.extend(kept);
    metadata.xattrs.sort();
}

/// Of parts of the layout that only archives need.
impl Layout {
    /// Returns what is at `path` once this layer is on `parent`.
    pub(crate) fn look_over(&self, parent: &dyn Files, path: &LayerPath) -> Result<Option<Entry>> {
        if let Some(planned) = self.planned.get(path) {
            let kind = match &planned.what {
                What::Directory { opaque } => Kind::Directory { opaque: *opaque },
                What::Symlink(target) => Kind::Symlink { target: target.clone() },
                // All that matters is that it is neither.
                _ => Kind::Fifo,
            };
            return Ok(Some(Entry { path: path.clone(), kind, metadata: planned.metadata.clone() }));
        }
        if self.is_hidden(path) { Ok(None) } else { parent.look(path) }
    }

    /// True if this layer hides what the parent has at `path`.
    fn is_hidden(&self, path: &LayerPath) -> bool {
        let mut at = Some(path.clone());
        while let Some(path) = at {
            if self.removed.contains(&path) || self.planned.get(&path).is_some_and(|planned| !planned.is_directory()) {
                return true;
            }
            at = path.parent();
        }
        false
    }

    /// Removes what is at `path` and below; something else is about to be put there.
    fn remove(&mut self, path: &LayerPath) {
        self.planned.retain(|at, _| !at.starts_with(path));
        self.removed.insert(path.clone());
    }

    /// True if a new directory at `path` has to hide one of the parent.
    fn hides_directory(&self, parent: &dyn Files, path: &LayerPath) -> Result<bool> {
        Ok(self.removed.contains(path) && parent.look(path)?.as_ref().is_some_and(is_directory))
    }

    fn put_directory(&mut self, parent: &dyn Files, path: LayerPath, metadata: Metadata) -> Result<()> {
        let what = What::Directory { opaque: self.hides_directory(parent, &path)? };
        self.planned.insert(path, Planned { what, metadata, replaces: true });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
