//! Overlays of layer directories.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};

use super::kernel::Staging;
use super::{PATH, place};
use crate::error::{Doing, Error, Result};
use crate::userns::Ids;

/// fsconfig(2) takes no longer values: 256 bytes with the null.
const MAX_VALUE: usize = 255;
/// As many as the kernel stacks (`OVL_MAX_STACK`).
const MAX_LOWERS: usize = 500;

/// What is never wanted: layers are read by others too, who know plain directories and whiteouts only; and the ones that
/// come from elsewhere must not redirect (`nofollow` is the `off` that does not follow either).
const PLAIN: [(&str, &str); 3] = [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")];

/// A path as the kernel gets it, and the descriptor it may name.
struct Named {
    text: Vec<u8>,
    _descriptor: Option<OwnedFd>,
}

impl Named {
    /// `path` itself, or a short name for it.
    fn new(path: &Path, longest: usize) -> io::Result<Self> {
        let text = path.as_os_str().as_bytes();
        if text.len() <= longest {
            return Ok(Self { text: text.to_vec(), _descriptor: None });
        }
        let descriptor = place::open_host(path, PATH)?;
        let text = format!("/proc/self/fd/{}", descriptor.as_raw_fd()).into_bytes();
        Ok(Self { text, _descriptor: Some(descriptor) })
    }
}

/// Mounts `lowers`, topmost first, with `upper` and `work` on top if there are any; the mount stands nowhere yet.
pub(super) fn mount(
    ids: &Ids,
    lowers: &[PathBuf],
    writable: Option<(&Path, &Path)>,
    staging: &Staging,
) -> Result<OwnedFd> {
    if lowers.len() > MAX_LOWERS {
        return Err(Error::Invalid(format!("{} layers are more than the {MAX_LOWERS} an overlay holds", lowers.len())));
    }
    let mut lowers = lowers.to_vec();
    if writable.is_none() && lowers.len() < 2 {
        // Without an upper the kernel wants two; the second one adds nothing.
        lowers.push(staging.empty_directory());
    }
    if let Some((_, work)) = writable {
        forget_volatile(work);
    }
    match modern(ids, &lowers, writable) {
        Err(Error::Setup { source, .. }) if source.raw_os_error() == Some(libc::EINVAL) && !lowers_one_by_one() => {
            classic(ids, &lowers, writable)
        }
        other => other,
    }
}

/// A volatile overlay leaves a mark that forbids to mount the same upper again, lest half-written data be trusted after a
/// crash (overlayfs.rst, Volatile mount). Whoever mounts it again here has seen its box end.
fn forget_volatile(work: &Path) {
    let mark = work.join("work/incompat/volatile");
    let _ = unlinkat(CWD, mark.join("dirty"), AtFlags::empty());
    let _ = unlinkat(CWD, &mark, AtFlags::REMOVEDIR);
}

fn modern(ids: &Ids, lowers: &[PathBuf], writable: Option<(&Path, &Path)>) -> Result<OwnedFd> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).doing(|| "opening overlayfs".into())?;
    let mut kept = Vec::new();
    let mut set = |key: &str, path: &Path| {
        let named = Named::new(path, MAX_VALUE);
        let result = named.and_then(|named| {
            fsconfig_set_string(&fs, key, named.text.as_slice())?;
            kept.push(named);
            Ok(())
        });
        result.doing(|| format!("adding {} to the overlay ({key})", path.display()))
    };
    for lower in lowers {
        set("lowerdir+", lower)?;
    }
    if let Some((upper, work)) = writable {
        set("upperdir", upper)?;
        set("workdir", work)?;
        fsconfig_set_flag(&fs, "volatile").doing(|| "making the overlay volatile".into())?;
    }
    for (key, value) in PLAIN {
        fsconfig_set_string(&fs, key, value).doing(|| format!("setting {key}={value} for the overlay"))?;
    }
    // No identifier in the attributes of the upper, for nobody will look for it; older kernels write none.
    let _ = fsconfig_set_string(&fs, "uuid", "null");
    if !ids.initial {
        fsconfig_set_flag(&fs, "userxattr").doing(|| "setting userxattr for the overlay".into())?;
    }
    fsconfig_create(&fs).map_err(|errno| explain(errno, lowers, writable))?;
    // A device node that an image or a command makes must not reach the machine's devices: those of a box are in its /dev.
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)
        .doing(|| "mounting the overlay".into())
}

/// Names what is missing, for the kernel does not.
fn explain(errno: Errno, lowers: &[PathBuf], writable: Option<(&Path, &Path)>) -> Error {
    let directories = lowers.iter().map(PathBuf::as_path).chain(writable.into_iter().flat_map(|(u, w)| [u, w]));
    for directory in directories {
        if let Err(error) = openat(CWD, directory, PATH | OFlags::DIRECTORY, Mode::empty()) {
            let doing = format!("mounting an overlay with {}", directory.display());
            return Error::Setup { doing, source: error.into() };
        }
    }
    let doing = match writable {
        Some((upper, _)) => format!("mounting an overlay of {} layers on {}", lowers.len(), upper.display()),
        None => format!("mounting an overlay of {} layers", lowers.len()),
    };
    Error::Setup { doing, source: errno.into() }
}

/// Whether this kernel knows `lowerdir+` (6.8).
fn lowers_one_by_one() -> bool {
    let known =
        fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).and_then(|fs| fsconfig_set_string(&fs, "lowerdir+", "/"));
    known.is_ok()
}

/// The one option string of mount(2), a page long at most, for older kernels. Every directory is named by its descriptor,
/// which is short and needs no escapes. It is mounted over one of its own lowers, for lack of another place, and
/// picked up from there.
fn classic(ids: &Ids, lowers: &[PathBuf], writable: Option<(&Path, &Path)>) -> Result<OwnedFd> {
    let doing = || format!("mounting an overlay of {} layers (before Linux 6.8)", lowers.len());
    let mut kept = Vec::new();
    let mut name = |path: &Path| {
        let named = Named::new(path, 0).doing(|| format!("adding {} to the overlay", path.display()))?;
        let text = String::from_utf8_lossy(&named.text).into_owned();
        kept.push(named);
        Ok::<_, Error>(text)
    };
    let names: Vec<String> = lowers.iter().map(|lower| name(lower)).collect::<Result<_>>()?;
    let mut options = format!("lowerdir={}", names.join(":"));
    if let Some((upper, work)) = writable {
        options.push_str(&format!(",upperdir={},workdir={},volatile", name(upper)?, name(work)?));
    }
    for (key, value) in PLAIN {
        options.push_str(&format!(",{key}={value}"));
    }
    if !ids.initial {
        options.push_str(",userxattr");
    }
    let options = CString::new(options).map_err(io::Error::from).doing(doing)?;
    let Some(place) = lowers.first() else { return Err(Error::Invalid("an overlay without layers".into())) };
    rustix::mount::mount("overlay", place, "overlay", MountFlags::empty(), Some(options.as_c_str())).doing(doing)?;
    open_tree(CWD, place, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC).doing(doing)
}
