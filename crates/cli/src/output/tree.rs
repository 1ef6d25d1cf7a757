//! The files of an image: into a directory, or as a tar.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use image::layer::TarWriter;
use image::{Entry, Kind, LayerPath, Metadata, Platform, Timestamp};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use store::{LayerId, Store, Tree};

use super::Output;
use crate::error::Failure;

/// The files of the image for one platform.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) platform: Platform,
    pub(crate) layers: Vec<LayerId>,
}

/// A tree and the directory of the output that it goes to.
struct Placed {
    below: LayerPath,
    tree: Tree,
}

/// Says where the files of each platform go: all to the top, or to `os_architecture[_variant]/`, as buildx names it.
fn place(store: &Store, images: &[Files], output: &Output) -> Result<Vec<Placed>, Failure> {
    let split = output.splits(images.len());
    let placed = images.iter().map(|image| {
        let name = image.platform.to_string().replace('/', "_");
        let below = if split { LayerPath::root().join(name.as_bytes()) } else { LayerPath::root() };
        Ok(Placed { below, tree: store.tree(&image.layers)? })
    });
    let placed = placed.collect::<Result<Vec<_>, Failure>>()?;
    if !split && placed.len() > 1 {
        check_apart(images, &placed)?;
    }
    Ok(placed)
}

/// Images that go to one place may share directories, nothing else.
fn check_apart(images: &[Files], placed: &[Placed]) -> Result<(), Failure> {
    let mut known = BTreeMap::new();
    for (image, Placed { tree, .. }) in images.iter().zip(placed) {
        for entry in tree.below(&LayerPath::root()) {
            let directory = matches!(entry.kind, Kind::Directory { .. });
            match known.insert(entry.path.clone(), (directory, &image.platform)) {
                Some((was_directory, first)) if !(directory && was_directory) => {
                    let (path, second) = (entry.path.as_path().display(), &image.platform);
                    let message =
                        format!("cannot overwrite {path} from {first} with {second} when split option is disabled");
                    return Err(Failure::new(message).help("leave platform-split=false away"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Writes the files into a directory, over what is there: modes and times as in the image, owner the caller, devices
/// left out (`type=local` of buildx).
pub(crate) fn directory(store: &Store, images: &[Files], epoch: Option<i64>, output: &Output) -> Result<(), Failure> {
    let root = output.path()?;
    for Placed { below, tree } in place(store, images, output)? {
        let root = if below.is_root() { root.to_owned() } else { root.join(below.as_path()) };
        into_directory(&tree, epoch, &root)?;
    }
    Ok(())
}

fn into_directory(tree: &Tree, epoch: Option<i64>, root: &Path) -> Result<(), Failure> {
    fs::create_dir_all(root).map_err(|e| failed(&e, root))?;
    // Symlinks of the image, or ones that stood in the directory, must not lead a later entry out of it.
    let writer = DirectoryWriter { tree, epoch, root: fs::canonicalize(root).map_err(|e| failed(&e, root))? };
    writer.children(&LayerPath::root())
}

struct DirectoryWriter<'a> {
    tree: &'a Tree,
    epoch: Option<i64>,
    root: PathBuf,
}

impl DirectoryWriter<'_> {
    fn children(&self, directory: &LayerPath) -> Result<(), Failure> {
        for entry in self.tree.children(directory) {
            let path = self.root.join(entry.path.as_path());
            self.one(&entry, &path).map_err(|e| failed(&e, &path))?;
            if matches!(entry.kind, Kind::Directory { .. }) {
                self.children(&entry.path)?;
                set_times(&path, at(self.epoch, entry.metadata.mtime)).map_err(|e| failed(&e, &path))?;
            }
        }
        Ok(())
    }

    fn one(&self, entry: &Entry, path: &Path) -> io::Result<()> {
        let standing = fs::symlink_metadata(path).ok();
        match &entry.kind {
            Kind::Directory { .. } => {
                match standing {
                    Some(found) if found.is_dir() => {}
                    Some(_) => {
                        fs::remove_file(path)?;
                        fs::create_dir(path)?;
                    }
                    None => fs::create_dir(path)?,
                }
                // The owner must be able to fill it.
                fs::set_permissions(path, Permissions::from_mode(entry.metadata.mode | 0o700))
            }
            Kind::File { .. } | Kind::Hardlink { .. } => {
                make_room(standing.as_ref(), path)?;
                let mut data = self.tree.open(&entry.path).map_err(io::Error::other)?;
                io::copy(&mut data, &mut File::create_new(path)?)?;
                fs::set_permissions(path, Permissions::from_mode(entry.metadata.mode))?;
                set_times(path, at(self.epoch, entry.metadata.mtime))
            }
            Kind::Symlink { target } => {
                make_room(standing.as_ref(), path)?;
                use std::os::unix::ffi::OsStrExt;
                symlink(std::ffi::OsStr::from_bytes(target), path)?;
                set_times(path, at(self.epoch, entry.metadata.mtime))
            }
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo | Kind::Whiteout => Ok(()),
        }
    }
}

/// Returns the time that a file gets: with `SOURCE_DATE_EPOCH` that, as with buildx.
fn at(epoch: Option<i64>, mtime: Timestamp) -> Timestamp {
    epoch.map_or(mtime, |seconds| Timestamp { seconds, nanoseconds: 0 })
}

fn make_room(standing: Option<&fs::Metadata>, path: &Path) -> io::Result<()> {
    match standing {
        Some(found) if found.is_dir() => fs::remove_dir_all(path),
        Some(_) => fs::remove_file(path),
        None => Ok(()),
    }
}

fn set_times(path: &Path, mtime: Timestamp) -> io::Result<()> {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn failed(error: &(dyn std::error::Error + 'static), path: &Path) -> Failure {
    Failure::from_error(error).context(format!("failed to write {}", path.display()))
}

/// Writes all files as one tar, owners and devices included (`type=tar`).
pub(crate) fn tar(store: &Store, images: &[Files], epoch: Option<i64>, output: &Output) -> Result<(), Failure> {
    let placed = place(store, images, output)?;
    output.write(|out| {
        let mut tar = TarWriter::new(out);
        let mut directories = BTreeSet::new();
        for Placed { below, tree } in &placed {
            if !below.is_root() {
                let mtime = at(epoch, Timestamp::default());
                let metadata = Metadata { mode: 0o755, mtime, ..Metadata::default() };
                let kind = Kind::Directory { opaque: false };
                tar.append(&Entry { path: below.clone(), kind, metadata }, |_| Ok(io::empty()))?;
            }
            for entry in tree.below(&LayerPath::root()) {
                let mut entry = moved(entry, below);
                entry.metadata.mtime = at(epoch, entry.metadata.mtime);
                if matches!(entry.kind, Kind::Directory { .. }) && !directories.insert(entry.path.clone()) {
                    continue;
                }
                let own = |path: &LayerPath| path.strip_prefix(below).unwrap_or_else(|| path.clone());
                tar.append(&entry, |path| tree.open(&own(path)).map_err(io::Error::other))?;
            }
        }
        tar.finish()?;
        Ok(())
    })
}

/// Returns an entry as it is below a directory.
fn moved(entry: Entry, below: &LayerPath) -> Entry {
    let kind = match entry.kind {
        Kind::Hardlink { target } => Kind::Hardlink { target: below.join_path(&target) },
        other => other,
    };
    Entry { path: below.join_path(&entry.path), kind, metadata: entry.metadata }
}
