//! Commands for other machines: whether the kernel can execute them, and what to do if not.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dockerfile::{Diagnostic, Sources};
use image::Platform;
use plan::{Op, Plan, VertexId};
use sandbox::{ErrorKind, Io, Network, Rootfs, Security, Spec};
use store::Store;

use crate::error::Failure;
use crate::terminal;

/// Where the kernel says what it hands to which emulator.
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// Why commands for a platform cannot be executed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lack {
    /// Not an operating system that boxes have.
    System,
    /// Nobody executes such programs here.
    Handler,
    /// There is an emulator, but the kernel looks for it among the files of the image (binfmt_misc: without flag `F`).
    FixedHandler,
}

/// Ends the build before anything runs if a command that is to run is for a platform that this machine cannot execute.
/// `pending` tells which vertices have no known result: it is asked only if there is such a command.
pub(crate) fn check(
    plan: &Plan,
    store: &Store,
    sources: &Sources,
    pending: impl FnOnce() -> Result<Vec<VertexId>, Failure>,
) -> Result<(), Failure> {
    let lacking = lacking(plan, store)?;
    if lacking.is_empty() {
        return Ok(());
    }
    let mut drawn = BTreeMap::new();
    for id in pending()? {
        let vertex = &plan.vertices[id.index()];
        let Op::Run(run) = &vertex.op else { continue };
        let Some(lack) = lacking.get(&run.platform) else { continue };
        drawn.entry(&run.platform).or_insert_with(|| {
            let message = format!("a command for {} cannot run on this machine ({})", run.platform, Platform::host());
            let stage = format!("stage `{}` is for {}", vertex.stage, run.platform);
            let diagnostic = Diagnostic::error(vertex.span, message).label(stage);
            let diagnostic = lack.help(&run.platform).into_iter().fold(diagnostic, Diagnostic::help);
            diagnostic.render(sources, terminal::color())
        });
    }
    if drawn.is_empty() {
        return Ok(());
    }
    let platforms: Vec<String> = drawn.keys().map(|platform| platform.to_string()).collect();
    let excerpt: Vec<String> = drawn.into_values().collect();
    let message = format!("commands for {} cannot run here; nothing was run", platforms.join(", "));
    Err(Failure::new(message).excerpt(excerpt.join("\n\n")))
}

/// Says that an image is for another machine, if that may be why its command could not be executed.
pub(crate) fn explain(failure: Failure, platform: &Platform) -> Failure {
    let host = Platform::host();
    if !matches!(failure.code, 126 | 127) || platform.rank_for(&host).is_some() {
        return failure;
    }
    let failure = failure.help(format!("the image is for {platform}, this machine is {host}"));
    failure.help(Lack::Handler.emulate(platform))
}

/// Returns the platforms of commands that cannot be executed, and why.
fn lacking(plan: &Plan, store: &Store) -> Result<BTreeMap<Platform, Lack>, Failure> {
    let host = Platform::host();
    let mut known = BTreeMap::new();
    for vertex in &plan.vertices {
        let Op::Run(run) = &vertex.op else { continue };
        if run.platform.rank_for(&host).is_none() && !known.contains_key(&run.platform) {
            known.insert(run.platform.clone(), lack(&run.platform, store)?);
        }
    }
    Ok(known.into_iter().filter_map(|(platform, lack)| Some((platform, lack?))).collect())
}

/// Returns what this machine lacks to execute commands for a platform: it is tried.
fn lack(platform: &Platform, store: &Store) -> Result<Option<Lack>, Failure> {
    if platform.os != "linux" {
        return Ok(Some(Lack::System));
    }
    let Some(program) = program::program(&platform.architecture) else { return Ok(Some(Lack::Handler)) };
    let scratch = store.scratch()?;
    let path = scratch.path().join("program");
    fs::write(&path, program)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    let ended = sandbox::spawn(&spec(scratch.path()), Io::null()).and_then(|mut child| child.wait());
    Ok(match ended.map_err(|error| error.kind()) {
        Ok(exit) if exit.status.code() == 0 => None,
        Ok(_) | Err(ErrorKind::NotExecutable) => Some(Lack::Handler),
        Err(ErrorKind::NotFound) => Some(Lack::FixedHandler),
        // No box at all: the command itself will tell.
        Err(_) => None,
    })
}

/// A box with nothing but the program: an emulator that works there works in any image.
fn spec(root: &Path) -> Spec {
    Spec {
        rootfs: Rootfs::Directory { path: root.to_owned(), read_only: false },
        mounts: Vec::new(),
        argv: vec!["/program".to_owned()],
        env: Vec::new(),
        cwd: "/".to_owned(),
        user: String::new(),
        extra_groups: Vec::new(),
        hostname: "kiln".to_owned(),
        network: Network::None,
        security: Security::Default { no_new_privs: false },
        rlimits: Vec::new(),
        hosts: None,
        resolv_conf: None,
        shm_size: 1 << 20,
        terminal: None,
        init: false,
    }
}

impl Lack {
    fn help(self, platform: &Platform) -> [String; 2] {
        let natively = "do the work on this machine's platform: `FROM --platform=$BUILDPLATFORM`, and cross-compile for $TARGETPLATFORM";
        [self.emulate(platform), natively.to_owned()]
    }

    fn emulate(self, platform: &Platform) -> String {
        match self {
            Self::System => format!("no emulator makes {} out of Linux", platform.os),
            Self::Handler => format!(
                "let the kernel emulate it: install qemu-user-static and binfmt-support, or `docker run --privileged --rm tonistiigi/binfmt --install {}`",
                platform.architecture
            ),
            Self::FixedHandler => format!(
                "the emulator registered in {HANDLERS} is looked for inside the image: register it with the flag F (fix binary), as qemu-user-static with binfmt-support does"
            ),
        }
    }
}
