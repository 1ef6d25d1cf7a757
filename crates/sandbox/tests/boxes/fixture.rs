//! A root file system, the ways to be somebody, and how a box is run and listened to.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use sandbox::{Child, Error, Exit, Identity, Io, Launcher, Network, Rootfs, Security, Spec, Status, userns};

const BUSYBOX: &str = "/bin/busybox";
const USER: &str = "kiln-test";
/// Says in which mode this process, or the one it re-executes itself as, runs the tests.
const VARIABLE: &str = "KILN_BOXES_MODE";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Root,
    Subordinate,
    Single,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Subordinate => "subordinate",
            Self::Single => "single",
        })
    }
}

/// The mode this process was started for, entering the user namespace of that mode first.
pub(crate) fn mode_of_this_process() -> Option<Mode> {
    let (mode, identity) = match std::env::var(VARIABLE).ok()?.as_str() {
        "root" => return Some(Mode::Root),
        "subordinate" => (Mode::Subordinate, Identity::SubordinateIds),
        _ => (Mode::Single, Identity::SingleId),
    };
    if userns::needs_entering() {
        let report = userns::probe();
        let rung = report.rungs.iter().find(|rung| rung.identity == identity).unwrap();
        if let Some(obstacle) = &rung.obstacle {
            skip(mode, &chain(obstacle));
            std::process::exit(if required() { 1 } else { 0 });
        }
        let Err(error) = userns::enter(Some(identity));
        panic!("possible, according to the probe, but: {}", chain(&error));
    }
    assert_eq!(userns::identity(), identity);
    Some(mode)
}

fn required() -> bool {
    std::env::var_os("REQUIRE_USERNS").is_some_and(|value| value == "1")
}

fn skip(mode: Mode, why: &str) {
    println!("test {mode}::* ... skipped: {why}");
}

/// Runs this program once for each mode.
pub(crate) fn run_in_every_mode() -> bool {
    if !Path::new(BUSYBOX).exists() {
        println!("test * ... skipped: {BUSYBOX} is not installed (package busybox-static)");
        return !required();
    }
    let root = !userns::needs_entering();
    let mut good = true;
    for mode in [Mode::Root, Mode::Subordinate, Mode::Single] {
        if mode == Mode::Root && !root {
            skip(mode, "not root");
            continue;
        }
        let mut command = Command::new("/proc/self/exe");
        command.args(std::env::args_os().skip(1)).env(VARIABLE, mode.to_string());
        if mode != Mode::Root && root {
            let Some((uid, gid)) = test_user() else {
                skip(mode, "no user to become (useradd failed)");
                good &= !required();
                continue;
            };
            command.uid(uid).gid(gid).env("USER", USER).env("HOME", "/").current_dir("/");
        }
        good &= command.status().unwrap().success();
    }
    good
}

/// The ids of an unprivileged user with subordinate ids, who is made if missing.
fn test_user() -> Option<(u32, u32)> {
    let id = || {
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let line = passwd.lines().find(|line| line.split(':').next() == Some(USER))?.to_owned();
        let mut ids = line.split(':').skip(2).map(|field| field.parse().ok());
        Some((ids.next()??, ids.next()??))
    };
    if id().is_none() {
        let _ = Command::new("useradd").args(["--system", "--user-group", "--no-create-home", USER]).status();
    }
    for (file, option) in [("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")] {
        let known = fs::read_to_string(file).unwrap_or_default();
        if !known.lines().any(|line| line.starts_with(&format!("{USER}:"))) {
            let _ = Command::new("usermod").args([option, "900000-965535", USER]).status();
        }
    }
    id()
}

/// What the tests of one mode share.
pub(crate) struct Fixture {
    pub(crate) mode: Mode,
    pub(crate) launcher: Launcher,
    dir: tempfile::TempDir,
    count: AtomicU32,
}

/// What a finished box has said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: Status,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) exit: Exit,
}

impl Fixture {
    pub(crate) fn new(mode: Mode) -> Self {
        let dir = tempfile::Builder::new().prefix("boxes").tempdir_in("/tmp").unwrap();
        let fixture = Self { mode, launcher: Launcher::start().unwrap(), dir, count: AtomicU32::new(0) };
        fixture.make_base();
        fixture
    }

    /// A layer with busybox under all its names, and a few users.
    fn make_base(&self) {
        let base = self.base();
        for dir in ["bin", "etc", "tmp", "root", "proc", "dev", "sys", "suid"] {
            fs::create_dir_all(base.join(dir)).unwrap();
        }
        fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::copy(BUSYBOX, base.join("bin/busybox")).unwrap();
        let list = Command::new(BUSYBOX).arg("--list").output().unwrap();
        for name in String::from_utf8(list.stdout).unwrap().lines().filter(|name| *name != "busybox") {
            symlink("busybox", base.join("bin").join(name)).unwrap();
        }
        // Root without a password, for a set-user-id su.
        fs::copy(BUSYBOX, base.join("suid/su")).unwrap();
        fs::set_permissions(base.join("suid/su"), fs::Permissions::from_mode(0o4755)).unwrap();
        let passwd = "root::0:0:root:/root:/bin/sh\napp:x:1000:1000:App:/home/app:/bin/sh\n";
        fs::write(base.join("etc/passwd"), passwd).unwrap();
        fs::write(base.join("etc/group"), "root:x:0:\napp:x:1000:\nwheel:x:10:app,root\nstaff:x:50:\n").unwrap();
    }

    /// The one layer of most boxes.
    pub(crate) fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    /// A new directory.
    pub(crate) fn directory(&self) -> PathBuf {
        let path = self.dir.path().join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&path).unwrap();
        path
    }

    /// A box that runs `script`, on a new upper.
    pub(crate) fn shell(&self, script: &str) -> Spec {
        self.command(&["/bin/sh", "-c", script])
    }

    /// A box that runs a command, on a new upper.
    pub(crate) fn command(&self, argv: &[&str]) -> Spec {
        Spec {
            rootfs: Rootfs::Overlay {
                lowers: vec![self.base()],
                upper: self.directory(),
                work: self.directory(),
                read_only: false,
            },
            mounts: Vec::new(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            cwd: "/".into(),
            user: String::new(),
            extra_groups: Vec::new(),
            hostname: "box".into(),
            network: Network::Host,
            security: Security::Default { no_new_privs: false },
            rlimits: Vec::new(),
            hosts: None,
            resolv_conf: None,
            shm_size: 64 << 20,
            terminal: None,
            init: false,
        }
    }

    /// Starts a box without input and output.
    pub(crate) fn spawn(&self, spec: &Spec) -> Child {
        self.launcher.spawn(spec, Io::null()).unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    /// Runs a box to its end.
    pub(crate) fn run(&self, spec: &Spec) -> Output {
        self.try_run(spec).unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    pub(crate) fn try_run(&self, spec: &Spec) -> Result<Output, Error> {
        let (stdout, stdout_there) = std::io::pipe().unwrap();
        let (stderr, stderr_there) = std::io::pipe().unwrap();
        let io = Io {
            stdin: sandbox::Stdio::Null,
            stdout: OwnedFd::from(stdout_there).into(),
            stderr: OwnedFd::from(stderr_there).into(),
        };
        let mut child = self.launcher.spawn(spec, io)?;
        let read = |mut from: std::io::PipeReader| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                from.read_to_end(&mut bytes).unwrap();
                String::from_utf8(bytes).unwrap()
            })
        };
        let (stdout, stderr) = (read(stdout), read(stderr));
        let exit = child.wait()?;
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        Ok(Output { status: exit.status, stdout, stderr, exit })
    }

    /// Runs a script and returns what it printed, trimmed; it must succeed and be silent on standard error.
    #[track_caller]
    pub(crate) fn says(&self, script: &str) -> String {
        self.run(&self.shell(script)).good()
    }
}

impl Output {
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert!(self.status.success() && self.stderr.is_empty(), "{self:#?}");
        self.stdout.trim_end().to_owned()
    }
}

/// The upper directory of a box.
pub(crate) fn upper(spec: &Spec) -> &Path {
    match &spec.rootfs {
        Rootfs::Overlay { upper, .. } => upper,
        Rootfs::Directory { path, .. } => path,
    }
}

/// Everything below `dir`, relative and sorted.
pub(crate) fn tree(dir: &Path) -> Vec<String> {
    fn add(dir: &Path, base: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() && !path.is_symlink() {
                add(&path, base, found);
            }
        }
    }
    let mut found = Vec::new();
    add(dir, dir, &mut found);
    found.sort();
    found
}

/// An error with all it was caused by.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
