//! What a box is made of.

use std::path::PathBuf;

/// Everything that decides what the process sees. Paths inside the box are absolute and resolved beneath its root; those
/// outside are absolute too, since the launcher may stand in another directory.
#[derive(Clone, Debug)]
pub struct Spec {
    pub rootfs: Rootfs,
    /// In order; later ones stand on earlier ones.
    pub mounts: Vec<Mount>,
    pub argv: Vec<String>,
    /// `HOME` is added from the box's `/etc/passwd` when absent. `PATH` decides where `argv[0]` is looked up.
    pub env: Vec<(String, String)>,
    /// Made (0755, owned by the user) when missing.
    pub cwd: String,
    /// As in `USER`: empty, `name`, `uid`, `name:group`, `uid:gid`…; looked up in the box's own files.
    pub user: String,
    /// Added to the user's groups (`--group-add`).
    pub extra_groups: Vec<u32>,
    pub hostname: String,
    pub network: Network,
    pub security: Security,
    pub rlimits: Vec<Rlimit>,
    /// Contents of `/etc/hosts` and `/etc/resolv.conf`, bound read-only over the root; `None` leaves the image's own.
    pub hosts: Option<Vec<u8>>,
    pub resolv_conf: Option<Vec<u8>>,
    /// Bytes of `/dev/shm`.
    pub shm_size: u64,
    /// Give the process a controlling terminal (`-t`), of this size from the start.
    pub terminal: Option<TerminalSize>,
    /// Run the process as child of a minimal init that reaps and forwards signals (`--init`).
    pub init: bool,
}

/// The size of a terminal, in characters; zeros where it is not known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TerminalSize {
    pub rows: u16,
    pub columns: u16,
}

/// Where something is mounted in every box, relative to its root: directories (true) and files, parents first.
pub const MOUNT_POINTS: [(&str, bool); 6] =
    [("dev", true), ("etc", true), ("etc/hosts", false), ("etc/resolv.conf", false), ("proc", true), ("sys", true)];

/// The root of the box.
#[derive(Clone, Debug)]
pub enum Rootfs {
    /// An overlay mounted inside the box's mount namespace. `lowers`: topmost first; where the last one
    /// has the [`MOUNT_POINTS`], they need not be made in `upper`. `upper` and `work` stand on one filesystem and are
    /// empty, or hold what an earlier box of the same container left.
    Overlay { lowers: Vec<PathBuf>, upper: PathBuf, work: PathBuf, read_only: bool },
    /// A directory as it is.
    Directory { path: PathBuf, read_only: bool },
}

/// Something mounted over the root. A missing mount point is made and reported, see [`Exit::stubs`](crate::Exit).
#[derive(Clone, Debug)]
pub struct Mount {
    /// Absolute path in the box.
    pub target: String,
    pub read_only: bool,
    pub kind: MountKind,
}

#[derive(Clone, Debug)]
pub enum MountKind {
    /// A host path (file or directory), with the mounts below it if `recursive`.
    Bind {
        source: PathBuf,
        recursive: bool,
    },
    /// `subpath` of a host directory, resolved beneath it, wherever symbolic links in it lead.
    Beneath {
        directory: PathBuf,
        subpath: String,
    },
    /// `subpath` of a stack of layers, topmost first; resolved beneath the stack's root. Writes are discarded.
    Snapshot {
        lowers: Vec<PathBuf>,
        subpath: String,
    },
    Tmpfs {
        size: Option<u64>,
        mode: u32,
    },
    /// A file on a tmpfs with these bytes (secrets, scripts).
    Data {
        bytes: Vec<u8>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

/// What the process can reach.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Network {
    Host,
    /// A network of its own, with a way out but none to the host's loopback interface. Boxes of one launcher share it, see
    /// [`Launcher::start_connected`](crate::Launcher::start_connected).
    Private,
    /// Loopback only.
    None,
}

/// Docker's default profile, or `--security=insecure` / `--privileged`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Security {
    /// Capabilities, seccomp filter, masked and read-only paths as Docker's defaults. `no_new_privs` stays off so that
    /// set-uid tools of images work; it can be asked for.
    Default { no_new_privs: bool },
    /// All capabilities of the caller, no filter, nothing masked.
    Insecure,
}

/// A resource limit; one the kernel refuses to set stays as inherited.
#[derive(Clone, Copy, Debug)]
pub struct Rlimit {
    /// `RLIMIT_*`.
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// Which ids this process can give files and processes (design: the ladder of isolation).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Identity {
    /// Root of the initial user namespace, or of one with a full range.
    Root,
    /// Root of a user namespace with subordinate ids from `/etc/subuid`.
    SubordinateIds,
    /// Root of a user namespace that holds only the caller's own id.
    SingleId,
}
