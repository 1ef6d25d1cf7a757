//! `kiln run`.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Args, ValueEnum};
use image::{ImageConfig, Platform};
use registry::Registry;
use runtime::{Options, Running, Volume};
use rustix::termios::{self, OptionalActions, Termios};
use sandbox::{Io, Launcher, Network, Signaler, Stdio, TerminalSize};
use signal_hook::consts::{SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use solver::{Contexts, LocalWorker, WorkerSettings};
use store::{LayerId, Store};

use super::enter_namespace;
use crate::emulation;
use crate::error::Failure;
use crate::resolve;
use crate::settings::{self, open_store, registry_options};
use crate::{signals, terminal};

/// Exit code when kiln itself failed, as docker has it.
const FAILED: u8 = 125;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Remove the container when it ends
    #[arg(long)]
    rm: bool,
    /// Hand stdin to the command
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Environment variable; without a value, from the environment (repeatable)
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// File or directory to show in the container (repeatable)
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    volume: Vec<String>,
    /// Directory to start in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User to run as
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Program to run in place of the image's ENTRYPOINT
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Network: the machine's, or none
    #[arg(long, value_enum, default_value_t = NetworkMode::Host)]
    network: NetworkMode,
    /// The container's files cannot be written to
    #[arg(long)]
    read_only: bool,
    /// Run under a minimal init that reaps processes and forwards signals
    #[arg(long)]
    init: bool,
    /// Name for the container
    #[arg(long)]
    name: Option<String>,
    /// Host name in the container
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Platform of the image [default: DOCKER_DEFAULT_PLATFORM, else this machine's]
    #[arg(long)]
    platform: Option<String>,
    #[command(flatten)]
    registry: resolve::RegistryArguments,
    /// The image, pulled when it is not in the store, and a command in place of its CMD. All that stands after the image goes
    /// to the container, options as well
    // One argument of many words: only so does what reads as an option of kiln belong to the command.
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"])]
    words: Vec<String>,
}

/// Options of `docker run` that take from a container what it would have, so that leaving them out is no answer.
const UNSUPPORTED: [(&[&str], &str); 9] = [
    (&["-d", "--detach"], "a container runs in the foreground; let the shell put it into the background"),
    (
        &["-p", "-P", "--publish", "--publish-all"],
        "a container has the network of this machine: its ports are there already",
    ),
    (&["--mount", "--tmpfs", "--volumes-from"], "give directories and files with --volume SOURCE:TARGET[:ro]"),
    (&["--env-file"], "give variables with --env"),
    (&["-l", "--label", "--label-file"], "containers have no labels"),
    (
        &[
            "-m",
            "--memory",
            "--memory-swap",
            "--cpus",
            "-c",
            "--cpu-shares",
            "--cpuset-cpus",
            "--pids-limit",
            "--ulimit",
        ],
        "a container has the limits of kiln itself: start kiln under those you want",
    ),
    (
        &["--privileged", "--cap-add", "--cap-drop", "--security-opt", "--device", "--gpus"],
        "containers have one set of privileges",
    ),
    (&["--restart"], "nothing watches over a container that has ended"),
    (&["--pull"], "an image that is not in the store is pulled; `kiln pull` fetches it anew"),
];

/// Says of an option of docker's that kiln has none like it, and why.
pub(super) fn unsupported(option: &str) -> Option<Failure> {
    let name = option.split('=').next().unwrap_or(option);
    let (_, why) = UNSUPPORTED.iter().find(|(names, _)| names.contains(&name))?;
    Some(Failure::new(format!("{name} is not supported: {why}")).code(FAILED))
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum NetworkMode {
    Host,
    None,
}

impl From<NetworkMode> for Network {
    fn from(mode: NetworkMode) -> Self {
        match mode {
            NetworkMode::Host => Self::Host,
            NetworkMode::None => Self::None,
        }
    }
}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        self.start(root).map_err(|failure| if failure.code == 1 { failure.code(FAILED) } else { failure })
    }

    fn start(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        if self.tty && !io::stdin().is_terminal() && self.interactive {
            return Err(Failure::new("the input device is not a terminal").help("leave -t away"));
        }
        let platform = settings::platform(self.platform.as_deref())?;
        enter_namespace()?;
        // Before there is any thread; its box is prepared while the image is looked up.
        let launcher = Launcher::start_for_one(self.network.into(), self.init)?;
        let store = open_store(root)?;
        // clap has seen to it that there is one.
        let image = self.words.first().map_or("", String::as_str);
        let (config, layers) = open_image(&store, image, platform, self.registry.mirrors.clone())?;
        let options = self.options()?;
        let running = Running::create(&store, image, &config, &layers, &options)?;
        // From here on the container itself keeps its layers: it may run for months, and collection need not wait.
        drop(store);
        let outcome = execute(&launcher, &running, self.interactive, self.tty);
        let outcome = outcome.map_err(|failure| emulation::explain(failure, &config.platform()));
        let code = match &outcome {
            Ok(code) => *code,
            Err(failure) => failure.code,
        };
        if self.rm {
            running.discard()?;
        } else {
            running.exited(code.into())?;
        }
        // It takes the mounts down meanwhile.
        drop(launcher);
        outcome.map(ExitCode::from)
    }

    fn options(&self) -> Result<Options, Failure> {
        let env = self.env.iter().filter_map(|text| match text.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => std::env::var(text).ok().map(|value| (text.clone(), value)),
        });
        Ok(Options {
            name: self.name.clone(),
            command: self.words.iter().skip(1).cloned().collect(),
            entrypoint: self.entrypoint.clone(),
            env: env.collect(),
            volumes: self.volume.iter().map(|v| volume(v)).collect::<Result<_, _>>()?,
            working_dir: self.workdir.clone(),
            user: self.user.clone(),
            hostname: self.hostname.clone(),
            network: self.network.into(),
            read_only: self.read_only,
            terminal: self.tty.then(|| screen_size().unwrap_or_default()),
            init: self.init,
            resolv_conf: std::fs::read("/etc/resolv.conf").unwrap_or_default(),
            ..Options::default()
        })
    }
}

/// Reads `SOURCE:TARGET[:OPTIONS]`.
fn volume(text: &str) -> Result<Volume, Failure> {
    let wrong = |why: &str| Failure::new(format!("--volume {text}: {why}"));
    let mut parts = text.split(':');
    let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
        return Err(wrong("expected SOURCE:TARGET[:ro]").help("anonymous volumes are not supported yet"));
    };
    let mut read_only = false;
    for option in parts.flat_map(|o| o.split(',')) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            other => return Err(wrong(&format!("option `{other}` is not supported"))),
        }
    }
    if !target.starts_with('/') {
        return Err(wrong("the target must be an absolute path"));
    }
    if !source.starts_with('/') && !source.starts_with('.') {
        return Err(wrong("named volumes are not supported yet").help("give a path: ./DIR or /DIR"));
    }
    let source = std::path::absolute(source).map_err(|e| Failure::from_error(&e))?;
    if !source.exists() {
        std::fs::create_dir_all(&source)
            .map_err(|e| Failure::from_error(&e).context(format!("failed to create {}", source.display())))?;
    }
    Ok(Volume { source, target: target.to_owned(), read_only })
}

/// Finds the image, in a registry if it is not here, and has its layers unpacked. What was built here is run as it is, packed
/// or not.
fn open_image(
    store: &Store,
    text: &str,
    platform: Option<Platform>,
    mirrors: Vec<(String, String)>,
) -> Result<(ImageConfig, Vec<LayerId>), Failure> {
    let registry = Registry::new(registry_options(mirrors));
    let contexts = Contexts::default();
    let worker = LocalWorker::new(store, &registry, &contexts, WorkerSettings::default())?;
    let explicit_platform = platform.is_some();
    if let Some((name, image)) = resolve::built(store, text, platform.as_ref())? {
        warn_of_platform(&image.config, explicit_platform);
        let base = image.base.map(|base| resolve::base_of(store, name, base)).transpose()?;
        let mut layers = base.map_or_else(|| Ok(Vec::new()), |base| worker.materialize(&base))?;
        layers.extend(image.layers);
        return Ok((image.config, layers));
    }
    let image = resolve::local_or_pull(store, &registry, text, platform)?;
    warn_of_platform(&image.config, explicit_platform);
    let layers = worker.materialize(&image.as_base())?;
    Ok((image.config, layers))
}

/// Says that an image is not for this machine, unless that was asked for: an emulator may run it, slowly.
fn warn_of_platform(config: &ImageConfig, explicit: bool) {
    let (platform, host) = (config.platform(), Platform::host());
    if !explicit && platform.rank_for(&host).is_none() {
        terminal::note(&format!(
            "warning: the image's platform ({platform}) does not match this machine's ({host}), and no --platform was given"
        ));
    }
}

/// Runs the container in the foreground and returns its exit code.
fn execute(launcher: &Launcher, running: &Running, interactive: bool, tty: bool) -> Result<u8, Failure> {
    let stdin = if interactive { Stdio::Inherit } else { Stdio::Null };
    let io = if tty { Io::null() } else { Io { stdin, stdout: Stdio::Inherit, stderr: Stdio::Inherit } };
    let target = Arc::new(Mutex::new(Target::default()));
    let forwarding = forward(&target)?;
    let mut child =
        launcher.spawn(running.spec(), io).map_err(|error| Failure::from_error(&error).code(error.exit_code()))?;
    let terminal = child.terminal().map(|terminal| terminal.try_clone_to_owned()).transpose()?;
    let screen = terminal.as_ref().map(|terminal| Screen::attach(terminal, interactive)).transpose()?;
    target.lock().unwrap_or_else(PoisonError::into_inner).started(child.signaler(), terminal);
    let exit = child.wait()?;
    drop((forwarding, child, screen));
    Ok(u8::try_from(exit.status.code() & 0xff).unwrap_or(u8::MAX))
}

/// The command that signals are for, and what came before it had started.
#[derive(Default)]
struct Target {
    child: Option<(Signaler, Option<OwnedFd>)>,
    waiting: Vec<i32>,
}

impl Target {
    /// Hands a signal on; the size of the terminal too.
    fn take(&mut self, signal: i32) {
        match &self.child {
            Some((_, Some(terminal))) if signal == SIGWINCH => resize(terminal),
            // The command may just have ended; then there is nobody to tell.
            Some((child, _)) => drop(child.signal(signal)),
            None => self.waiting.push(signal),
        }
    }

    fn started(&mut self, child: Signaler, terminal: Option<OwnedFd>) {
        self.child = Some((child, terminal));
        for signal in std::mem::take(&mut self.waiting) {
            self.take(signal);
        }
    }
}

/// Forwards the caller's signals. It has to begin before the command does: a signal in between would end kiln alone.
fn forward(target: &Arc<Mutex<Target>>) -> Result<signals::Guard, Failure> {
    let target = Arc::clone(target);
    let forwarded = [SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH];
    signals::on(&forwarded, move |signal| target.lock().unwrap_or_else(PoisonError::into_inner).take(signal))
}

/// The size of the caller's terminal, if there is one.
fn screen_size() -> Option<TerminalSize> {
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    Some(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}

fn resize(terminal: &OwnedFd) {
    if let Ok(size) = termios::tcgetwinsize(io::stdout()) {
        // A terminal that cannot be resized keeps its size.
        let _ = termios::tcsetwinsize(terminal, size);
    }
}

/// The caller's terminal while it belongs to the container: raw, and put back on drop.
struct Screen {
    saved: Option<Termios>,
    output: Option<std::thread::JoinHandle<()>>,
}

impl Screen {
    fn attach(terminal: &OwnedFd, interactive: bool) -> Result<Self, Failure> {
        let master = terminal.try_clone()?;
        let mut saved = None;
        if interactive {
            saved = make_raw()?;
            let mut input = std::fs::File::from(master.try_clone()?);
            std::thread::spawn(move || copy(&mut io::stdin().lock(), &mut input));
        }
        let mut source = std::fs::File::from(master);
        let output = std::thread::spawn(move || copy(&mut source, &mut io::stdout().lock()));
        Ok(Self { saved, output: Some(output) })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(output) = self.output.take() {
            // Ends when the last process of the container has closed the terminal.
            let _ = output.join();
        }
        if let Some(saved) = &self.saved {
            // The terminal may be gone; nothing is left to restore then.
            let _ = termios::tcsetattr(io::stdin().as_fd(), OptionalActions::Flush, saved);
        }
    }
}

fn make_raw() -> Result<Option<Termios>, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(None);
    }
    let saved = termios::tcgetattr(&stdin)?;
    let mut raw = saved.clone();
    raw.make_raw();
    termios::tcsetattr(&stdin, OptionalActions::Flush, &raw)?;
    Ok(Some(saved))
}

/// Copies as it comes until one side ends; the other end of a pty reports EIO when it is closed.
fn copy(from: &mut dyn Read, to: &mut dyn Write) {
    let mut buffer = [0; 16 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                if to.write_all(&buffer[..n]).and_then(|()| to.flush()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_paths_with_options() {
        let read = volume("/:/data:ro").expect("a volume");
        assert_eq!(read, Volume { source: "/".into(), target: "/data".into(), read_only: true });
        for text in ["/a", "data:/x", "/:data", "/:/data:z"] {
            assert!(volume(text).is_err(), "{text}");
        }
    }
}
