//! The files of an image: into a directory, or as a tar.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use image::layer::TarWriter;
use image::{Entry, Kind, LayerPath, Timestamp};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use store::{LayerId, Store, Tree};

use super::Output;
use crate::error::Failure;

/// Writes the files into `root`, over what is there: modes and times as in the image, owner the caller, devices left
/// out (`type=local` of buildx).
pub(crate) fn directory(store: &Store, layers: &[LayerId], root: &Path) -> Result<(), Failure> {
    let tree = store.tree(layers)?;
    fs::create_dir_all(root).map_err(|e| failed(&e, root))?;
    // Symlinks of the image, or ones that stood in the directory, must not lead a later entry out of it.
    let writer = DirectoryWriter { tree: &tree, root: fs::canonicalize(root).map_err(|e| failed(&e, root))? };
    writer.children(&LayerPath::root())
}

struct DirectoryWriter<'a> {
    tree: &'a Tree,
    root: PathBuf,
}

impl DirectoryWriter<'_> {
    fn children(&self, directory: &LayerPath) -> Result<(), Failure> {
        for entry in self.tree.children(directory) {
            let path = self.root.join(entry.path.as_path());
            self.one(&entry, &path).map_err(|e| failed(&e, &path))?;
            if matches!(entry.kind, Kind::Directory { .. }) {
                self.children(&entry.path)?;
                set_times(&path, entry.metadata.mtime).map_err(|e| failed(&e, &path))?;
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
                set_times(path, entry.metadata.mtime)
            }
            Kind::Symlink { target } => {
                make_room(standing.as_ref(), path)?;
                use std::os::unix::ffi::OsStrExt;
                symlink(std::ffi::OsStr::from_bytes(target), path)?;
                set_times(path, entry.metadata.mtime)
            }
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo | Kind::Whiteout => Ok(()),
        }
    }
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
pub(crate) fn tar(store: &Store, layers: &[LayerId], output: &Output) -> Result<(), Failure> {
    let tree = store.tree(layers)?;
    output.write(|out| {
        let mut tar = TarWriter::new(out);
        for entry in tree.below(&LayerPath::root()) {
            tar.append(&entry, |path| tree.open(path).map_err(io::Error::other))?;
        }
        tar.finish()?;
        Ok(())
    })
}
