//! What a specification mounts over the root.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchmod, fchown, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::kernel::{Staging, new_mount};
use super::place::{Kind, Root, open_beneath, open_host};
use super::{PATH, Shared, overlay};
use crate::Identity;
use crate::error::{Doing, Error, Result};
use crate::spec::{Mount, MountKind, Spec};
use crate::sys;

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

/// Mounts what the specification asks for, in order: its files in /etc, then its mounts.
pub(super) fn add_all(shared: &Shared, staging: &Staging, root: &mut Root, spec: &Spec) -> Result<()> {
    let mut adding = Adding { shared, staging, root, count: 0 };
    for (target, bytes) in [("/etc/hosts", &spec.hosts), ("/etc/resolv.conf", &spec.resolv_conf)] {
        if let Some(bytes) = bytes {
            let source = adding.data(bytes, 0o644, 0, 0).doing(|| format!("writing {target}"))?;
            adding.place(&source, target, true, false)?;
        }
    }
    if shared.ids.identity == Identity::SingleId {
        adding.tell_apt()?;
    }
    for mount in &spec.mounts {
        adding.add(mount)?;
    }
    Ok(())
}

/// Where apt reads settings from, if an image has it.
const APT_SETTINGS: &str = "/etc/apt/apt.conf.d";

/// Adds mounts, one after the other.
struct Adding<'a> {
    shared: &'a Shared,
    staging: &'a Staging,
    root: &'a mut Root,
    /// How many entries the staging `data` has.
    count: usize,
}

impl Adding<'_> {
    fn add(&mut self, mount: &Mount) -> Result<()> {
        let Mount { target, read_only, kind } = mount;
        match kind {
            MountKind::Bind { source, recursive } => {
                let tree =
                    clone_tree(source, *recursive).doing(|| format!("mounting {} at {target}", source.display()))?;
                self.place(&tree, target, *read_only, *recursive)
            }
            MountKind::Beneath { directory, subpath } => {
                let doing = || format!("finding `{subpath}` to mount at {target}");
                let inside = open_host(directory, PATH).and_then(|directory| open_beneath(directory, subpath, PATH));
                let tree = clone_file(inside.doing(doing)?).doing(doing)?;
                self.place(&tree, target, *read_only, false)
            }
            MountKind::Tmpfs { size, mode } => {
                let tree = tmpfs(*size, *mode).doing(|| format!("mounting tmpfs at {target}"))?;
                self.place(&tree, target, *read_only, false)
            }
            MountKind::Data { bytes, mode, uid, gid } => {
                let file = self.data(bytes, *mode, *uid, *gid).doing(|| format!("writing {target}"))?;
                self.place(&file, target, *read_only, false)
            }
            MountKind::Snapshot { lowers, subpath } => {
                let tree = self.snapshot(lowers, subpath, target, *read_only)?;
                self.place(&tree, target, *read_only, false)
            }
        }
    }

    /// With a single id apt cannot become the user it downloads as, and does not believe the filter's pretense; so it is
    /// told to stay who it is.
    fn tell_apt(&mut self) -> Result<()> {
        if self.root.open(APT_SETTINGS, PATH | OFlags::DIRECTORY).is_err() {
            return Ok(());
        }
        let target = format!("{APT_SETTINGS}/99single-id");
        let file = self.data(b"APT::Sandbox::User \"root\";\n", 0o644, 0, 0).doing(|| format!("writing {target}"))?;
        self.place(&file, &target, true, false)
    }

    /// Puts `tree`, which stands nowhere yet, at `target` in the box.
    fn place(&mut self, tree: &OwnedFd, target: &str, read_only: bool, recursive: bool) -> Result<()> {
        if !target.starts_with('/') || target.bytes().all(|byte| byte == b'/' || byte == b'.') {
            return Err(Error::Invalid(format!("cannot mount at `{target}`")));
        }
        let doing = || format!("mounting at {target}");
        if read_only {
            sys::set_mount_attributes(tree, sys::MOUNT_RDONLY, recursive).doing(doing)?;
        }
        let kind = Kind::of(tree).doing(doing)?;
        let point = self.root.mount_point(target, kind)?;
        attach(tree, &point).doing(doing)
    }

    /// A name in the staging `data` that nothing has yet.
    fn fresh(&mut self) -> String {
        self.count += 1;
        format!("data/{}", self.count)
    }

    /// A file with these bytes, which goes with the box.
    fn data(&mut self, bytes: &[u8], mode: u32, uid: u32, gid: u32) -> io::Result<OwnedFd> {
        let name = self.fresh();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(self.staging.dir(), &*name, flags, Mode::from_raw_mode(0o600))?;
        let mut file = std::fs::File::from(file);
        file.write_all(bytes)?;
        fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        fchmod(&file, Mode::from_raw_mode(mode))?;
        // The mount can be read-only only once nobody has the file open for writing.
        drop(file);
        Ok(open_tree(self.staging.dir(), &*name, CLONE)?)
    }

    /// `subpath` of a stack of layers. What is written lands in memory.
    fn snapshot(&mut self, lowers: &[PathBuf], subpath: &str, target: &str, read_only: bool) -> Result<OwnedFd> {
        let doing = || format!("mounting a snapshot at {target}");
        let place = self.directory().doing(doing)?;
        if lowers.is_empty() {
            return Err(Error::Invalid(format!("the snapshot to mount at {target} has no layers")));
        }
        let mount = if read_only {
            overlay::mount(self.shared.ids, lowers, None, self.staging)?
        } else {
            let (upper, work) = (self.directory().doing(doing)?, self.directory().doing(doing)?);
            let (upper, work) = (self.staging.host_path(&upper), self.staging.host_path(&work));
            overlay::mount(self.shared.ids, lowers, Some((&upper, &work)), self.staging)?
        };
        self.staging.attach(&mount, &place).doing(doing)?;
        let inside =
            open_beneath(&mount, subpath, PATH).doing(|| format!("finding `{subpath}` to mount at {target}"))?;
        clone_file(&inside).doing(doing)
    }

    fn directory(&mut self) -> rustix::io::Result<String> {
        let name = self.fresh();
        mkdirat(self.staging.dir(), &*name, Mode::from_raw_mode(0o755))?;
        Ok(name)
    }
}

fn tmpfs(size: Option<u64>, mode: u32) -> rustix::io::Result<OwnedFd> {
    let (mode, size) = (format!("{mode:o}"), size.map(|size| size.to_string()));
    let options = [("mode", mode.as_str()), ("size", size.as_deref().unwrap_or_default())];
    let options = &options[..if size.is_some() { 2 } else { 1 }];
    new_mount("tmpfs", options, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV)
}

/// A copy of the mount of a host path, from that path on.
pub(super) fn clone_tree(path: &Path, recursive: bool) -> rustix::io::Result<OwnedFd> {
    open_tree(CWD, path, if recursive { CLONE | OpenTreeFlags::AT_RECURSIVE } else { CLONE })
}

fn clone_file(file: impl AsFd) -> rustix::io::Result<OwnedFd> {
    open_tree(file, "", CLONE | OpenTreeFlags::AT_EMPTY_PATH)
}

/// A copy of the mount of a directory that becomes the root.
pub(super) fn clone_root(path: &Path) -> Result<OwnedFd> {
    let tree = match clone_tree(path, false) {
        // In a user namespace, what the host has mounted below may not be uncovered (mount_namespaces(7)).
        Err(Errno::INVAL) => clone_tree(path, true),
        other => other,
    };
    tree.doing(|| format!("mounting {} as the root", path.display()))
}

/// Puts the mount of `tree` on `point`.
pub(super) fn attach(tree: impl AsFd, point: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", point, "", flags)
}

/// Stacks a mount on the root of the host, as this process sees it. Absolute paths still start below it.
pub(super) fn attach_over_root(mount: impl AsFd) -> Result<()> {
    move_mount(mount, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).doing(|| "mounting over the root".into())
}
