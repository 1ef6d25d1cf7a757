//! `RUN --mount=type=ssh`: a real agent, asked by a real client in the box.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::environment::{Ran, TestEnv, ran, tool};

/// An agent of the test's own.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(env: &TestEnv) -> Self {
        let socket = env.path("own.sock");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null());
        let child = command.spawn().expect("ssh-agent starts");
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Self { child, socket }
    }

    fn add(&self, key: &Path) {
        tool(Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a private key, and returns where it is and its fingerprint.
fn key(env: &TestEnv, name: &str, passphrase: &str) -> (PathBuf, String) {
    let path = env.path(name);
    tool(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-C", name, "-N", passphrase, "-f"]).arg(&path));
    let shown = tool(Command::new("ssh-keygen").arg("-lf").arg(&path));
    (path, shown.split(' ').nth(1).expect("a fingerprint").to_owned())
}

/// An environment whose context has this machine's `ssh-add`, with what it is linked to.
fn with_client() -> TestEnv {
    let env = TestEnv::with_busybox();
    let libraries = tool(Command::new("ldd").arg("/usr/bin/ssh-add"));
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    for path in libraries.chain(["/usr/bin/ssh-add"]).map(Path::new) {
        let name = path.file_name().expect("a name").to_str().expect("UTF-8");
        let name = if name.starts_with("ld-linux") { "loader" } else { name };
        env.file(&format!("ssh/{name}"), std::fs::read(path).expect("a library"));
    }
    env
}

/// Lists the keys that an agent has.
const LIST: &str = "/ssh/loader --library-path /ssh /ssh/ssh-add -l";

/// A Dockerfile whose last command has `mounts` and the client.
fn dockerfile(mounts: &str, command: &str) -> String {
    let command = command.replace("LIST", LIST);
    format!(
        "FROM busybox\nCOPY --chmod=755 ssh /ssh\nRUN {mounts} {command}\n\
        RUN test ! -e /run/buildkit && test ! -e /etc/deep && test -z \"$SSH_AUTH_SOCK\"\n"
    )
}

fn build(env: &TestEnv, dockerfile: &str, flags: &[&str], agent: Option<&Path>) -> Ran {
    env.file("Dockerfile", dockerfile);
    let arguments = [&["build", "--progress=plain", "-t", "test", "--no-cache"], flags, &["."]].concat();
    let mut command = env.command(arguments);
    match agent {
        Some(agent) => command.env("SSH_AUTH_SOCK", agent),
        None => command.env_remove("SSH_AUTH_SOCK"),
    };
    ran(command.stdin(Stdio::null()).output().expect("kiln starts"))
}

#[test]
fn a_command_asks_the_agent_of_the_caller() {
    let env = with_client();
    let agent = Agent::start(&env);
    let (path, fingerprint) = key(&env, "mine", "");
    agent.add(&path);
    let seen = "stat -c '%a %u:%g %F' $SSH_AUTH_SOCK > /seen && echo $SSH_AUTH_SOCK >> /seen && LIST >> /seen";
    let dockerfile = dockerfile("--mount=type=ssh", seen);
    build(&env, &dockerfile, &["--ssh", "default"], Some(&agent.socket)).ok();
    let seen = env.sh("cat /seen");
    assert!(seen.starts_with("600 0:0 socket\n/run/buildkit/ssh_agent.0\n"), "{seen}");
    assert!(seen.contains(&fingerprint), "{seen}");
    // A path instead of the variable, under the same id.
    let socket = format!("default={}", agent.socket.display());
    build(&env, &dockerfile, &["--ssh", &socket], None).ok();
    assert!(env.sh("cat /seen").contains(&fingerprint));
}

#[test]
fn sockets_have_places_and_owners_and_several_connections() {
    let env = with_client();
    let agent = Agent::start(&env);
    let (path, fingerprint) = key(&env, "mine", "");
    agent.add(&path);
    let mounts = "--mount=type=ssh,id=a,target=/etc/deep/sock,mode=0666,uid=7,gid=8 --mount=type=ssh,id=a";
    let many = "stat -c '%a %u:%g' /etc/deep/sock /run/buildkit/ssh_agent.1 > /seen && echo $SSH_AUTH_SOCK >> /seen && \
        for i in 1 2 3 4 5 6 7 8; do LIST > /$i & done; wait; LIST; cat /1 /2 /3 /4 /5 /6 /7 /8 >> /seen";
    let socket = format!("a={}", agent.socket.display());
    build(&env, &dockerfile(mounts, many), &["--ssh", &socket], None).ok();
    let seen = env.sh("cat /seen");
    assert!(seen.starts_with("666 7:8\n600 0:0\n/etc/deep/sock\n"), "{seen}");
    assert_eq!(seen.matches(&fingerprint).count(), 8, "{seen}");
    // A variable of the image stays as it is.
    let own = "FROM busybox\nENV SSH_AUTH_SOCK=/mine\nRUN --mount=type=ssh,id=a test $SSH_AUTH_SOCK = /mine\n";
    build(&env, own, &["--ssh", &socket], None).ok();
}

#[test]
fn keys_in_files_get_an_agent_that_ends_with_the_build() {
    let env = with_client();
    let ((one, first), (two, second)) = (key(&env, "one", ""), key(&env, "two", ""));
    let keys = format!("deploy={},{}", one.display(), two.display());
    let dockerfile = dockerfile("--mount=type=ssh,id=deploy,required", "LIST > /seen");
    build(&env, &dockerfile, &["--ssh", &keys], None).ok();
    let seen = env.sh("cat /seen");
    assert!(seen.contains(&first) && seen.contains(&second), "{seen}");
    let left = tool(Command::new("find").arg(env.store()).args(["-name", "*.sock"]));
    assert_eq!(left, "");
    let private = std::fs::read_to_string(&one).expect("a key");
    let line = private.lines().nth(3).expect("base64");
    let found = Command::new("grep").args(["-rlF", line]).arg(env.store()).output().expect("grep starts");
    assert_eq!(found.status.code(), Some(1), "{}", String::from_utf8_lossy(&found.stdout));
    let (locked, _) = key(&env, "locked", "passphrase");
    let keys = format!("deploy={}", locked.display());
    build(&env, &dockerfile, &["--ssh", &keys], None).fails(1, &["the key", "locked cannot be used", "passphrase"]);
    std::fs::write(env.path("no-key"), "nothing\n").expect("a file");
    let keys = format!("deploy={}", env.path("no-key").display());
    build(&env, &dockerfile, &["--ssh", &keys], None).fails(1, &["no-key cannot be used"]);
}

#[test]
fn an_agent_that_is_not_given() {
    let env = TestEnv::with_busybox();
    let agent = Agent::start(&env);
    let optional = "FROM busybox\nRUN --mount=type=ssh test ! -e /run/buildkit\n";
    // Without the flag nothing is handed on.
    build(&env, optional, &[], Some(&agent.socket)).ok();
    let required = "FROM busybox\nRUN --mount=type=ssh,id=a,required true\n";
    let says = ["SSH agent a: not found", "Dockerfile:2:13", "give it with --ssh a"];
    build(&env, required, &["--ssh", "default"], Some(&agent.socket)).fails(1, &says);
    let wrong = |flags: &[&str], why: &str| drop(build(&env, optional, flags, None).fails(2, &[why]));
    wrong(&["--ssh", "default"], "SSH_AUTH_SOCK is not set");
    wrong(&["--ssh", "default=/nowhere"], "failed to read /nowhere");
    wrong(&["--ssh", "a=/"], "expected a socket or a private key");
    let socket = agent.socket.display();
    wrong(&["--ssh", &format!("a={socket},{socket}")], "expected one socket, or keys alone");
    wrong(&["--ssh", &format!("a={socket}"), "--ssh", &format!("a={socket}")], "the id a is given twice");
}

#[test]
fn an_agent_that_is_gone_ends_the_connection() {
    let env = with_client();
    let agent = Agent::start(&env);
    let socket = format!("default={}", env.path("stays.sock").display());
    std::fs::rename(&agent.socket, env.path("stays.sock")).expect("renamed");
    drop(agent);
    // A command that asks is told, or killed by the end of the pipe; it does not wait.
    let refused = dockerfile("--mount=type=ssh", "test -S $SSH_AUTH_SOCK && ! LIST");
    build(&env, &refused, &["--ssh", &socket], None).ok();
}
