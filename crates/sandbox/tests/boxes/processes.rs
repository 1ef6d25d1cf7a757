//! The life of a box: terminals, inits, ends, and many at once.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use sandbox::{Child, Io, Launcher, Network, Security, Status, TerminalSize};

use super::fixture::Fixture;
use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("dropping_kills", dropping_kills),
    ("background_processes_end_with_the_command", background_processes_end_with_the_command),
    ("boxes_end_with_the_launcher", boxes_end_with_the_launcher),
    ("somebody_else_can_kill", somebody_else_can_kill),
    ("eight_threads_at_once", eight_threads_at_once),
    ("classes_alternate", classes_alternate),
    ("a_failure_leaves_the_launcher_well", a_failure_leaves_the_launcher_well),
    ("a_terminal_is_one", a_terminal_is_one),
    ("signals_of_a_terminal_arrive", signals_of_a_terminal_arrive),
    ("an_init_reaps_and_passes_signals_on", an_init_reaps_and_passes_signals_on),
    ("an_init_reports_what_cannot_run", an_init_reports_what_cannot_run),
    ("ignored_signals_are_not_inherited", ignored_signals_are_not_inherited),
];

/// The processes whose command line holds `mark`.
fn processes(mark: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let commands = entries.filter_map(|path| fs::read_to_string(path.join("cmdline")).ok());
    commands.filter(|command| command.contains(mark)).collect()
}

fn exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn dropping_kills(fixture: &Fixture) {
    let mark = format!("31{}", std::process::id());
    let child = fixture.spawn(&fixture.shell(&format!("sleep {mark} & sleep {mark}")));
    let pid = child.pid();
    assert!(exists(pid));
    drop(child);
    assert!(!exists(pid));
    assert_eq!(processes(&mark), [""; 0]);
}

fn background_processes_end_with_the_command(fixture: &Fixture) {
    let mark = format!("32{}", std::process::id());
    let output = fixture.run(&fixture.shell(&format!("sleep {mark} >/dev/null 2>&1 & exit 0")));
    assert!(output.status.success());
    assert_eq!(processes(&mark), [""; 0]);
}

fn boxes_end_with_the_launcher(fixture: &Fixture) {
    let launcher = Launcher::start().unwrap();
    let mut child = launcher.spawn(&fixture.shell("sleep 1000"), Io::null()).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.pid())).unwrap();
    let parent: i32 = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(parent).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    assert!(child.wait().is_err());
    // Killed along with it, by the kernel.
    let mut ended = [rustix::event::PollFd::from_borrowed_fd(child.pidfd(), rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut ended, None).unwrap();
}

fn somebody_else_can_kill(fixture: &Fixture) {
    let mut child = fixture.spawn(&fixture.shell("sleep 1000"));
    let signaler = child.signaler();
    let killer = std::thread::spawn(move || signaler.kill().unwrap());
    assert_eq!(child.wait().unwrap().status, Status::Signal(9));
    killer.join().unwrap();
    child.signaler().kill().unwrap();
    assert!(child.signal(9).is_err());
}

fn eight_threads_at_once(fixture: &Fixture) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..5 {
                    let output = fixture.run(&fixture.shell(&format!("echo {thread}.{round} > /f; cat /f")));
                    assert_eq!(output.good(), format!("{thread}.{round}"));
                }
            });
        }
    });
}

fn classes_alternate(fixture: &Fixture) {
    for round in 0..6 {
        let mut spec = fixture.shell("ls /sys/class/net | wc -l; grep -c . /proc/self/mountinfo > /dev/null");
        spec.network = if round % 2 == 0 { Network::None } else { Network::Host };
        spec.security = if round % 3 == 0 { Security::Insecure } else { Security::Default { no_new_privs: false } };
        let interfaces: usize = fixture.run(&spec).good().parse().unwrap();
        if round % 2 == 0 {
            assert_eq!(interfaces, 1);
        }
    }
}

fn a_failure_leaves_the_launcher_well(fixture: &Fixture) {
    for _ in 0..3 {
        assert!(fixture.try_run(&fixture.command(&["/nope"])).is_err());
        assert_eq!(fixture.says("echo well"), "well");
    }
}

fn read_all(child: &Child) -> String {
    let mut terminal = fs::File::from(child.terminal().unwrap().try_clone_to_owned().unwrap());
    let mut bytes = Vec::new();
    // When the last process has closed its end, the kernel answers EIO.
    let _ = terminal.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

fn a_terminal_is_one(fixture: &Fixture) {
    let script = "read start; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && tty; stty size; ls -1 /dev/pts; \
                  stat -c %t:%T /dev/console; echo for me > /dev/tty";
    let mut spec = fixture.shell(script);
    spec.terminal = Some(TerminalSize::default());
    let mut child = fixture.launcher.spawn(&spec, Io::null()).unwrap();
    child.resize(33, 101).unwrap();
    let mut terminal = fs::File::from(child.terminal().unwrap().try_clone_to_owned().unwrap());
    terminal.write_all(b"go\n").unwrap();
    let output = read_all(&child);
    assert_eq!(output, "go\r\n/dev/pts/0\r\n33 101\r\n0\r\nptmx\r\n88:0\r\nfor me\r\n");
    assert!(child.wait().unwrap().status.success());
    let without = fixture.spawn(&fixture.shell(":"));
    assert!(without.terminal().is_none());
    without.resize(1, 1).unwrap();
}

fn signals_of_a_terminal_arrive(fixture: &Fixture) {
    let mut spec = fixture.shell("trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done");
    spec.terminal = Some(TerminalSize::default());
    let mut child = fixture.launcher.spawn(&spec, Io::null()).unwrap();
    let mut terminal = fs::File::from(child.terminal().unwrap().as_fd().try_clone_to_owned().unwrap());
    let mut seen = [0; 64];
    let count = terminal.read(&mut seen).unwrap();
    assert!(seen[..count].starts_with(b"ready"));
    terminal.write_all(b"\x03").unwrap();
    let rest = read_all(&child);
    assert!(rest.contains("caught"), "{rest:?}");
    assert_eq!(child.wait().unwrap().status, Status::Code(5));
}

fn an_init_reaps_and_passes_signals_on(fixture: &Fixture) {
    let mut spec = fixture.shell("echo $$; (sleep 0.01 &); sleep 0.1; grep -l '^State:.Z' /proc/[0-9]*/status; exit 9");
    spec.init = true;
    let output = fixture.run(&spec);
    assert_eq!((output.stdout.as_str(), output.status), ("2\n", Status::Code(9)));
    // Below an init, a signal with its default action does what it does elsewhere.
    let mut spec = fixture.command(&["sleep", "1000"]);
    spec.init = true;
    let mut child = fixture.spawn(&spec);
    child.signal(libc::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().status, Status::Code(128 + 15));
    // And a terminal is the command's.
    let mut spec = fixture.shell("tty");
    (spec.init, spec.terminal) = (true, Some(TerminalSize::default()));
    let mut child = fixture.launcher.spawn(&spec, Io::null()).unwrap();
    assert_eq!(read_all(&child), "/dev/pts/0\r\n");
    assert!(child.wait().unwrap().status.success());
}

fn an_init_reports_what_cannot_run(fixture: &Fixture) {
    let mut spec = fixture.command(&["/nope"]);
    spec.init = true;
    let error = fixture.try_run(&spec).unwrap_err();
    assert_eq!(error.exit_code(), 127);
}

fn ignored_signals_are_not_inherited(fixture: &Fixture) {
    // This very process ignores SIGPIPE, as every Rust program does.
    let spec = fixture.command(&["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    let status = fixture.run(&spec).good();
    assert_eq!(status, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000");
}
