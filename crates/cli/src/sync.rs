//! What a build, `load`, `import` or `pull` wrote comes to the disk in a process of its own, since nobody has to wait for that: it takes
//! from 10 ms to as long as the disk needs for all of the data. Until then a power loss costs what it would cost in the middle of the command.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::error::Failure;

/// The name this program has when it is executed again for it. Its argument is the directory of the store.
const NAME: &str = "kiln-sync";

/// Does it, if this process is that program.
pub(crate) fn init() -> Option<ExitCode> {
    let [name, root] = std::env::args_os().collect::<Vec<OsString>>().try_into().ok()?;
    // Nobody listens: what went wrong is kept in the store.
    (name == NAME).then(|| store::sync_left(Path::new(&root)).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

/// Begins to bring to the disk what this process wrote to the store at `root`, and left (`Store::leave_sync`).
pub(crate) fn begin(root: &Path) -> Result<(), Failure> {
    let mut command = Command::new("/proc/self/exe");
    // It outlives this process: it must not hold what others wait for, nor end with a terminal.
    command.arg0(NAME).arg(root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // This process ends before it, so nobody here has to wait.
    match command.current_dir("/").process_group(0).spawn() {
        Ok(_) => Ok(()),
        Err(_) => Ok(store::sync_left(root)?),
    }
}
