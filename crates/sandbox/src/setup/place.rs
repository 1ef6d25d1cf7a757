//! Paths inside the box, resolved beneath its root while the host is still in sight.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fstat, mkdirat, openat, openat2, readlinkat, statx,
};
use rustix::io::Errno;

use super::PATH;
use crate::error::{Doing, Result};

/// As many as the kernel follows (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// The root of the box, and which mount points had to be made in it.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) dir: OwnedFd,
    mount: Option<u64>,
    /// Absolute paths without symbolic links, parents first.
    pub(super) stubs: Vec<Vec<u8>>,
}

/// What stands at a mount point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Directory,
    File,
}

impl Kind {
    /// What a mount of `source` needs to stand on.
    pub(super) fn of(source: impl AsFd) -> io::Result<Self> {
        let stat = fstat(source)?;
        Ok(if FileType::from_raw_mode(stat.st_mode) == FileType::Directory { Self::Directory } else { Self::File })
    }
}

impl Root {
    pub(super) fn new(dir: OwnedFd) -> Result<Self> {
        let mount = mount_id(&dir).doing(|| "looking at the root".into())?;
        Ok(Self { dir, mount, stubs: Vec::new() })
    }

    /// Opens `path`; symbolic links in it, absolute ones too, stay beneath the root.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        open_beneath(&self.dir, path, flags)
    }

    /// Opens the mount point at `path`, which is made, with its parents, if it is missing.
    pub(super) fn mount_point(&mut self, path: &str, kind: Kind) -> Result<OwnedFd> {
        match self.open(path, PATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(path, kind).map_err(Into::into),
            other => other,
        }
        .doing(|| format!("making the mount point {path}"))
    }

    /// Walks `path` by hand, since the kernel does not say where a dangling symbolic link would have led.
    fn make(&mut self, path: &str, kind: Kind) -> rustix::io::Result<OwnedFd> {
        let mut pending: Vec<Vec<u8>> = components(path.as_bytes());
        let mut here: Vec<Vec<u8>> = Vec::new();
        let mut dir = self.reopen(&here)?;
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == b".." {
                here.pop();
                dir = self.reopen(&here)?;
                continue;
            }
            let next = openat(&dir, &*name, PATH | OFlags::NOFOLLOW, Mode::empty());
            let next = match next {
                Ok(next) if is_link(&next)? => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    let target = readlinkat(&next, "", Vec::new())?.into_bytes();
                    if target.starts_with(b"/") {
                        here.clear();
                        dir = self.reopen(&here)?;
                    }
                    pending.extend(components(&target));
                    continue;
                }
                Ok(next) => next,
                Err(Errno::NOENT) => {
                    let last = pending.is_empty() && kind == Kind::File;
                    let made = if last { make_file(&dir, &name)? } else { make_directory(&dir, &name)? };
                    self.note_stub(&made, &here, &name);
                    made
                }
                Err(error) => return Err(error),
            };
            here.push(name);
            dir = next;
        }
        Ok(dir)
    }

    /// Opens a path that has just been walked, and so has no symbolic links.
    fn reopen(&self, components: &[Vec<u8>]) -> rustix::io::Result<OwnedFd> {
        let path = if components.is_empty() { b".".to_vec() } else { components.join(&b'/') };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        openat2(&self.dir, path, PATH | OFlags::DIRECTORY, Mode::empty(), resolve)
    }

    /// What was made on another mount, that of a cache say, is no stub in the root.
    fn note_stub(&mut self, made: &OwnedFd, parents: &[Vec<u8>], name: &[u8]) {
        if mount_id(made).is_ok_and(|mount| mount == self.mount) {
            let mut path = Vec::new();
            for component in parents.iter().map(Vec::as_slice).chain([name]) {
                path.push(b'/');
                path.extend_from_slice(component);
            }
            self.stubs.push(path);
        }
    }
}

/// Opens `path` beneath `dir`, wherever symbolic links point.
pub(super) fn open_beneath(dir: impl AsFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    loop {
        match openat2(&dir, path, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT) {
            // A rename elsewhere on the machine was in the way (openat2(2), EAGAIN).
            Err(Errno::AGAIN) => {}
            other => return Ok(other?),
        }
    }
}

/// The components of a path, last first, without empty ones and `.`.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.rev().map(<[u8]>::to_vec).collect()
}

fn is_link(entry: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(entry)?.st_mode) == FileType::Symlink)
}

fn make_directory(dir: &OwnedFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    match mkdirat(dir, name, Mode::from_raw_mode(0o755)) {
        // Somebody who shares this directory was faster.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    openat(dir, name, PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY, Mode::empty())
}

fn make_file(dir: &OwnedFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    openat(dir, name, flags, Mode::from_raw_mode(0o644))
}

/// `None` on a kernel that does not tell (before 5.8).
fn mount_id(file: impl AsFd) -> rustix::io::Result<Option<u64>> {
    let stat = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok((stat.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(stat.stx_mnt_id))
}

/// Opens a path of the host.
pub(super) fn open_host(path: &std::path::Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let fd = open_host(dir.path(), PATH).unwrap();
        (dir, Root::new(fd).unwrap())
    }

    fn stubs(root: &Root) -> Vec<String> {
        root.stubs.iter().map(|stub| String::from_utf8(stub.clone()).unwrap()).collect()
    }

    #[test]
    fn missing_parents_are_made_and_reported() {
        let (dir, mut root) = root();
        fs::create_dir(dir.path().join("etc")).unwrap();
        root.mount_point("/etc/a/b", Kind::File).unwrap();
        root.mount_point("/run/x", Kind::Directory).unwrap();
        root.mount_point("/etc/a", Kind::Directory).unwrap();
        assert_eq!(stubs(&root), ["/etc/a", "/etc/a/b", "/run", "/run/x"]);
        assert!(dir.path().join("etc/a/b").is_file());
        assert!(dir.path().join("run/x").is_dir());
    }

    #[test]
    fn links_never_lead_out() {
        let (dir, mut root) = root();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), dir.path().join("etc")).unwrap();
        symlink("../../../../../../../..", dir.path().join("up")).unwrap();
        root.mount_point("/etc/hosts", Kind::File).unwrap();
        root.mount_point("/up/made", Kind::File).unwrap();
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        let inside = dir.path().join(outside.path().strip_prefix("/").unwrap());
        assert!(inside.join("hosts").is_file());
        assert!(dir.path().join("made").is_file());
    }

    #[test]
    fn a_dangling_link_is_followed_to_where_its_target_is_made() {
        let (dir, mut root) = root();
        fs::create_dir(dir.path().join("etc")).unwrap();
        symlink("../run/resolve/stub.conf", dir.path().join("etc/resolv.conf")).unwrap();
        root.mount_point("/etc/resolv.conf", Kind::File).unwrap();
        assert_eq!(stubs(&root), ["/run", "/run/resolve", "/run/resolve/stub.conf"]);
    }

    #[test]
    fn loops_and_files_in_the_way_are_errors() {
        let (dir, mut root) = root();
        symlink("loop", dir.path().join("loop")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(root.mount_point("/loop/x", Kind::File).is_err());
        assert!(root.mount_point("/file/x", Kind::File).is_err());
        assert!(root.stubs.is_empty());
    }
}
