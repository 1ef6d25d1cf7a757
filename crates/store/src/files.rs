//! File operations below one directory: the only ones that this crate names things with.
//!
//! Each that changes something passes a [`fault::point`] first, so that tests can stop between any two.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Access, AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::{Error, Result, fault};

/// Directories keep other users out: images hold setuid files and private data.
pub(crate) const DIR_MODE: Mode = Mode::RWXU;
/// Most files are smaller.
const FEW: usize = 4096;
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// An open directory. Names are relative to it.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: fs::open(path, flags, Mode::empty())?, path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the descriptor.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns `name` as a path for people and for other programs.
    pub(crate) fn full(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the adapter for an error of `action` on `name`.
    pub(crate) fn fails<E: Into<io::Error>>(
        &self,
        action: &'static str,
        name: &str,
    ) -> impl FnOnce(E) -> Error + use<E> {
        let path = self.full(name);
        move |source| Error::io(action, path, source)
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        fs::accessat(&self.fd, name, Access::EXISTS, AtFlags::empty()).is_ok()
    }

    pub(crate) fn stat(&self, name: &str) -> Result<Option<Stat>> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if is_absent(error) => Ok(None),
            Err(error) => Err(self.fails("examine", name)(error)),
        }
    }

    /// Opens a file for reading; `None` if it is not there.
    pub(crate) fn open_file(&self, name: &str) -> Result<Option<File>> {
        match fs::openat(&self.fd, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Some(fd.into())),
            Err(error) if is_absent(error) => Ok(None),
            Err(error) => Err(self.fails("open", name)(error)),
        }
    }

    /// Reads a whole file; `None` if it is not there. Larger than `limit` is an error: it is not one of ours.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(name)? else { return Ok(None) };
        // One read most of the time, and no call to learn the size first.
        let mut bytes = Vec::with_capacity(FEW);
        (&file).take(FEW as u64).read_to_end(&mut bytes).map_err(self.fails("read", name))?;
        if bytes.len() == FEW {
            let size = file.metadata().map_err(self.fails("read", name))?.len().min(limit);
            bytes.reserve_exact(usize::try_from(size).unwrap_or(0).saturating_sub(FEW) + 32);
            (&file)
                .take((limit + 1).saturating_sub(FEW as u64))
                .read_to_end(&mut bytes)
                .map_err(self.fails("read", name))?;
        }
        if bytes.len() as u64 > limit {
            return Err(self.fails("read", name)(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large")));
        }
        Ok(Some(bytes))
    }

    /// Opens a file that stays where it is, for locking or appending, making it if missing.
    pub(crate) fn open_or_create(&self, name: &str) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = point().and_then(|()| fs::openat(&self.fd, name, flags, FILE_MODE));
        Ok(fd.map_err(self.fails("open for writing", name))?.into())
    }

    /// Makes a new file.
    pub(crate) fn create(&self, name: &str) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = point().and_then(|()| fs::openat(&self.fd, name, flags, FILE_MODE));
        Ok(fd.map_err(self.fails("create", name))?.into())
    }

    /// Makes a new file that holds `bytes`.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.create(name)?;
        fault::point().and_then(|()| file.write_all(bytes)).map_err(self.fails("write", name))
    }

    /// Makes a directory; false if it is there.
    pub(crate) fn mkdir(&self, name: &str, mode: Mode) -> Result<bool> {
        match point().and_then(|()| fs::mkdirat(&self.fd, name, mode)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(self.fails("create", name)(error)),
        }
    }

    /// Renames `from` to `to`, making the directory of `to` if missing.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let rename = || point().and_then(|()| fs::renameat(&self.fd, from, &self.fd, to));
        let mut result = rename();
        // Whoever removes the last name of a directory removes the directory too: it may be gone again at once.
        for _ in 0..1000 {
            match result {
                Err(Errno::NOENT) if self.exists(from) => result = self.mkdirs(parent(to)).and_then(|()| rename()),
                _ => break,
            }
        }
        result.map_err(self.fails("rename a finished file to", to))
    }

    /// Makes a directory and those above it.
    fn mkdirs(&self, name: &str) -> Result<(), Errno> {
        let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
        for part in ends.map(|end| &name[..end]) {
            match point().and_then(|()| fs::mkdirat(&self.fd, part, DIR_MODE)) {
                Ok(()) | Err(Errno::EXIST) => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Gives the file `from` a second name, unless that is taken; false if it is.
    pub(crate) fn link(&self, from: &str, to: &str) -> Result<bool> {
        match point().and_then(|()| fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty())) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(self.fails("create", to)(error)),
        }
    }

    /// Removes a file; false if it is not there.
    pub(crate) fn unlink(&self, name: &str) -> Result<bool> {
        match point().and_then(|()| fs::unlinkat(&self.fd, name, AtFlags::empty())) {
            Ok(()) => Ok(true),
            Err(error) if is_absent(error) => Ok(false),
            Err(error) => Err(self.fails("remove", name)(error)),
        }
    }

    /// Removes a directory if it is empty; false if it is not, or is not there.
    pub(crate) fn rmdir(&self, name: &str) -> Result<bool> {
        match point().and_then(|()| fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)) {
            Ok(()) => Ok(true),
            Err(error) if is_absent(error) || matches!(error, Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(error) => Err(self.fails("remove", name)(error)),
        }
    }

    /// Returns the names in a directory, sorted; none if it is not there.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<String>> {
        // Every name in the store is one that this crate made, in ASCII; others are not ours to touch.
        Ok(self.list_raw(name)?.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    /// Returns all names in a directory, sorted; none if it is not there.
    pub(crate) fn list_raw(&self, name: &str) -> Result<Vec<OsString>> {
        let fd = match self.open_dir(name) {
            Ok(fd) => fd,
            Err(error) if is_absent(error) => return Ok(Vec::new()),
            Err(error) => return Err(self.fails("list", name)(error)),
        };
        let mut names = Vec::new();
        for entry in fs::Dir::new(fd).map_err(self.fails("list", name))? {
            let entry = entry.map_err(self.fails("list", name))?;
            let bytes = entry.file_name().to_bytes();
            if bytes != b"." && bytes != b".." {
                names.push(OsString::from_vec(bytes.to_vec()));
            }
        }
        names.sort();
        Ok(names)
    }

    pub(crate) fn open_dir(&self, name: &str) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&self.fd, name, flags, Mode::empty())
    }
}

/// True if the error means that nothing has the name.
pub(crate) fn is_absent(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR)
}

/// Returns the directory of a name, `.` for one without.
pub(crate) fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or(".", |(parent, _)| parent)
}

fn point() -> Result<(), Errno> {
    fault::point().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Returns `count` random bytes in hexadecimal digits.
pub(crate) fn random_hex<const COUNT: usize>() -> Result<String> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::io("read", "the kernel's random numbers", io::Error::other(error)))?;
    Ok(image::digest::hex(&bytes))
}

/// Checks a name that is to become one component of a path.
pub(crate) fn check_component(what: &'static str, name: &str) -> Result<()> {
    let proper = !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if proper { Ok(()) } else { Err(Error::InvalidName { what, name: name.to_owned() }) }
}
