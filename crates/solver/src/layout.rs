//! What a copy puts into its layer: planned in memory, from the probe of its destination and what its sources take
//! alone, so that the layer follows from what is in the key (reference: section 6).

use std::collections::{BTreeMap, BTreeSet};

use image::{ContentHash, Entry, Kind, LayerPath, Metadata, Timestamp};
use plan::Chmod;

use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, is_directory};
use crate::owner::Owner;
use crate::probe::Probe;
use crate::select::Taken;

/// Of a directory that is made on the way.
pub(crate) const PLAIN_MODE: u32 = 0o755;

/// What is the same for all that a copy puts in place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    /// `--chown`.
    pub(crate) owner: Option<Owner>,
    /// `--chmod`.
    pub(crate) chmod: Option<Chmod>,
    /// For what has no time of its own.
    pub(crate) now: Timestamp,
}

/// Where the data of a new file comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Data {
    /// A file of the source tree with that number.
    Source { tree: usize, path: LayerPath },
    /// The text with that number, written in the Dockerfile.
    Inline(usize),
    /// A file with that name among those extracted from archives or fetched; it is moved.
    Spooled(usize),
}

/// A new file; more than one path may name it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NewFile {
    pub(crate) data: Data,
    pub(crate) size: u64,
    pub(crate) content: ContentHash,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum What {
    Directory {
        opaque: bool,
    },
    /// The number of a [`NewFile`].
    File(usize),
    Symlink(Box<[u8]>),
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Planned {
    pub(crate) what: What,
    pub(crate) metadata: Metadata,
    /// It takes the place of whatever is there (archives); otherwise files and directories do not replace each other.
    pub(crate) replaces: bool,
}

impl Planned {
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.what, What::Directory { .. })
    }
}

/// A layer before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) probe: Probe,
    pub(crate) attributes: Attributes,
    pub(crate) planned: BTreeMap<LayerPath, Planned>,
    pub(crate) files: Vec<NewFile>,
    /// Where an archive took away what the parent has, to put something else there.
    pub(crate) removed: BTreeSet<LayerPath>,
    /// Directories of the parent below the destination that a copy passes through ([`Taken::on_the_way`]).
    pub(crate) passed: BTreeMap<LayerPath, Metadata>,
}

impl Layout {
    pub(crate) fn new(probe: Probe, attributes: Attributes) -> Self {
        let (planned, passed) = (BTreeMap::new(), BTreeMap::new());
        Self { probe, attributes, planned, files: Vec::new(), removed: BTreeSet::new(), passed }
    }

    /// Puts what a source took into place. `into_directory`: the destination was written with a slash at its end.
    pub(crate) fn copy(&mut self, tree: usize, taken: &Taken, into_directory: bool) -> Result<()> {
        if taken.is_directory() {
            return self.copy_directory(tree, taken);
        }
        let target = self.file_target(&taken.name, into_directory)?;
        let mut names = BTreeMap::new();
        self.place(tree, &taken.root, target, &mut names)
    }

    /// Puts a file written in the Dockerfile into place.
    pub(crate) fn inline(&mut self, number: usize, name: &str, bytes: &[u8], into_directory: bool) -> Result<()> {
        let target = self.file_target(name.as_bytes(), into_directory)?;
        let content = ContentHash(*blake3::hash(bytes).as_bytes());
        let metadata = self.copied(&Metadata { mode: 0o644, mtime: self.attributes.now, ..Metadata::default() }, false);
        let file = self.new_file(NewFile { data: Data::Inline(number), size: bytes.len() as u64, content });
        self.put(target, What::File(file), metadata)
    }

    /// Puts a file that was fetched into place, as it is.
    pub(crate) fn fetched(&mut self, target: LayerPath, file: NewFile, metadata: Metadata) -> Result<()> {
        let file = self.new_file(file);
        self.put(target, What::File(file), metadata)
    }

    /// Returns where a file goes, its directory made.
    pub(crate) fn file_target(&mut self, name: &[u8], into_directory: bool) -> Result<LayerPath> {
        let destination = self.probe.target.clone();
        // A file taken as a whole tree (`COPY --from=x / /y` where the root is a link) has no name of its own.
        let named = !name.is_empty() && !name.contains(&b'/');
        let target = match self.directory_at_destination() {
            Some(true) if named => destination.join(name),
            None if into_directory && named => destination.join(name),
            Some(false) if into_directory => return Err(not_a_directory(&destination)),
            _ => destination,
        };
        if let Some(parent) = target.parent() {
            self.make_directories(&parent)?;
        }
        Ok(target)
    }

    /// True if a directory is at the destination by now, false if something else is.
    fn directory_at_destination(&self) -> Option<bool> {
        let planned = self.planned.get(&self.probe.target).map(Planned::is_directory);
        planned.or_else(|| self.probe.at_target().map(is_directory))
    }

    fn copy_directory(&mut self, tree: usize, taken: &Taken) -> Result<()> {
        let destination = self.probe.target.clone();
        self.make_directories(&destination)?;
        if let Some(planned) = self.planned.get_mut(&destination) {
            planned.metadata.mtime = taken.root.metadata.mtime;
        }
        let mut names = BTreeMap::new();
        for entry in &taken.below {
            let Some(below) = LayerPath::new(taken.relative(entry)) else { continue };
            let target = destination.join_path(&below);
            if taken.on_the_way.contains(&entry.path)
                && let Some(metadata) = self.passed_directory(&target)
            {
                // It gets the mode of the source, whatever `--chmod` says, and nothing else.
                let metadata = Metadata { mode: entry.metadata.mode, ..metadata.clone() };
                self.put(target, What::Directory { opaque: false }, metadata)?;
                continue;
            }
            self.place(tree, entry, target, &mut names)?;
        }
        Ok(())
    }

    /// Returns the directory that is at `path` before something is put below it.
    fn passed_directory(&self, path: &LayerPath) -> Option<&Metadata> {
        match self.planned.get(path) {
            Some(planned) => planned.is_directory().then_some(&planned.metadata),
            None => self.passed.get(path),
        }
    }

    /// Puts one entry of a source into place. `names`: the files of this copy by their path in the source.
    fn place(
        &mut self,
        tree: usize,
        entry: &Entry,
        target: LayerPath,
        names: &mut BTreeMap<LayerPath, usize>,
    ) -> Result<()> {
        let what = match &entry.kind {
            Kind::Directory { .. } => What::Directory { opaque: false },
            Kind::File { size, content } => {
                let data = Data::Source { tree, path: entry.path.clone() };
                let file = self.new_file(NewFile { data, size: *size, content: *content });
                names.insert(entry.path.clone(), file);
                What::File(file)
            }
            Kind::Hardlink { target } => match names.get(target) {
                Some(&file) => What::File(file),
                None => return Err(SolveErrorKind::Plan("a hard link leads out of what is copied")),
            },
            Kind::Symlink { target } => What::Symlink(target.clone()),
            &Kind::CharDevice { major, minor } => What::CharDevice { major, minor },
            &Kind::BlockDevice { major, minor } => What::BlockDevice { major, minor },
            Kind::Fifo => What::Fifo,
            Kind::Whiteout => return Ok(()),
        };
        let metadata = match what {
            What::Symlink(_) => self.owned(&entry.metadata),
            _ => self.copied(&entry.metadata, is_directory(entry)),
        };
        self.put(target, what, metadata)
    }

    pub(crate) fn new_file(&mut self, file: NewFile) -> usize {
        self.files.push(file);
        self.files.len() - 1
    }

    fn put(&mut self, target: LayerPath, what: What, metadata: Metadata) -> Result<()> {
        let planned = Planned { what, metadata, replaces: false };
        match self.planned.get(&target).map(Planned::is_directory) {
            Some(true) if !planned.is_directory() => return Err(is_a_directory(&target)),
            Some(false) if planned.is_directory() => return Err(not_a_directory(&target)),
            _ => {}
        }
        self.planned.insert(target, planned);
        Ok(())
    }

    /// Plans `path` and all above it as directories: those that exist as they are, the others new.
    pub(crate) fn make_directories(&mut self, path: &LayerPath) -> Result<()> {
        let mode = match self.attributes.chmod {
            // Unlike what is copied: no set-id and sticky bits.
            Some(Chmod::Octal(mode)) => mode & 0o777,
            _ => PLAIN_MODE,
        };
        self.make_directories_with(path, mode)
    }

    /// Does the same where new directories have a mode of their own.
    pub(crate) fn make_directories_with(&mut self, path: &LayerPath, mode: u32) -> Result<()> {
        let mut at = LayerPath::root();
        for name in path.components() {
            at = at.join(name);
            match self.planned.get(&at) {
                Some(planned) if planned.is_directory() => continue,
                Some(_) => return Err(not_a_directory(&at)),
                None => {}
            }
            let metadata = match self.probe.found.iter().find(|entry| entry.path == at) {
                Some(entry) if is_directory(entry) => entry.metadata.clone(),
                Some(_) => return Err(not_a_directory(&at)),
                None => self.new_directory(mode),
            };
            let what = What::Directory { opaque: false };
            self.planned.insert(at.clone(), Planned { what, metadata, replaces: false });
        }
        Ok(())
    }

    /// Returns the metadata of a directory that is made on the way.
    fn new_directory(&self, mode: u32) -> Metadata {
        let owner = self.attributes.owner.unwrap_or_default();
        Metadata { mode, uid: owner.uid, gid: owner.gid, mtime: self.attributes.now, ..Metadata::default() }
    }

    fn copied(&self, source: &Metadata, directory: bool) -> Metadata {
        let mut metadata = self.owned(source);
        if let Some(chmod) = &self.attributes.chmod {
            metadata.mode = chmod.apply(metadata.mode, directory);
        }
        metadata
    }

    pub(crate) fn owned(&self, source: &Metadata) -> Metadata {
        let mut metadata = source.clone();
        if let Some(owner) = self.attributes.owner {
            (metadata.uid, metadata.gid) = (owner.uid, owner.gid);
        }
        metadata
    }

    /// Takes over the times of the directories that were there before from a probe of another parent: a copy may be
    /// planned before its parent is done.
    pub(crate) fn adopt_times(&mut self, probe: &Probe) {
        let before: Vec<_> = self.probe.times().map(|(path, time)| (path.clone(), time)).collect();
        for (path, time) in probe.times() {
            let Some(planned) = self.planned.get_mut(path) else { continue };
            // The destination of a directory has the time of its source by now.
            if before.iter().any(|(old, time)| old == path && *time == planned.metadata.mtime) {
                planned.metadata.mtime = time;
            }
        }
    }

    /// Returns the index of the layer. Of several paths of one file the least is the file.
    pub(crate) fn index(&self) -> Vec<Entry> {
        let mut names: Vec<Option<&LayerPath>> = vec![None; self.files.len()];
        let mut entries = Vec::with_capacity(self.planned.len());
        for (path, planned) in &self.planned {
            let kind = match &planned.what {
                What::Directory { opaque } => Kind::Directory { opaque: *opaque },
                What::File(number) => match names[*number] {
                    Some(target) => Kind::Hardlink { target: target.clone() },
                    None => {
                        names[*number] = Some(path);
                        let file = &self.files[*number];
                        Kind::File { size: file.size, content: file.content }
                    }
                },
                What::Symlink(target) => Kind::Symlink { target: target.clone() },
                &What::CharDevice { major, minor } => Kind::CharDevice { major, minor },
                &What::BlockDevice { major, minor } => Kind::BlockDevice { major, minor },
                What::Fifo => Kind::Fifo,
            };
            entries.push(Entry { path: path.clone(), kind, metadata: planned.metadata.clone() });
        }
        entries
    }
}

/// Fails if the layer would put a file where `parent` has a directory, or a directory where it has something else.
pub(crate) fn check_conflicts<'a>(
    parent: &(impl Files + ?Sized),
    entries: impl IntoIterator<Item = (&'a LayerPath, bool)>,
) -> Result<()> {
    for (path, directory) in entries {
        match parent.look(path)?.map(|entry| is_directory(&entry)) {
            Some(true) if !directory => return Err(is_a_directory(path)),
            Some(false) if directory => return Err(not_a_directory(path)),
            _ => {}
        }
    }
    Ok(())
}

fn is_a_directory(path: &LayerPath) -> SolveErrorKind {
    SolveErrorKind::CopyOntoDirectory { target: path.to_string() }
}

fn not_a_directory(path: &LayerPath) -> SolveErrorKind {
    SolveErrorKind::CopyOntoFile { target: path.to_string() }
}

#[cfg(test)]
mod tests;
