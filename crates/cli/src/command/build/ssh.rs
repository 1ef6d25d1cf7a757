//! `--ssh`: the agents that commands may ask, and one of the build's own for keys in files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use store::{Scratch, Store};

use crate::error::Failure;
use crate::settings;

const VARIABLE: &str = "SSH_AUTH_SOCK";
const SOCKET: &str = "keys.sock";

/// Where agents come from, by id.
#[derive(Debug, Default)]
pub(crate) struct AgentSources(BTreeMap<String, Source>);

#[derive(Debug, Eq, PartialEq)]
enum Source {
    Socket(PathBuf),
    Keys(Vec<PathBuf>),
}

impl AgentSources {
    /// Checks the flags: `ID[=SOCKET|KEY[,KEY...]]`.
    pub(crate) fn parse(flags: &[String]) -> Result<Self, Failure> {
        let mut sources = BTreeMap::new();
        for flag in flags {
            let (id, paths) = flag.split_once('=').map_or((flag.as_str(), ""), |(id, paths)| (id, paths));
            let id = if id.is_empty() { "default" } else { id };
            let wrong = |why: String| Failure::new(format!("--ssh {flag}: {why}")).code(2);
            let source = if paths.is_empty() { from_environment() } else { from_paths(paths) };
            if sources.insert(id.to_owned(), source.map_err(wrong)?).is_some() {
                return Err(wrong(format!("the id {id} is given twice")));
            }
        }
        Ok(Self(sources))
    }

    /// Starts an agent for each list of keys.
    pub(crate) fn start(&self, store: &Store) -> Result<Agents, Failure> {
        let mut agents = Agents::default();
        for (id, source) in &self.0 {
            let socket = match source {
                Source::Socket(path) => path.clone(),
                Source::Keys(keys) => {
                    let agent = OwnAgent::start(store, id, keys)?;
                    let socket = agent.scratch.path().join(SOCKET);
                    agents.own.push(agent);
                    socket
                }
            };
            agents.sockets.insert(id.clone(), socket);
        }
        Ok(agents)
    }
}

fn from_environment() -> Result<Source, String> {
    let path = settings::non_empty(VARIABLE).ok_or(format!("there is no agent: {VARIABLE} is not set"))?;
    from_paths(&path).and_then(|source| match source {
        Source::Socket(_) => Ok(source),
        Source::Keys(_) => Err(format!("{VARIABLE} is {path}, which is no socket")),
    })
}

fn from_paths(text: &str) -> Result<Source, String> {
    let paths: Vec<PathBuf> = text.split(',').map(PathBuf::from).collect();
    let mut sockets = 0;
    for path in &paths {
        let metadata = fs::metadata(path).map_err(|error| format!("failed to read {}: {error}", path.display()))?;
        sockets += usize::from(metadata.file_type().is_socket());
        if metadata.is_dir() {
            return Err(format!("{} is a directory: expected a socket or a private key", path.display()));
        }
    }
    match (sockets, paths.as_slice()) {
        (0, _) => Ok(Source::Keys(paths)),
        (1, [path]) => Ok(Source::Socket(path.clone())),
        _ => Err("expected one socket, or keys alone".to_owned()),
    }
}

/// The agents of a build. Those it started end with the value.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    sockets: BTreeMap<String, PathBuf>,
    own: Vec<OwnAgent>,
}

impl Agents {
    pub(crate) fn sockets(&self) -> BTreeMap<String, PathBuf> {
        self.sockets.clone()
    }
}

/// An `ssh-agent` that lives as long as a pipe to it is open: it ends with this process, however that ends.
#[derive(Debug)]
struct OwnAgent {
    /// The shell whose end is the agent's.
    child: Child,
    scratch: Scratch,
}

/// Waits for the pipe to close.
const KEEPER: &str = "echo; read -r _; kill \"$SSH_AGENT_PID\"";

impl OwnAgent {
    fn start(store: &Store, id: &str, keys: &[PathBuf]) -> Result<Self, Failure> {
        let scratch = store.scratch().map_err(|error| Failure::from_error(&error))?;
        let mut command = Command::new("ssh-agent");
        // A relative name: those of sockets are short.
        command.args(["-a", SOCKET, "sh", "-c", KEEPER]).current_dir(scratch.path());
        // Ctrl-C is for the build, which ends the agent.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().map_err(|error| no_program(id, "ssh-agent", &error))?;
        let mut agent = Self { child, scratch };
        let mut line = String::new();
        let said = agent.child.stdout.take().map(|out| BufReader::new(out.take(1)).read_line(&mut line));
        if !matches!(said, Some(Ok(1..))) {
            return Err(Failure::new(format!("--ssh {id}: ssh-agent does not start")));
        }
        keys.iter().try_for_each(|key| agent.add(id, key))?;
        Ok(agent)
    }

    /// Gives it a key, through a pipe: what permissions the file has is not asked, as with buildx.
    fn add(&self, id: &str, key: &Path) -> Result<(), Failure> {
        let file = File::open(key)
            .map_err(|error| Failure::new(format!("--ssh {id}: failed to read {}: {error}", key.display())))?;
        let mut command = Command::new("ssh-add");
        command.args(["-q", "-"]).current_dir(self.scratch.path()).env(VARIABLE, SOCKET);
        // Nobody is asked for a passphrase.
        command.env("SSH_ASKPASS", "false").env("SSH_ASKPASS_REQUIRE", "force").stdin(file);
        let output = command.output().map_err(|error| no_program(id, "ssh-add", &error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("it is no private key, or it has a passphrase").to_owned();
        let failure = Failure::new(format!("--ssh {id}: the key {} cannot be used: {said}", key.display()));
        Err(failure.help(format!("add a key that has a passphrase to your agent with ssh-add, and say --ssh {id}")))
    }
}

impl Drop for OwnAgent {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn no_program(id: &str, program: &str, error: &io::Error) -> Failure {
    let failure = Failure::new(format!("--ssh {id}: keys in files need {program}, which cannot be started: {error}"));
    failure.help("install the package `openssh-client`")
}
