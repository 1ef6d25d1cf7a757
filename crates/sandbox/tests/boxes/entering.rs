//! Entering a user namespace: what this program becomes there, and what its caller sees of it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use sandbox::userns;

use super::fixture::{Fixture, Mode};
use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("codes_and_signals_pass_the_namespace", codes_and_signals_pass_the_namespace),
    ("signals_are_passed_on", signals_are_passed_on),
    ("root_without_rights_has_to_enter", root_without_rights_has_to_enter),
    ("possibilities_are_reported", possibilities_are_reported),
];

/// What this program does when it is started by one of these tests.
const VARIABLE: &str = "KILN_BOXES_ENTER";

/// Enters a user namespace, if that is what this process was started for, and does what it says there.
pub(crate) fn act() {
    let Ok(script) = std::env::var(VARIABLE) else { return };
    if userns::needs_entering() {
        let Err(error) = userns::enter(None);
        println!("cannot enter: {error}");
        std::process::exit(99);
    }
    println!("{:?}", userns::identity());
    use std::os::unix::process::CommandExt as _;
    panic!("{}", Command::new("/bin/sh").args(["-c", &script]).exec());
}

/// This program, started by somebody who is root here but may not administer the machine, as in a container.
fn powerless(script: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]);
    command.arg(std::env::current_exe().unwrap()).env(VARIABLE, script).stdout(Stdio::piped());
    command
}

fn codes_and_signals_pass_the_namespace(fixture: &Fixture) {
    if fixture.mode != Mode::Root {
        return;
    }
    let output = powerless("exit 42").output().unwrap();
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    let output = powerless("kill -TERM $$").output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGTERM), "{output:?}");
}

fn signals_are_passed_on(fixture: &Fixture) {
    if fixture.mode != Mode::Root {
        return;
    }
    let mut child = powerless("trap 'exit 7' USR1; echo ready; while :; do sleep 0.02; done").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap() == "ready"));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

fn root_without_rights_has_to_enter(fixture: &Fixture) {
    if fixture.mode != Mode::Root {
        return;
    }
    // It has all ids of the namespace it came from.
    let output = powerless("cat /proc/self/uid_map; grep CapEff /proc/self/status").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("Root\n"), "{text}");
    assert!(text.contains("4294967295"), "{text}");
    assert!(text.contains("CapEff:\t000001ffffffffff"), "{text}");
}

fn possibilities_are_reported(fixture: &Fixture) {
    assert!(!userns::needs_entering());
    let report = userns::probe();
    assert_eq!(report.best(), Some(userns::identity()));
    assert_eq!(report.to_string().lines().count(), 1, "{report}");
    // A thread more than one, and nobody enters anything.
    let refused = std::thread::spawn(|| userns::enter(None).unwrap_err().to_string()).join().unwrap();
    let expected = match fixture.mode {
        Mode::Root => "before the first thread starts",
        _ => "no right to mount",
    };
    assert!(refused.contains(expected), "{refused}");
}
