//! What a command writes: handed on as it comes, whole lines where possible, and the last of it kept.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use plan::VertexId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::event::{Event, Stream};

/// How much of the end is kept for an error.
const TAIL: usize = 16 << 10;

/// How long the start of a line waits for its rest.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

const BUFFER: usize = 32 << 10;

/// The reading ends of a command's two outputs.
#[derive(Debug)]
pub(crate) struct Output {
    pipes: [Pipe; 2],
    tail: VecDeque<u8>,
}

#[derive(Debug)]
struct Pipe {
    stream: Stream,
    /// `None` at the end.
    file: Option<File>,
    /// The start of a line.
    partial: Vec<u8>,
}

impl Output {
    /// Makes two pipes, and returns the writing ends, too.
    pub(crate) fn new() -> Result<(Self, OwnedFd, OwnedFd), Errno> {
        let (read_out, write_out) = pipe_with(PipeFlags::CLOEXEC)?;
        let (read_err, write_err) = pipe_with(PipeFlags::CLOEXEC)?;
        let pipe = |stream, fd| Pipe { stream, file: Some(File::from(fd)), partial: Vec::new() };
        let pipes = [pipe(Stream::Stdout, read_out), pipe(Stream::Stderr, read_err)];
        Ok((Self { pipes, tail: VecDeque::new() }, write_out, write_err))
    }

    /// Reads until nobody can write any more, and returns the last of it.
    pub(crate) fn forward(mut self, vertex: VertexId, tell: impl Fn(Event)) -> Vec<u8> {
        let mut buffer = vec![0; BUFFER];
        while self.pipes.iter().any(|pipe| pipe.file.is_some()) {
            let ready = self.wait();
            for (pipe, ready) in self.pipes.iter_mut().zip(ready) {
                let bytes = if ready { pipe.read(&mut buffer) } else { pipe.flush() };
                if bytes.is_empty() {
                    continue;
                }
                self.tail.extend(&bytes);
                let excess = self.tail.len().saturating_sub(TAIL);
                self.tail.drain(..excess);
                tell(Event::Output { vertex, stream: pipe.stream, bytes });
            }
        }
        self.tail.into()
    }

    /// Waits until one of the pipes can be read; neither if that takes long while a line is unfinished.
    fn wait(&self) -> [bool; 2] {
        let partial = self.pipes.iter().any(|pipe| !pipe.partial.is_empty());
        let open = self.pipes.iter().enumerate().filter_map(|(at, pipe)| Some((at, pipe.file.as_ref()?)));
        let (places, mut fds): (Vec<_>, Vec<_>) = open.map(|(at, file)| (at, PollFd::new(file, PollFlags::IN))).unzip();
        let mut ready = [false; 2];
        // An interrupted call is as good as one that found nothing.
        let _ = poll(&mut fds, partial.then_some(&PATIENCE));
        for (at, fd) in places.into_iter().zip(fds) {
            ready[at] = !fd.revents().is_empty();
        }
        ready
    }
}

impl Pipe {
    /// Reads once, and returns the lines that are complete; at the end all that is left.
    fn read(&mut self, buffer: &mut [u8]) -> Vec<u8> {
        let Some(file) = &mut self.file else { return Vec::new() };
        match file.read(buffer) {
            Ok(0) => {
                self.file = None;
                return self.flush();
            }
            Ok(read) => self.partial.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => self.file = None,
        }
        // Progress displays end their lines with a carriage return.
        match self.partial.iter().rposition(|&b| b == b'\n' || b == b'\r') {
            Some(end) => self.partial.drain(..=end).collect(),
            None if self.partial.len() >= BUFFER => self.flush(),
            None => Vec::new(),
        }
    }

    fn flush(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.partial)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Write;

    use super::*;

    fn forward(out: &[u8], err: &[u8]) -> (Vec<(Stream, Vec<u8>)>, Vec<u8>) {
        let (output, write_out, write_err) = Output::new().unwrap();
        let (out, err) = (out.to_vec(), err.to_vec());
        let writer = std::thread::spawn(move || {
            File::from(write_err).write_all(&err).unwrap();
            File::from(write_out).write_all(&out).unwrap();
        });
        let seen = RefCell::new(Vec::new());
        let tail = output.forward(VertexId(3), |event| match event {
            Event::Output { vertex, stream, bytes } => {
                assert_eq!(vertex, VertexId(3));
                seen.borrow_mut().push((stream, bytes));
            }
            other => panic!("{other:?}"),
        });
        writer.join().unwrap();
        (seen.into_inner(), tail)
    }

    fn of(seen: &[(Stream, Vec<u8>)], stream: Stream) -> Vec<u8> {
        seen.iter().filter(|(s, _)| *s == stream).flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    #[test]
    fn nothing_is_lost_of_either_stream() {
        let out: Vec<u8> = (0..100_000u32).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        let (seen, tail) = forward(&out, b"no end of line");
        assert_eq!(of(&seen, Stream::Stdout), out);
        assert_eq!(of(&seen, Stream::Stderr), b"no end of line");
        assert_eq!(tail.len(), TAIL);
        assert!(out.ends_with(&tail[tail.len() - 1000..]));
        let lines = |(stream, bytes): &(Stream, Vec<u8>)| *stream == Stream::Stderr || bytes.ends_with(b"\n");
        assert!(seen.iter().all(lines));
    }

    #[test]
    fn silence_gives_nothing() {
        let (seen, tail) = forward(b"", b"");
        assert!(seen.is_empty() && tail.is_empty());
    }

    #[test]
    fn a_line_longer_than_the_buffer_goes_on_in_parts() {
        let (seen, _) = forward(&[b'x'; 100_000], b"");
        assert_eq!(of(&seen, Stream::Stdout).len(), 100_000);
        assert!(seen.len() >= 3);
    }
}
