//! Measures what one box costs around a command that does nothing: `steps [--host] [ROUNDS] [DIRECTORY]`.
//!
//! Prints, in microseconds, the least, the median and the 95th percentile of: spawn (until the command runs), the whole
//! (until it has ended and its mounts are gone), both with a launcher that is kept; and the whole with one made for it.
#![expect(clippy::print_stdout, reason = "this is a measurement")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sandbox::{Io, Launcher, Network, Rootfs, Security, Spec, userns};

fn main() {
    sandbox::init();
    if userns::needs_entering() {
        let Err(error) = userns::enter(None);
        println!("{error}");
        return;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let network = if arguments.iter().any(|word| word == "--none") { Network::None } else { Network::Host };
    let mut plain = arguments.iter().filter(|word| !word.starts_with('-'));
    let rounds = plain.next().and_then(|word| word.parse().ok()).unwrap_or(200);
    let directory = plain.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("steps-{}", std::process::id()));
    fs::create_dir_all(directory.join("base")).unwrap();
    make_base(&directory.join("base"));

    println!("{:?}, network {network:?}, {rounds} rounds in {}", userns::identity(), directory.display());
    let launcher = Launcher::start().unwrap();
    let (mut spawned, mut whole) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let spec = spec(&directory, round, network);
        let start = Instant::now();
        let mut child = launcher.spawn(&spec, Io::null()).unwrap();
        spawned.push(start.elapsed());
        assert!(child.wait().unwrap().status.success());
        whole.push(start.elapsed());
        // What a builder does meanwhile: read the diff, write a record.
        std::thread::sleep(Duration::from_millis(2));
    }
    print("spawn", &mut spawned);
    print("whole", &mut whole);
    let mut busy = Vec::new();
    for round in 0..rounds {
        let spec = spec(&directory, rounds + round, network);
        let start = Instant::now();
        assert!(launcher.spawn(&spec, Io::null()).unwrap().wait().unwrap().status.success());
        busy.push(start.elapsed());
    }
    print("whole, back to back", &mut busy);
    let mut alone = Vec::new();
    for round in 0..rounds.min(50) {
        let spec = spec(&directory, 2 * rounds + round, network);
        let start = Instant::now();
        assert!(sandbox::spawn(&spec, Io::null()).unwrap().wait().unwrap().status.success());
        alone.push(start.elapsed());
    }
    print("whole, without a launcher", &mut alone);
    drop(launcher);
    fs::remove_dir_all(&directory).unwrap();
}

fn make_base(base: &Path) {
    for dir in ["bin", "etc", "proc", "dev", "sys", "tmp"] {
        fs::create_dir(base.join(dir)).unwrap();
    }
    for file in ["etc/hosts", "etc/resolv.conf"] {
        fs::write(base.join(file), "").unwrap();
    }
    fs::write(base.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(base.join("etc/group"), "root:x:0:\n").unwrap();
    fs::copy("/bin/busybox", base.join("bin/true")).unwrap();
}

fn spec(directory: &Path, round: usize, network: Network) -> Spec {
    let (upper, work) = (directory.join(format!("{round}.upper")), directory.join(format!("{round}.work")));
    fs::create_dir(&upper).unwrap();
    fs::create_dir(&work).unwrap();
    Spec {
        rootfs: Rootfs::Overlay { lowers: vec![directory.join("base")], upper, work, read_only: false },
        mounts: Vec::new(),
        argv: vec!["/bin/true".into()],
        env: Vec::new(),
        cwd: "/".into(),
        user: String::new(),
        extra_groups: Vec::new(),
        hostname: "buildkitsandbox".into(),
        network,
        security: Security::Default { no_new_privs: false },
        rlimits: Vec::new(),
        hosts: Some(b"127.0.0.1 localhost\n".to_vec()),
        resolv_conf: Some(b"nameserver 192.0.2.1\n".to_vec()),
        shm_size: 64 << 20,
        terminal: None,
        init: false,
    }
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0, Duration::as_micros);
    println!("{what:28} least {:>6}  median {:>6}  p95 {:>6}", at(0), at(50), at(95));
}
