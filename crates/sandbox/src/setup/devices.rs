//! /dev: the devices of Docker's default.

use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mkdirat, mknodat, openat, symlinkat};
use rustix::mount::{
    FsPickFlags, MountAttrFlags, OpenTreeFlags, fsconfig_reconfigure, fsconfig_set_string, fspick, open_tree,
};

use super::PATH;
use super::kernel::{Staging, new_mount};
use super::mounts;
use crate::error::{Doing, Result};
use crate::userns::Ids;

/// Name, major and minor number.
const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// The group that owns terminals, by convention.
const TTY_GROUP: u32 = 5;

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NOSUID_NOEXEC: MountAttrFlags = NOSUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
const NOTHING_SPECIAL: MountAttrFlags = NOSUID_NOEXEC.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// What /dev/shm holds unless a specification says otherwise.
const DEFAULT_SHM: u64 = 64 << 20;

/// Mounts `dev` of the staging tree and fills it.
pub(super) fn populate(ids: &Ids, staging: &Staging) -> Result<()> {
    let dev = new_mount("tmpfs", &[("mode", "0755"), ("size", "65536k")], NOSUID)
        .doing(|| "mounting tmpfs at /dev".into())?;
    staging.attach(&dev, "dev").doing(|| "mounting tmpfs at /dev".into())?;
    for (name, major, minor) in NODES {
        make_node(ids, &dev, name, makedev(major, minor)).doing(|| format!("making /dev/{name}"))?;
    }
    for (name, target) in LINKS {
        symlinkat(target, &dev, name).doing(|| format!("making /dev/{name}"))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        mkdirat(&dev, name, Mode::from_raw_mode(0o755)).doing(|| format!("making /dev/{name}"))?;
    }
    mount_pts(ids, staging)?;
    new_mount("tmpfs", &[("mode", "1777"), ("size", "65536k")], NOTHING_SPECIAL)
        .and_then(|shm| staging.attach(&shm, "dev/shm"))
        .doing(|| "mounting tmpfs at /dev/shm".into())?;
    // Kernels can be built without; then the directory stays empty.
    let _ = new_mount("mqueue", &[], NOTHING_SPECIAL).and_then(|queues| staging.attach(&queues, "dev/mqueue"));
    Ok(())
}

/// Device nodes can be made by the root of the initial namespace only, and there a container may forbid it; elsewhere
/// those of the host are mounted one by one.
fn make_node(ids: &Ids, dev: &rustix::fd::OwnedFd, name: &str, device: u64) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(0o666);
    if ids.initial && mknodat(dev, name, FileType::CharacterDevice, mode, device).is_ok() {
        return Ok(());
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let node = open_tree(CWD, format!("/dev/{name}"), flags)?;
    let point = openat(dev, name, OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, mode)?;
    mounts::attach(&node, &point)
}

fn mount_pts(ids: &Ids, staging: &Staging) -> Result<()> {
    let mut options = vec![("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    if ids.gids.contains(TTY_GROUP) {
        options.push(("gid", "5"));
    }
    new_mount("devpts", &options, NOSUID_NOEXEC)
        .and_then(|pts| staging.attach(&pts, "dev/pts"))
        .doing(|| "mounting devpts at /dev/pts".into())
}

/// Gives /dev/shm its size.
pub(super) fn resize_shm(staging: &Staging, size: u64) -> Result<()> {
    if size == DEFAULT_SHM || size == 0 {
        return Ok(());
    }
    let doing = || format!("giving /dev/shm {size} bytes");
    let shm = staging.open("dev/shm", PATH).doing(doing)?;
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    fspick(&shm, "", flags)
        .and_then(|fs| {
            fsconfig_set_string(&fs, "size", size.to_string())?;
            fsconfig_reconfigure(&fs)
        })
        .doing(doing)
}
