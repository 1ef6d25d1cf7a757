//! The staging tree: what every box gets from the kernel (/proc, /dev, /sys), mounted before its root is known.
//!
//! ```text
//! tmpfs, stacked on the host's root, where no path leads
//! ├── proc/   masked and read-only where Docker masks
//! ├── dev/    tmpfs with nodes, pts, shm, mqueue
//! ├── sys/    read-only, with fs/cgroup
//! ├── empty/  what masks a directory; the lowest layer of a stack of one
//! └── data/   files with given bytes; uppers whose writes are discarded
//! ```
//!
//! Once the root is there, the three trees are moved into it, each with all that is mounted below.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::place::{Kind, Root};
use super::{Class, PATH, devices, mounts};
use crate::error::{Doing, Result};
use crate::spec::Network;
use crate::sys;
use crate::userns::Ids;

const NOTHING_SPECIAL: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV).union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Paths of the kernel that say or allow too much, as Docker's default.
const MASKED_PROC: [&str; 10] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];
const MASKED_SYS: [&str; 2] = ["firmware", "devices/virtual/powercap"];
const READ_ONLY_PROC: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// The staging tree of one box.
#[derive(Debug)]
pub(super) struct Staging {
    dir: OwnedFd,
}

impl Staging {
    /// Mounts everything that does not depend on the specification.
    pub(super) fn build(ids: &Ids, class: Class) -> Result<Self> {
        let mount = new_mount("tmpfs", &[("mode", "0755")], NOTHING_SPECIAL.difference(EXECUTABLE))
            .doing(|| "mounting the staging tree".into())?;
        mounts::attach_over_root(&mount)?;
        let staging = Self { dir: mount };
        for name in ["proc", "dev", "sys", "empty", "data"] {
            mkdirat(&staging.dir, name, Mode::from_raw_mode(0o755)).doing(|| format!("making the staging {name}"))?;
        }
        devices::populate(ids, &staging)?;
        staging.mount_proc(class)?;
        staging.mount_sys(ids, class)?;
        Ok(staging)
    }

    /// Opens a path in the tree.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        openat(&self.dir, path, flags | OFlags::CLOEXEC, Mode::empty())
    }

    pub(super) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// A name for an empty directory that mount(2) and its like understand.
    pub(super) fn empty_directory(&self) -> PathBuf {
        self.host_path("empty")
    }

    /// A path to something in the tree, which no ordinary path reaches.
    pub(super) fn host_path(&self, path: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{path}", self.dir.as_raw_fd()).into()
    }

    /// Mounts `mount` on a directory of the tree.
    pub(super) fn attach(&self, mount: impl AsFd, path: &str) -> rustix::io::Result<()> {
        move_mount(mount, "", &self.dir, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    }

    /// Moves /proc, /dev and /sys into the root of the box.
    pub(super) fn move_into(&self, root: &mut Root) -> Result<()> {
        for name in ["proc", "dev", "sys"] {
            let target = format!("/{name}");
            let point = root.mount_point(&target, Kind::Directory)?;
            let tree = self.open(name, PATH).doing(|| format!("opening the staging {name}"))?;
            mounts::attach(&tree, &point).doing(|| format!("mounting {target}"))?;
        }
        Ok(())
    }

    fn mount_proc(&self, class: Class) -> Result<()> {
        let proc = new_mount("proc", &[], NOTHING_SPECIAL).doing(|| {
            "mounting proc at /proc (inside a container, it has to be started with \
             `--security-opt systempaths=unconfined` or `--privileged`)"
                .into()
        })?;
        self.attach(&proc, "proc").doing(|| "mounting proc at /proc".into())?;
        if class.insecure {
            return Ok(());
        }
        let proc = self.open("proc", PATH).doing(|| "opening proc".into())?;
        for path in MASKED_PROC {
            self.mask(&proc, path).doing(|| format!("masking /proc/{path}"))?;
        }
        for path in READ_ONLY_PROC {
            make_read_only(&proc, path).doing(|| format!("making /proc/{path} read-only"))?;
        }
        Ok(())
    }

    fn mount_sys(&self, ids: &Ids, class: Class) -> Result<()> {
        // sysfs shows the network namespace; whoever does not own that may not mount it.
        let own = ids.initial || class.network != Network::Host;
        let sysfs = if own { new_mount("sysfs", &[], NOTHING_SPECIAL) } else { Err(Errno::PERM) };
        let sys = match sysfs {
            Ok(sys) => {
                self.attach(&sys, "sys").doing(|| "mounting sysfs at /sys".into())?;
                self.mount_cgroup(class);
                sys
            }
            Err(_) => self.bind_host_sys(class)?,
        };
        if class.insecure {
            return Ok(());
        }
        for path in MASKED_SYS {
            self.mask(&sys, path).doing(|| format!("masking /sys/{path}"))?;
        }
        sys::set_mount_attributes(&sys, sys::MOUNT_RDONLY, false).doing(|| "making /sys read-only".into())
    }

    /// The next best: the host's, with all that is mounted there, its cgroups among it.
    fn bind_host_sys(&self, class: Class) -> Result<OwnedFd> {
        let doing = || "mounting the host's /sys at /sys".into();
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let sys = open_tree(CWD, "/sys", flags).doing(doing)?;
        let mut attributes = sys::MOUNT_NOSUID | sys::MOUNT_NODEV | sys::MOUNT_NOEXEC;
        if !class.insecure {
            attributes |= sys::MOUNT_RDONLY;
        }
        sys::set_mount_attributes(&sys, attributes, true).doing(doing)?;
        self.attach(&sys, "sys").doing(doing)?;
        Ok(sys)
    }

    /// The box's own cgroup, if this machine has version 2 there. Nothing needs it: where it cannot be had, the directory
    /// stays empty, as on machines with version 1.
    fn mount_cgroup(&self, class: Class) {
        const CGROUP2: i64 = 0x6367_7270;
        if rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|stat| stat.f_type == CGROUP2) {
            let mut attributes = NOTHING_SPECIAL;
            if !class.insecure {
                attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
            }
            let _ = new_mount("cgroup2", &[], attributes).and_then(|cgroup| self.attach(&cgroup, "sys/fs/cgroup"));
        }
    }

    /// Puts nothing in the place of `path`, if there is such a thing.
    fn mask(&self, dir: &OwnedFd, path: &str) -> rustix::io::Result<()> {
        let Some(target) = existing(dir, path)? else { return Ok(()) };
        let nothing = match Kind::of(&target) {
            Ok(Kind::Directory) => "empty",
            _ => "dev/null",
        };
        let mask = clone(&self.dir, nothing)?;
        sys::set_mount_attributes(&mask, sys::MOUNT_RDONLY, false).map_err(|_| Errno::PERM)?;
        mounts::attach(&mask, &target)
    }
}

const EXECUTABLE: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;

fn make_read_only(dir: &OwnedFd, path: &str) -> rustix::io::Result<()> {
    let Some(target) = existing(dir, path)? else { return Ok(()) };
    let same = clone(dir, path)?;
    sys::set_mount_attributes(&same, sys::MOUNT_RDONLY, false).map_err(|_| Errno::PERM)?;
    mounts::attach(&same, &target)
}

fn existing(dir: &OwnedFd, path: &str) -> rustix::io::Result<Option<OwnedFd>> {
    match openat2(dir, path, PATH, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::NOENT | Errno::ACCESS) => Ok(None),
        Err(error) => Err(error),
    }
}

fn clone(dir: &OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    open_tree(dir, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
}

/// Mounts a new file system of `kind`; it stands nowhere yet. Options without a value are flags.
pub(super) fn new_mount(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        if value.is_empty() { fsconfig_set_flag(&fs, *key)? } else { fsconfig_set_string(&fs, *key, *value)? }
    }
    fsconfig_create(&fs)?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}
