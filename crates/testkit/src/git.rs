//! Git repositories, and servers for them on 127.0.0.1.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A server for `git://`: `git daemon`, once for each connection. Requests end when the process does.
#[derive(Debug)]
pub struct GitServer {
    directory: TempDir,
    address: String,
}

/// A repository with a work tree. Commits have fixed times and authors, so that they have fixed names.
#[derive(Debug)]
pub struct Repository {
    path: PathBuf,
}

impl Default for GitServer {
    fn default() -> Self {
        Self::new()
    }
}

impl GitServer {
    /// Starts a server without repositories. `git` has to be installed.
    pub fn new() -> Self {
        Self::start(serve)
    }

    fn start(serve: impl Fn(TcpStream, &Path) + Send + 'static) -> Self {
        let directory = TempDir::new().expect("a directory");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let base = directory.path().to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(stream, &base);
            }
        });
        Self { directory, address }
    }

    /// Makes an empty repository with the branch `main`.
    pub fn repository(&self, name: &str) -> Repository {
        let path = self.directory.path().join(name);
        fs::create_dir_all(&path).expect("a directory");
        let repository = Repository { path };
        repository.git(&["init", "--quiet", "--template=", "--initial-branch=main"]);
        repository
    }

    /// Returns the address of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("git://{}/{name}", self.address)
    }

    /// Returns the directory with the repositories.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// A server for HTTP that wants a user and a password: `git http-backend`.
#[derive(Debug)]
pub struct GitHttpServer {
    server: GitServer,
}

impl GitHttpServer {
    /// Starts a server; `login` is `USER:PASSWORD` in base64.
    pub fn new(login: &'static str) -> Self {
        Self { server: GitServer::start(move |stream, base| serve_http(stream, base, login)) }
    }

    /// Makes an empty repository with the branch `main`.
    pub fn repository(&self, name: &str) -> Repository {
        self.server.repository(name)
    }

    /// Returns `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.server.address
    }
}

/// Answers one request.
fn serve_http(mut stream: TcpStream, base: &Path, login: &str) {
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        let of = |line: &String| {
            line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned())
        };
        lines.iter().find_map(of).unwrap_or_default()
    };
    if header("authorization") != format!("Basic {login}") {
        let _ = stream.write_all(
            b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
        return;
    }
    let request: Vec<&str> = lines.first().map(|line| line.split(' ').collect()).unwrap_or_default();
    let [method, target, _] = request[..] else { return };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut command = Command::new("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", base).env("GIT_HTTP_EXPORT_ALL", "1").env("PATH_INFO", path);
    command.env("QUERY_STRING", query).env("REQUEST_METHOD", method).env("CONTENT_TYPE", header("content-type"));
    command.env("GIT_PROTOCOL", header("git-protocol")).env("CONTENT_LENGTH", header("content-length"));
    command.env("HTTP_CONTENT_ENCODING", header("content-encoding"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git is installed");
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    let _ = reader.read_exact(&mut body);
    let _ = child.stdin.take().expect("a pipe").write_all(&body);
    let mut answer = Vec::new();
    let _ = child.stdout.take().expect("a pipe").read_to_end(&mut answer);
    let _ = child.wait();
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n");
    let _ = stream.write_all(&answer);
}

fn serve(stream: TcpStream, base: &Path) {
    let (Ok(input), Ok(output)) = (stream.try_clone(), stream.try_clone()) else { return };
    let mut child =
        daemon(base).stdin(OwnedFd::from(input)).stdout(OwnedFd::from(output)).spawn().expect("git is installed");
    std::thread::spawn(move || child.wait());
}

fn daemon(base: &Path) -> Command {
    let mut command = Command::new("git");
    command.args(["daemon", "--inetd", "--export-all", "--log-destination=none"]);
    command.arg(format!("--base-path={}", base.display()));
    command.stderr(Stdio::null());
    command
}

impl Repository {
    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file.
    pub fn file(&self, name: &str, content: &str) -> &Self {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, content).expect("a file");
        self
    }

    /// Commits all there is, and returns the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git, and returns what it printed.
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.path).args(arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
            command.env(format!("GIT_{role}_DATE"), "1700000000 +0000");
        }
        let output = command.stdin(Stdio::null()).output().expect("git is installed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}
