//! Running a program to its end, without a thread: what it prints is read as it comes, and it is killed with all it has
//! started when nobody waits for it any more.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

/// How soon a request to stop is seen.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Of its output, no more than that is kept: the start of stdout, the end of stderr.
const OUT_LIMIT: usize = 16 << 20;
const ERR_LIMIT: usize = 16 << 10;

/// How a program ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// A process and all that it starts; killed on drop.
struct Group {
    child: Child,
    /// It leads a group of its own.
    leads: bool,
}

impl Drop for Group {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        match i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).filter(|_| self.leads) {
            Some(pid) => drop(kill_process_group(pid, Signal::KILL)),
            None => drop(self.child.kill()),
        }
        let _ = self.child.wait();
    }
}

/// Runs a program; `None` if it was stopped.
pub(super) fn run(command: &mut Command, stop: Option<&dyn Fn() -> bool>) -> io::Result<Option<Finished>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if stop.is_some() {
        command.process_group(0);
    }
    let mut group = Group { child: command.spawn()?, leads: stop.is_some() };
    let out = group.child.stdout.take().map(|out| File::from(OwnedFd::from(out)));
    let err = group.child.stderr.take().map(|err| File::from(OwnedFd::from(err)));
    let (mut pipes, mut texts) = ([out, err], [Vec::new(), Vec::new()]);
    let mut status = None;
    while pipes.iter().any(Option::is_some) {
        if stop.is_some_and(|stop| stop()) {
            return Ok(None);
        }
        let ready = wait(&pipes);
        for (at, pipe) in pipes.iter_mut().enumerate().filter(|(at, _)| ready[*at]) {
            read(pipe, &mut texts[at])?;
        }
        let excess = texts[1].len().saturating_sub(ERR_LIMIT);
        texts[1].drain(..excess);
        if texts[0].len() > OUT_LIMIT {
            return Err(io::Error::other("it prints without an end"));
        }
        // What it left in the background may hold the pipes open for ever.
        if ready == [false; 2] && status.is_some() {
            break;
        }
        if status.is_none() {
            status = group.child.try_wait()?;
        }
    }
    let status = match status {
        Some(status) => status,
        None => group.child.wait()?,
    };
    let [stdout, stderr] = texts;
    Ok(Some(Finished { status, stdout, stderr }))
}

fn wait(pipes: &[Option<File>; 2]) -> [bool; 2] {
    let open = pipes.iter().enumerate().filter_map(|(at, pipe)| Some((at, pipe.as_ref()?)));
    let (places, mut fds): (Vec<_>, Vec<_>) = open.map(|(at, pipe)| (at, PollFd::new(pipe, PollFlags::IN))).unzip();
    let mut ready = [false; 2];
    // An interrupted call is as good as one that found nothing.
    let _ = poll(&mut fds, Some(&PATIENCE));
    for (at, fd) in places.into_iter().zip(fds) {
        ready[at] = !fd.revents().is_empty();
    }
    ready
}

/// Reads once; the pipe is gone at its end.
fn read(pipe: &mut Option<File>, text: &mut Vec<u8>) -> io::Result<()> {
    let Some(file) = pipe else { return Ok(()) };
    let mut buffer = [0; 8 << 10];
    match file.read(&mut buffer) {
        Ok(0) => *pipe = None,
        Ok(read) => text.extend_from_slice(&buffer[..read]),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_are_read() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo out; echo err >&2; i=$((i+1)); done; exit 3";
        let finished = run(&mut sh(script), None).unwrap().unwrap();
        assert_eq!((finished.status.code(), finished.stdout.len()), (Some(3), 80_000));
        assert_eq!(finished.stderr.len(), ERR_LIMIT);
    }

    #[test]
    fn what_is_not_wanted_any_more_is_killed_with_its_children() {
        let started = Instant::now();
        assert!(run(&mut sh("sleep 60 & sleep 60"), Some(&|| started.elapsed().as_millis() > 100)).unwrap().is_none());
        assert!(started.elapsed().as_secs() < 30);
    }

    #[test]
    fn what_stays_in_the_background_is_not_waited_for() {
        let started = Instant::now();
        let finished = run(&mut sh("sleep 60 & echo $!"), None).unwrap().unwrap();
        assert!(finished.status.success() && started.elapsed().as_secs() < 30);
        let pid: i32 = String::from_utf8(finished.stdout).unwrap().trim().parse().unwrap();
        let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
}
