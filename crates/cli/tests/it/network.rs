//! What a `RUN` can reach, and what it may do.

use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::environment::{TestEnv, ran};

const WARNING: &str = "warning: RUN uses the network of this machine";

/// Whether this machine can connect private networks: `kiln info` says so, or what is missing.
fn is_private(env: &TestEnv) -> bool {
    let info = env.kiln(["info"]).ok().stdout;
    let line = info.lines().find(|line| line.starts_with("Network:")).expect("a line").to_owned();
    line.ends_with("private")
}

/// Whether a process is in the network namespace `net:[…]`.
fn inhabited(namespace: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let namespaces = processes.filter_map(|process| std::fs::read_link(process.path().join("ns/net")).ok());
    namespaces.into_iter().any(|found| found.as_os_str() == namespace)
}

/// What is in the namespace was killed, but the kernel may not be done with it.
fn wait_for_end_of(namespace: &str) {
    while inhabited(namespace) {
        std::thread::yield_now();
    }
}

#[test]
fn a_private_network_does_not_reach_loopback_of_the_host() {
    let env = TestEnv::with_busybox();
    if !is_private(&env) {
        return without_pasta(&env);
    }
    let server = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let everywhere = TcpListener::bind("0.0.0.0:0").expect("a socket");
    let port = server.local_addr().expect("an address").port();
    let wide = everywhere.local_addr().expect("an address").port();
    let built = env.build(&format!(
        "FROM busybox\n\
         RUN readlink /proc/self/ns/net >/first; ip link >/dev/null; ls /sys/class/net | grep -v lo\n\
         RUN readlink /proc/self/ns/net >/second; gateway=$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'); \\\n\
         \x20   own=$(ip -4 -o addr show scope global | sed 's/.*inet \\([^/]*\\).*/\\1/'); \\\n\
         \x20   test -n \"$gateway\" && test -n \"$own\" || exit 3; \\\n\
         \x20   for address in 127.0.0.1 $gateway $own; do for port in {port} {wide}; do \\\n\
         \x20       ! nc -w 1 $address $port </dev/null || {{ echo reached $address; exit 1; }}; done; done\n\
         RUN --network=none readlink /proc/self/ns/net >/third\n"
    ));
    let built = built.ok();
    assert!(!built.stderr.contains(WARNING), "{}", built.stderr);
    let namespaces = env.sh("cat /first /second /third");
    let [first, second, third] = namespaces.lines().collect::<Vec<_>>()[..] else { panic!("{namespaces}") };
    assert_eq!(first, second);
    assert_ne!(first, third);
    wait_for_end_of(first);
}

#[test]
fn steps_that_begin_at_once_all_wait_for_the_network() {
    let env = TestEnv::with_busybox();
    let stages: String = (0..6).map(|n| format!("FROM busybox AS s{n}\nRUN ip addr | grep -c inet >/{n}\n")).collect();
    let copies: String = (0..6).map(|n| format!("COPY --from=s{n} /{n} /\n")).collect();
    env.build(&format!("{stages}FROM busybox\n{copies}")).ok();
    let counts = env.sh("cat /0 /1 /2 /3 /4 /5");
    assert!(counts.lines().all(|count| count == counts.lines().next().unwrap_or_default()), "{counts}");
}

#[test]
fn a_build_that_is_killed_takes_its_network_along() {
    let env = TestEnv::with_busybox();
    if !is_private(&env) {
        return without_pasta(&env);
    }
    env.file("Dockerfile", "FROM busybox\nRUN readlink /proc/self/ns/net && sleep 1000\n");
    let mut command = env.command(["build", "--progress=plain", "."]);
    let mut kiln = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("kiln starts");
    let mut said = String::new();
    let mut pipe = kiln.stderr.take().expect("a pipe");
    let mut buffer = [0; 256];
    let namespace = loop {
        let count = pipe.read(&mut buffer).expect("output");
        assert_ne!(count, 0, "{said}");
        said += &String::from_utf8_lossy(&buffer[..count]);
        if let Some((namespace, _)) = said.split_once("net:[").and_then(|(_, rest)| rest.split_once(']')) {
            break format!("net:[{namespace}]");
        }
    };
    assert!(inhabited(&namespace));
    kiln.kill().expect("a signal");
    kiln.wait().expect("an end");
    wait_for_end_of(&namespace);
}

/// A directory for `PATH` with a `pasta` of this text, and what else a build needs.
fn tools(env: &TestEnv, pasta: Option<&str>) -> PathBuf {
    let tools = env.path("tools");
    std::fs::create_dir(&tools).expect("a directory");
    for tool in ["newuidmap", "newgidmap"] {
        let _ = std::os::unix::fs::symlink(PathBuf::from("/usr/bin").join(tool), tools.join(tool));
    }
    if let Some(text) = pasta {
        let program = tools.join("pasta");
        std::fs::write(&program, format!("#!/bin/sh\n{text}\n")).expect("a file");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    }
    tools
}

#[test]
fn a_pasta_that_fails_is_done_without() {
    let env = TestEnv::with_busybox();
    let stages: String =
        (0..3).map(|n| format!("FROM busybox AS s{n}\nRUN ip link; readlink /proc/self/ns/net >/{n}\n")).collect();
    let copies: String = (0..3).map(|n| format!("COPY --from=s{n} /{n} /\n")).collect();
    env.file("Dockerfile", format!("{stages}FROM busybox\n{copies}RUN ls / >/last\n"));
    let tools = tools(&env, Some("echo Sorry, no route. >&2; exit 1"));
    let mut command = env.command(["build", "--progress=plain", "-t", "test", "."]);
    let built = ran(command.env("PATH", &tools).output().expect("kiln starts")).ok();
    assert_eq!(built.stderr.matches(WARNING).count(), 1, "{}", built.stderr);
    if is_private(&env) {
        assert!(built.stderr.contains("pasta failed: Sorry, no route."), "{}", built.stderr);
    }
    let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    assert!(env.sh("cat /0 /1 /2").lines().all(|line| line == own.to_string_lossy()));
}

#[test]
fn nobody_has_to_wait_for_a_pasta_that_hangs() {
    let env = TestEnv::with_busybox();
    if !is_private(&env) {
        return without_pasta(&env);
    }
    env.file("Dockerfile", "FROM busybox\nRUN ip link\n");
    let begun = env.path("begun");
    let tools = tools(&env, Some(&format!("echo $$ >{}; while :; do /bin/sleep 1; done", begun.display())));
    let mut command = env.command(["build", "--progress=plain", "."]);
    let mut kiln =
        command.env("PATH", &tools).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("kiln starts");
    while !begun.exists() {
        std::thread::yield_now();
    }
    let pid = i32::try_from(kiln.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::TERM).expect("a signal");
    let mut said = String::new();
    kiln.stderr.take().expect("a pipe").read_to_string(&mut said).expect("output");
    assert_eq!(kiln.wait().expect("an end").code(), Some(130), "{said}");
    assert!(said.contains("CANCELED"), "{said}");
}

#[test]
fn a_command_waits_for_its_network_once_it_needs_it() {
    let env = TestEnv::with_busybox();
    if !is_private(&env) {
        return without_pasta(&env);
    }
    env.file("Dockerfile", "FROM busybox\nRUN ls / && echo >/ran\nRUN cat /ran && ip route >/routes\n");
    let connect = env.path("connect");
    // Not before the first command has run: it would wait for ever if it waited.
    let slow = format!("while ! test -e {}; do /bin/sleep 0.01; done; exec /usr/bin/pasta \"$@\"", connect.display());
    let tools = tools(&env, Some(&slow));
    let mut command = env.command(["build", "--progress=plain", "-t", "test", "."]);
    command.env("PATH", format!("{}:/usr/bin", tools.display())).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut kiln = command.spawn().expect("kiln starts");
    let mut said = String::new();
    let mut pipe = kiln.stderr.take().expect("a pipe");
    let mut buffer = [0; 256];
    while !said.contains("#2 DONE") {
        let count = pipe.read(&mut buffer).expect("output");
        assert_ne!(count, 0, "{said}");
        said += &String::from_utf8_lossy(&buffer[..count]);
    }
    std::fs::write(connect, "").expect("a file");
    pipe.read_to_string(&mut said).expect("output");
    assert!(kiln.wait().expect("an end").success(), "{said}");
    assert!(!said.contains(WARNING), "{said}");
    assert!(env.sh("cat /routes").contains("default via"), "{said}");
}

#[test]
fn a_command_that_needs_no_network_does_not_wait_for_it() {
    let env = TestEnv::with_busybox();
    if !is_private(&env) {
        return without_pasta(&env);
    }
    let tools = tools(&env, Some("while :; do /bin/sleep 1; done"));
    env.file("Dockerfile", "FROM busybox\nRUN ls /\nRUN ls /bin\n");
    let mut command = env.command(["build", "--progress=plain", "."]);
    let built = ran(command.env("PATH", &tools).output().expect("kiln starts")).ok();
    assert!(!built.stderr.contains(WARNING), "{}", built.stderr);
}

/// The network of the machine, and a warning.
fn without_pasta(env: &TestEnv) {
    let built = env.build("FROM busybox\nRUN readlink /proc/self/ns/net >/first\nRUN true\n").ok();
    assert_eq!(built.stderr.matches(WARNING).count(), 1, "{}", built.stderr);
}

#[test]
fn without_pasta_the_network_is_that_of_the_machine() {
    let env = TestEnv::with_busybox();
    env.file("Dockerfile", "FROM busybox\nRUN readlink /proc/self/ns/net >/first\nRUN true\n");
    let tools = tools(&env, None);
    let mut command = env.command(["build", "--progress=plain", "-t", "test", "."]);
    let built = ran(command.env("PATH", &tools).output().expect("kiln starts")).ok();
    assert_eq!(built.stderr.matches(WARNING).count(), 1, "{}", built.stderr);
    assert!(built.stderr.contains("package passt"), "{}", built.stderr);
    let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    assert_eq!(env.sh("cat /first").trim(), own.to_string_lossy());
    let built = env.build("FROM busybox\nRUN --network=none true\n").ok();
    assert!(!built.stderr.contains(WARNING), "{}", built.stderr);
}

#[test]
fn an_insecure_step_can_mount_if_it_is_allowed() {
    let env = TestEnv::with_busybox();
    let dockerfile = "FROM busybox\nRUN mkdir /m && ! mount -t tmpfs none /m\n\
        RUN --security=insecure mount -t tmpfs none /m && touch /m/file && umount /m && test ! -e /m/file\n\
        RUN --network=host readlink /proc/self/ns/net >/host\n";
    env.build(dockerfile).fails(1, &["security.insecure is not allowed", "network.host is not allowed"]);
    env.build_with(dockerfile, &["--allow=security.insecure", "--allow", "network.host"]).ok();
    let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    assert_eq!(env.sh("cat /host").trim(), own.to_string_lossy());
}
